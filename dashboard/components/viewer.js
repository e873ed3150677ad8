// One picture large, and up to two others beside it that zoom and move along. Zoom is relative to fitting the pane, and
// the place is relative to the picture, so pictures of unequal size stay in step.

const MOST = 40;

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer");
  const part = (name) => root.querySelector(`.${name}`);
  const state = (root.lsi ??= { key: "", zoom: 1, x: 0.5, y: 0.5, beside: new Set(), invert: false });
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
  part("brightness").oninput = part("contrast").oninput = paint;
  for (const name of ["brightness", "contrast"]) {
    part(name).ondblclick = () => { part(name).value = 100; paint(); };
    part(name).onkeydown = (event) => event.stopPropagation();
  }
  panes.onkeydown = (event) => {
    const step = 0.1 / state.zoom;
    const acts = {
      "+": () => look(state.zoom * 1.4), "-": () => look(state.zoom / 1.4), 0: () => look(1, 0.5, 0.5), 1: one, i: invert,
      ArrowUp: () => look(state.zoom, state.x, state.y - step), ArrowDown: () => look(state.zoom, state.x, state.y + step),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
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
    const box = document.createElement("div"), image = document.createElement("img"), line = document.createElement("p");
    box.className = "pane";
    image.alt = pane.alt;
    image.draggable = false;
    image.onload = paint;
    image.onerror = () => { line.textContent = "This picture cannot be opened."; };
    image.src = pane.src;
    if (pane.href) {
      const link = document.createElement("a");
      link.href = pane.href;
      link.target = "_blank";
      link.textContent = pane.title;
      line.append(link);
    } else line.textContent = pane.title;
    box.append(image, line);
    let from = null;
    box.onpointerdown = (event) => {
      if (event.target.tagName === "A") return;
      box.setPointerCapture(event.pointerId);
      from = [event.clientX, event.clientY];
    };
    box.onpointermove = (event) => {
      if (!from || !image.naturalWidth) return;
      const shown = scale(box, image);
      const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
      from = [event.clientX, event.clientY];
      look(state.zoom, state.x - dx / (shown * image.naturalWidth), state.y - dy / (shown * image.naturalHeight));
    };
    box.onpointerup = box.onpointercancel = () => { from = null; };
    box.onwheel = (event) => {
      event.preventDefault();
      look(state.zoom * Math.exp(-event.deltaY / 400));
    };
    return box;
  }

  function fitting(box, image) {
    return Math.min(box.clientWidth / image.naturalWidth, box.clientHeight / image.naturalHeight);
  }

  function scale(box, image) {
    const fit = fitting(box, image);
    // Tiny pictures arrive enlarged already; blowing them up further helps nobody.
    return state.zoom * (data.tiny ? Math.min(fit, 1) : fit);
  }

  function one() {
    const box = panes.firstElementChild, image = box.querySelector("img");
    if (image.naturalWidth) look(1 / (data.tiny ? Math.min(fitting(box, image), 1) : fitting(box, image)));
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

  function paint() {
    const light = `brightness(${part("brightness").value}%) contrast(${part("contrast").value}%)`;
    part("invert").setAttribute("aria-pressed", String(state.invert));
    for (const box of panes.children) {
      const image = box.querySelector("img");
      if (!image.naturalWidth) continue;
      const shown = scale(box, image);
      const left = box.clientWidth / 2 - state.x * image.naturalWidth * shown;
      const top = box.clientHeight / 2 - state.y * image.naturalHeight * shown;
      image.style.transform = `translate(${left}px, ${top}px) scale(${shown})`;
      image.style.imageRendering = shown >= 3 ? "pixelated" : "auto";
      image.style.filter = `${state.invert ? "invert(1) " : ""}${light}`;
      if (box === panes.firstElementChild) part("said").textContent = `${Math.round(100 * shown)} %`;
    }
    root.dataset.zoom = state.zoom.toFixed(2);
  }
}
