// A film of more than 8 bits at a desk: drag sideways for the window's width, up and down for its centre.
// Needs tiles.js and window.js in front.
//
// The window is the one of the Sample page's viewer, and stays for the films that follow; the film stays whole.

let filmInverted = false;

// The element, with `acts` that a desk puts on its keys.
function deepFace(item) {
  const box = element("div", "face deep"), canvas = element("canvas"), bar = element("div", "film");
  const said = element("span", "film-said", "Loading all bits …");
  let deep = null, from = null;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", item.alt);
  box.append(canvas, bar);
  box.acts = [
    { key: "W", kind: "film", text: "Next window", run: next },
    { key: "I", kind: "film", text: "Invert", run: () => { filmInverted = !filmInverted; paint(); } },
  ];
  bar.append(...box.acts.map((act) => {
    const made = element("button");
    made.type = "button";
    made.append(element("kbd", "", act.key), element("span", "text", act.text));
    made.onclick = act.run;
    return made;
  }), said);
  loadDeep(item.deep).then((loaded) => {
    deep = loaded;
    Object.assign(canvas, { width: deep.facts.width, height: deep.facts.height });
    paint();
  }, (error) => box.replaceWith(element("div", "face missing", `This picture cannot be opened: ${error.message}`)));
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY };
  };
  canvas.onpointermove = (event) => {
    if (!from || !deep) return;
    const dx = (event.clientX - from.x) / canvas.clientWidth, dy = (event.clientY - from.y) / canvas.clientHeight;
    from = { x: event.clientX, y: event.clientY };
    choose(nudged(deep, windowOf(deep, rememberedWindow()), -dy, 2 * dx));
  };
  canvas.onpointerup = canvas.onpointercancel = () => { from = null; };
  return box;

  function next() {
    if (!deep) return;
    const names = [...deep.presets.keys()];
    choose({ preset: names[(names.indexOf(windowOf(deep, rememberedWindow()).preset) + 1) % names.length] });
  }

  function choose(window) {
    rememberWindow(window);
    paint();
  }

  function paint() {
    if (!deep) return;
    const window = windowOf(deep, rememberedWindow()), digits = Math.abs(deep.facts.slope) < 0.5 ? 3 : 0;
    drawDeep(canvas, deep, window, filmInverted);
    said.textContent =
      `${window.preset ?? "own"}: centre ${window.centre.toFixed(digits)}, width ${window.width.toFixed(digits)}` +
      `${deep.facts.hounsfield ? " HU" : ""} · drag on the film to change`;
    box.dataset.window = `${window.preset ?? "own"} ${window.centre.toFixed(2)},${window.width.toFixed(2)}`;
  }
}
