// One picture large, and up to two others beside it that zoom, move and are windowed along. Needs window.js in front.
//
// Zoom is relative to fitting the pane, and the place is relative to the picture, so pictures of unequal size stay in
// step. A picture of more than 8 bits is a canvas with a window (centre and width); another one an image with
// brightness and contrast.

const MOST = 40;
const STEP = 0.05; // of the window's width, a key press

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer");
  const part = (name) => root.querySelector(`.${name}`);
  const state = (root.lsi ??= {
    key: "", zoom: 1, x: 0.5, y: 0.5, beside: new Set(), invert: false, window: rememberedWindow(), dragging: false, queued: 0,
  });
  const panes = part("panes");
  const key = JSON.stringify(data.panes);
  if (state.key !== key) {
    const another = JSON.parse(state.key || "[{}]")[0].src !== data.panes[0].src;
    if (another) Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 });
    state.key = key;
    build();
  }
  part("fit").onclick = () => look(1, 0.5, 0.5);
  part("one").onclick = one;
  part("in").onclick = () => look(state.zoom * 1.4);
  part("out").onclick = () => look(state.zoom / 1.4);
  part("invert").onclick = invert;
  part("drag").onclick = toggleDrag;
  part("brightness").oninput = part("contrast").oninput = paint;
  part("preset").onchange = () => choose({ preset: part("preset").value });
  part("centre").oninput = () => custom(Number(part("centre").value), shownWindow().width);
  part("width").oninput = () => custom(shownWindow().centre, widthAt(Number(part("width").value)));
  for (const name of ["brightness", "contrast"]) part(name).ondblclick = () => { part(name).value = 100; paint(); };
  for (const name of ["brightness", "contrast", "centre", "width", "preset"]) part(name).onkeydown = (event) => event.stopPropagation();
  panes.onkeydown = (event) => {
    const step = 0.1 / state.zoom;
    const acts = {
      "+": () => look(state.zoom * 1.4), "-": () => look(state.zoom / 1.4), 0: () => look(1, 0.5, 0.5), 1: one, i: invert,
      w: toggleDrag, p: nextPreset, a: () => choose({ preset: "auto" }),
      ArrowUp: () => look(state.zoom, state.x, state.y - step), ArrowDown: () => look(state.zoom, state.x, state.y + step),
      "shift+ArrowUp": () => nudge(STEP, 0), "shift+ArrowDown": () => nudge(-STEP, 0),
      "shift+ArrowRight": () => nudge(0, STEP), "shift+ArrowLeft": () => nudge(0, -STEP),
    };
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = acts[event.shiftKey && name.startsWith("Arrow") ? `shift+${name}` : name];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  state.watch?.disconnect();
  state.watch = new ResizeObserver(paint);
  state.watch.observe(panes);
  return () => state.watch.disconnect();

  function build() {
    panes.setAttribute("aria-label", data.panes[0].alt);
    panes.replaceChildren(...data.panes.filter((_, i) => i === 0 || state.beside.has(i)).map(made));
    part("others").replaceChildren(...data.panes.slice(1).map((pane, i) => {
      const toggle = document.createElement("button");
      toggle.type = "button";
      toggle.textContent = `Beside ${pane.title}`;
      toggle.setAttribute("aria-pressed", String(state.beside.has(i + 1)));
      toggle.onclick = () => {
        if (!state.beside.delete(i + 1)) state.beside.add(i + 1);
        build();
      };
      return toggle;
    }));
    paint();
  }

  function made(pane) {
    const box = document.createElement("div"), line = document.createElement("p");
    box.className = "pane";
    if (pane.href) {
      const link = document.createElement("a");
      link.href = pane.href;
      link.target = "_blank";
      link.textContent = pane.title;
      line.append(link);
    } else line.textContent = pane.title;
    box.append(pane.deep ? canvas(pane, box, line) : image(pane, line), line);
    let from = null;
    box.oncontextmenu = (event) => { if (box.deep) event.preventDefault(); };
    box.onpointerdown = (event) => {
      if (event.target.tagName === "A") return;
      box.setPointerCapture(event.pointerId);
      from = { x: event.clientX, y: event.clientY, window: box.deep && (state.dragging || event.button === 2) };
    };
    box.onpointermove = (event) => {
      if (!from || !size(box)[0]) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y], shown = scale(box), [width, height] = size(box);
      Object.assign(from, { x: event.clientX, y: event.clientY });
      // The whole pane is one width: a fast drag crosses it, a slow one is exact to a few grey values.
      if (from.window) nudge(-dy / box.clientHeight, dx / box.clientWidth * 2);
      else look(state.zoom, state.x - dx / (shown * width), state.y - dy / (shown * height));
    };
    box.onpointerup = box.onpointercancel = () => { from = null; };
    box.onwheel = (event) => {
      event.preventDefault();
      look(state.zoom * Math.exp(-event.deltaY / 400));
    };
    return box;
  }

  function image(pane, line) {
    const made = document.createElement("img");
    made.className = "picture";
    made.alt = pane.alt;
    made.draggable = false;
    made.onload = paint;
    made.onerror = () => {
      made.remove();
      missing(pane.src, line);
    };
    made.src = pane.src;
    return made;
  }

  function canvas(pane, box, line) {
    const made = document.createElement("canvas");
    made.className = "picture";
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", pane.alt);
    made.width = made.height = 0;
    loadDeep(pane.deep).then((deep) => {
      box.deep = deep;
      Object.assign(made, { width: deep.facts.width, height: deep.facts.height });
      paint();
    }, () => missing(pane.deep, line));
    return made;
  }

  // Why: the server says which file it could not read.
  async function missing(src, line) {
    line.textContent = "This picture cannot be opened.";
    const answer = await fetch(src).catch(() => null);
    if (answer?.status === 404) line.textContent += ` ${await answer.text()}`;
  }

  function size(box) {
    const picture = box.querySelector(".picture");
    if (!picture) return [0, 0];
    return [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
  }

  function scale(box) {
    const [width, height] = size(box), fit = Math.min(box.clientWidth / width, box.clientHeight / height);
    // Tiny pictures arrive enlarged already; blowing them up further helps nobody.
    return state.zoom * (data.tiny ? Math.min(fit, 1) : fit);
  }

  function one() {
    const box = panes.firstElementChild;
    if (size(box)[0]) look(state.zoom / scale(box));
  }

  function invert() {
    state.invert = !state.invert;
    paint();
  }

  function look(zoom, x = state.x, y = state.y) {
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    Object.assign(state, { zoom: Math.min(Math.max(zoom, 0.2), MOST), x: inside(x), y: inside(y) });
    paint();
  }

  // The picture whose window the controls show: the sample's own, or the first that has one.
  function leading() {
    return [...panes.children].find((box) => box.deep)?.deep ?? null;
  }

  function shownWindow() {
    return windowOf(leading(), state.window);
  }

  function choose(window) {
    if (!leading()) return;
    state.window = window;
    rememberWindow(window);
    paint();
  }

  function custom(centre, width) {
    const narrowest = 2 * leading().facts.slope;
    choose({ centre, width: Math.max(width, Math.abs(narrowest), 1e-9), hounsfield: leading().facts.hounsfield });
  }

  function nudge(centre, width) {
    if (leading()) choose(nudged(leading(), shownWindow(), centre, width));
  }

  function nextPreset() {
    if (!leading()) return;
    const names = [...leading().presets.keys()];
    choose({ preset: names[(names.indexOf(shownWindow().preset) + 1) % names.length] });
  }

  function toggleDrag() {
    state.dragging = !state.dragging;
    paint();
  }

  // The slider of the width is logarithmic: from a thousandth of the full range to twice that range.
  function range() {
    const [low, high] = leading().facts.full;
    return Math.max(high - low, 1e-9);
  }

  function widthAt(place) {
    return range() * Math.pow(2000, place / 1000) / 1000;
  }

  function placeOf(width) {
    return 1000 * Math.log(width / range() * 1000) / Math.log(2000);
  }

  function controls(window) {
    const { facts, presets } = leading(), names = [...presets.keys()];
    const choice = part("preset"), listed = window.preset ? names : ["own", ...names];
    if ([...choice.options].map((one) => one.value).join() !== listed.join()) {
      choice.replaceChildren(...listed.map((name) => new Option(name, name)));
    }
    choice.value = window.preset ?? "own";
    Object.assign(part("centre"), { min: facts.full[0], max: facts.full[1] });
    part("centre").value = window.centre;
    part("width").value = placeOf(window.width);
    const unit = facts.hounsfield ? " HU" : "", digits = Math.abs(facts.slope) < 0.5 ? 3 : 0;
    part("centre-said").textContent = window.centre.toFixed(digits) + unit;
    part("width-said").textContent = window.width.toFixed(digits) + unit;
    part("reduced").textContent = facts.original
      ? `Shown at ${facts.width} × ${facts.height}; the file has ${facts.original[0]} × ${facts.original[1]}.` : "";
  }

  function paint() {
    // One drawing a frame, however fast the pointer moves.
    state.queued ||= requestAnimationFrame(() => { state.queued = 0; drawn(); });
    root.dataset.zoom = state.zoom.toFixed(2);
  }

  function drawn() {
    const light = `brightness(${part("brightness").value}%) contrast(${part("contrast").value}%)`;
    const deep = leading();
    part("invert").setAttribute("aria-pressed", String(state.invert));
    part("drag").setAttribute("aria-pressed", String(state.dragging));
    part("windowing").hidden = !deep;
    part("light").hidden = [...panes.children].every((box) => box.querySelector("canvas"));
    if (deep) controls(shownWindow());
    for (const box of panes.children) {
      const picture = box.querySelector(".picture"), [width, height] = size(box);
      if (!width) continue;
      const shown = scale(box);
      const left = box.clientWidth / 2 - state.x * width * shown, top = box.clientHeight / 2 - state.y * height * shown;
      picture.style.transform = `translate(${left}px, ${top}px) scale(${shown})`;
      picture.style.imageRendering = shown >= 3 ? "pixelated" : "auto";
      box.classList.toggle("windowed", Boolean(box.deep && state.dragging));
      if (box.deep) drawDeep(picture, box.deep, windowOf(box.deep, state.window), state.invert);
      else picture.style.filter = `${state.invert ? "invert(1) " : ""}${light}`;
      if (box === panes.firstElementChild) part("said").textContent = `${Math.round(100 * shown)} %`;
    }
    if (deep) root.dataset.window = [shownWindow().centre, shownWindow().width].map((value) => value.toFixed(2)).join();
  }
}
