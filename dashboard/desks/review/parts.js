// Pieces of the reviewing desk that know nothing of what is being reviewed. Needs tiles.js in front.

const button = (key, text, act, className = "") => {
  const made = element("button", className);
  made.type = "button";
  if (key) made.append(element("kbd", "", key));
  made.append(element("span", "text", text));
  made.title = text;
  made.onclick = (event) => event.detail <= 1 && act();
  return made;
};

const percent = (p) => (p > 0 && p < 0.001 ? "<0.1 %" : p < 1 && p > 0.999 ? ">99.9 %" : `${(100 * p).toFixed(1)} %`);

// A neighbour's class is in its row's title already: the dot and the percentile are enough.
const compact = (tile) => {
  if (tile.said) return caption(tile);
  const made = element("div", "caption");
  made.append(labelled({ name: tile.percentile, colour: tile.given.colour }));
  return made;
};
