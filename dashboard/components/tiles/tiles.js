// Tiles of samples. Every text reaches the page through textContent or an attribute, never as markup.

const element = (tag, className = "", text = "") => {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
};

const labelled = (label, suffix = "") => {
  const made = element("span", "label");
  const dot = element("i", "dot");
  dot.style.background = label.colour;
  made.title = label.name;
  made.append(dot, element("span", "name", label.name + suffix));
  return made;
};

function face(tile) {
  if (!tile.src) {
    const card = element("div", tile.text ? "face text" : "face facts", tile.text ?? "");
    card.dir = "auto"; // a text in Hebrew or Arabic begins at the right
    for (const [name, value] of tile.facts ?? []) {
      const line = element("div", "fact");
      line.append(element("span", "", name), element("b", "", value));
      card.append(line);
    }
    return card;
  }
  const image = element("img", "face");
  image.alt = tile.alt;
  image.loading = "lazy";
  image.decoding = "async";
  image.src = tile.src;
  image.onerror = () => image.replaceWith(element("div", "face missing", "This picture cannot be opened."));
  return image;
}

function caption(tile) {
  const made = element("div", "caption");
  const labels = element("div", "labels");
  if (tile.said) {
    const said = element("div", "said", tile.said);
    said.dir = "auto";
    said.title = tile.said;
    labels.append(said);
  }
  if (!tile.unlabelled) labels.append(labelled(tile.given));
  if (tile.suggested) {
    const suggestion = element("div", "suggestion", "→");
    suggestion.append(labelled(tile.suggested, "?"));
    labels.append(suggestion);
  }
  const line = element("div", "line");
  line.append(element("span", "percentile", tile.percentile));
  if (tile.decision) {
    const badge = element("span", "decision", tile.decision.icon);
    badge.append(element("span", "word", ` ${tile.decision.text}`));
    badge.title = tile.decision.text;
    line.append(badge);
  }
  made.append(labels, line);
  return made;
}
