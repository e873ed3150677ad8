// A scatter of up to a million points: WebGL where there is one, else a plain canvas. Drag draws an area; the wheel
// zooms. Positions and colours are fetched once; what a rerun sends is which points are bright.
// Needs drawing.js in front.

const CELLS = 160; // of the grid that finds the point under the pointer
const REACH = 9; // pixels from the pointer to a point
const CORNER = 5; // pixels between two corners of an area
const MOST_CORNERS = 60;
const DIM = 0.1;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".map");
  const part = (name) => root.querySelector(`.${name}`);
  const stage = part("stage"), over = part("over"), tip = part("tip");
  const state = (root.lsi ??= { view: null, mode: "lasso", drawing: null, ready: false });
  state.engine ??= webgl(part("points")) ?? plain(part("points"));
  state.data = data;
  stage.setAttribute("aria-label", data.alt);
  stage.setAttribute("role", "img");
  state.set = setTriggerValue;
  root.dataset.ready = "";

  Promise.all([load(data.points, floats), load(data.codes, shorts)]).then(([places, codes]) => {
    if (state.data !== data) return;
    if (state.places !== places) Object.assign(state, { places, grid: grid(places), view: null });
    state.codes = codes;
    state.engine.points(places, tinted(codes, data));
    fit(false);
    paint();
    root.dataset.ready = String(places.length / 2);
    part("said").textContent = state.mode === "lasso" ? "Drag around points to filter every page." : "";
  }, () => { part("said").textContent = "The points could not be loaded: reload the page."; });
  load(data.ids, lines).then((ids) => { state.ids = ids; });
  load(data.labels, shorts).then((labels) => { state.labels = labels; });

  press("mode-lasso", () => mode("lasso"));
  press("mode-move", () => mode("move"));
  press("zoom-in", () => zoom(1.4, state.view.w / 2, state.view.h / 2));
  press("zoom-out", () => zoom(1 / 1.4, state.view.w / 2, state.view.h / 2));
  press("fit", () => { fit(true); paint(); });
  press("png", save);
  mode(state.mode);
  over.onpointerdown = down;
  over.onpointermove = moved;
  over.onpointerup = up;
  over.onpointerleave = () => { tip.hidden = true; };
  over.onwheel = (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 500), event.offsetX, state.view.h - event.offsetY);
  };
  stage.onkeydown = (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
    if (steps[event.key]) shift(...steps[event.key]);
    else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.4 : 1 / 1.4, state.view.w / 2, state.view.h / 2);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  state.watch?.disconnect();
  state.watch = new ResizeObserver(() => { if (state.places) { fit(false); paint(); } });
  state.watch.observe(stage);
  return () => state.watch.disconnect();

  // The points as they are seen, on the reader's background, in a file.
  function save() {
    const points = part("points"), picture = document.createElement("canvas"), context = picture.getContext("2d");
    Object.assign(picture, { width: points.width, height: points.height });
    context.fillStyle = getComputedStyle(stage).backgroundColor;
    context.fillRect(0, 0, picture.width, picture.height);
    for (const canvas of [points, over]) context.drawImage(canvas, 0, 0);
    picture.toBlob((content) => {
      const link = document.createElement("a");
      Object.assign(link, { href: URL.createObjectURL(content), download: `${state.data.file}.png` });
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  function press(name, act) { part(name).onclick = () => state.places && act(); }

  function mode(name) {
    state.mode = name;
    for (const one of ["lasso", "move"]) part(`mode-${one}`).setAttribute("aria-pressed", String(one === name));
    over.classList.toggle("moving", name === "move");
  }

  function tinted(codes, { palette, shown }) {
    const colours = palette.map(rgb), made = new Uint8Array(4 * codes.length);
    const bits = shown && Uint8Array.from(atob(shown), (letter) => letter.charCodeAt(0));
    const bright = codes.length > 200_000 ? 0.45 : codes.length > 20_000 ? 0.65 : 0.85;
    for (let i = 0; i < codes.length; i++) {
      const on = !bits || (bits[i >> 3] >> (7 - (i & 7))) & 1;
      made.set(colours[codes[i]] ?? [138, 143, 152], 4 * i);
      made[4 * i + 3] = 255 * (on ? bright : DIM);
    }
    return made;
  }

  function grid(places) {
    const cells = new Map();
    for (let i = 0; i < places.length / 2; i++) {
      if (Number.isNaN(places[2 * i])) continue;
      const cell = Math.floor(places[2 * i] * CELLS) + (CELLS + 2) * Math.floor(places[2 * i + 1] * CELLS);
      cells.has(cell) ? cells.get(cell).push(i) : cells.set(cell, [i]);
    }
    return cells;
  }

  function fit(again) {
    const box = stage.getBoundingClientRect(), w = box.width, h = box.height;
    for (const canvas of [part("points"), over]) {
      canvas.width = w * devicePixelRatio;
      canvas.height = h * devicePixelRatio;
    }
    const count = state.places.length / 2;
    if (!state.view || again) {
      const k = 0.94 * Math.min(w, h);
      state.view = { w, h, k, x: (w - k) / 2, y: (h - k) / 2, size: count > 100_000 ? 2 : count > 10_000 ? 3 : 5 };
    }
    // Another size of the window keeps what is seen in the middle.
    const view = state.view, by = Math.min(w, h) / Math.min(view.w, view.h);
    Object.assign(view, { x: w / 2 + (view.x - view.w / 2) * by, y: h / 2 + (view.y - view.h / 2) * by, k: view.k * by, w, h });
  }

  function zoom(by, x, y) {
    const view = state.view, k = Math.min(Math.max(view.k * by, 80), 200_000);
    view.x = x - ((x - view.x) * k) / view.k;
    view.y = y - ((y - view.y) * k) / view.k;
    view.k = k;
    paint();
  }

  function shift(dx, dy) {
    state.view.x += dx;
    state.view.y += dy;
    paint();
  }

  function paint() {
    state.engine.draw(state.view, state.places.length / 2);
    const context = over.getContext("2d"), view = state.view;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, view.w, view.h);
    const corners = state.drawing?.corners ?? (state.data.lasso ?? []).map(([x, y]) => [view.x + x * view.k, view.h - view.y - y * view.k]);
    if (corners.length < 2) return;
    context.beginPath();
    corners.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = "rgb(97 114 243 / .12)";
    context.strokeStyle = "#6172f3";
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }

  function down(event) {
    if (!state.places || event.button) return;
    over.setPointerCapture(event.pointerId);
    state.drawing = { corners: [[event.offsetX, event.offsetY]], moving: state.mode === "move" || event.shiftKey, travelled: 0 };
    tip.hidden = true;
  }

  function moved(event) {
    const drawing = state.drawing;
    if (!state.places) return;
    if (!drawing) return hover(event);
    const [x, y] = drawing.corners.at(-1);
    const far = Math.hypot(event.offsetX - x, event.offsetY - y);
    if (drawing.moving) {
      drawing.travelled += far;
      drawing.corners = [[event.offsetX, event.offsetY]];
      return shift(event.offsetX - x, y - event.offsetY);
    }
    if (far >= CORNER) {
      drawing.travelled += far;
      drawing.corners.push([event.offsetX, event.offsetY]);
      paint();
    }
  }

  function up(event) {
    const drawing = state.drawing;
    state.drawing = null;
    if (!drawing) return;
    if (drawing.travelled < 6) {
      const found = nearest(event.offsetX, event.offsetY);
      if (found !== null && state.ids) state.set("open", state.ids[found]);
    } else if (!drawing.moving && drawing.corners.length > 2) {
      const step = Math.ceil(drawing.corners.length / MOST_CORNERS), view = state.view;
      const corners = drawing.corners.filter((_, i) => i % step === 0);
      const rounded = (value) => Math.round(value * 1e3) / 1e3;
      state.set("lasso", corners.map(([x, y]) => [rounded((x - view.x) / view.k), rounded((view.h - view.y - y) / view.k)]));
    }
    paint();
  }

  function nearest(x, y) {
    const view = state.view, px = (x - view.x) / view.k, py = (view.h - view.y - y) / view.k;
    const reach = REACH / view.k, cells = Math.ceil(reach * CELLS);
    let best = null, closest = reach;
    for (let row = Math.floor(py * CELLS) - cells; row <= Math.floor(py * CELLS) + cells; row++) {
      for (let column = Math.floor(px * CELLS) - cells; column <= Math.floor(px * CELLS) + cells; column++) {
        for (const i of state.grid.get(column + (CELLS + 2) * row) ?? []) {
          const far = Math.hypot(state.places[2 * i] - px, state.places[2 * i + 1] - py);
          if (far < closest) [best, closest] = [i, far];
        }
      }
    }
    return best;
  }

  function hover(event) {
    const found = nearest(event.offsetX, event.offsetY);
    tip.hidden = found === null || !state.ids;
    if (tip.hidden) return;
    const id = state.ids[found];
    if (tip.dataset.id !== id) {
      tip.dataset.id = id;
      tip.replaceChildren();
      if (data.picture) {
        const image = document.createElement("img");
        image.src = data.picture.replace("SAMPLE", encodeURIComponent(id));
        image.alt = "";
        tip.append(image);
      }
      tip.append(`${state.labels ? data.classes[state.labels[found]] + " · " : ""}${id}`);
    }
    tip.style.left = `${Math.min(event.offsetX + 14, state.view.w - 150)}px`;
    tip.style.top = `${Math.min(event.offsetY + 14, state.view.h - 180)}px`;
  }
}
