// Grey pictures of more than 8 bits: fetched whole, once, and put through a window in the browser.
//
// A window is a centre and a width in the picture's own units; without a function it is DICOM's LINEAR. Presets are
// found by name, so that "auto" means each picture's own percentiles and "lung" the same everywhere.

const CT_PRESETS = [["lung", -600, 1500], ["mediastinum", 50, 350], ["soft tissue", 40, 400], ["bone", 400, 1800], ["brain", 40, 80]];
const KEPT_DEEP = 6; // pictures kept in memory, 32 MB each at most

const WINDOW = "lsi-window"; // what the reader chose, kept for the next sample and the next visit of a page

const deepPictures = new Map();

function rememberedWindow() {
  try {
    return JSON.parse(sessionStorage.getItem(WINDOW));
  } catch {
    return null;
  }
}

function rememberWindow(window) {
  sessionStorage.setItem(WINDOW, JSON.stringify(window));
}

function loadDeep(url) {
  if (!deepPictures.has(url)) {
    const loading = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(await answer.text());
      const facts = JSON.parse(answer.headers.get("X-LSI-Deep"));
      return { facts, values: new Uint16Array(await answer.arrayBuffer()), presets: presetsOf(facts) };
    });
    loading.catch(() => deepPictures.delete(url));
    deepPictures.set(url, loading);
    while (deepPictures.size > KEPT_DEEP) deepPictures.delete(deepPictures.keys().next().value);
  }
  return deepPictures.get(url);
}

function between([low, high]) {
  return { centre: (low + high) / 2, width: Math.max(high - low, 1e-9), function: "LINEAR_EXACT" };
}

// The file's own windows first: the first preset is what is shown first.
function presetsOf(facts) {
  const found = new Map(facts.windows.map((one, i) => [facts.windows.length > 1 ? `file ${i + 1}` : "file", one]));
  found.set("auto", between(facts.auto));
  found.set("full range", between(facts.full));
  if (facts.hounsfield) for (const [name, centre, width] of CT_PRESETS) found.set(name, { centre, width });
  return found;
}

// The window in which a picture is shown, given what the reader chose for another one perhaps.
function windowOf(deep, chosen) {
  if (chosen?.preset && deep.presets.has(chosen.preset)) return { ...deep.presets.get(chosen.preset), preset: chosen.preset };
  if (chosen && !chosen.preset && chosen.hounsfield === deep.facts.hounsfield) return chosen;
  const [preset, first] = deep.presets.entries().next().value;
  return { ...first, preset };
}

// ``now`` moved by shares of its width, so that the same movement does the same to a CT and to a film.
function nudged(deep, now, centre, width) {
  const narrowest = Math.max(Math.abs(2 * deep.facts.slope), 1e-9);
  return {
    centre: now.centre + centre * now.width,
    width: Math.max(now.width * Math.exp(width), narrowest),
    hounsfield: deep.facts.hounsfield,
  };
}

// Grey by stored value, as canvas pixels: 65 536 entries, so any function costs the same.
function lookup(facts, window, invert) {
  const table = new Uint32Array(65536), { centre, width } = window;
  const turned = facts.inverted !== invert;
  const share = {
    LINEAR_EXACT: (grey) => (grey - centre) / width + 0.5,
    SIGMOID: (grey) => 1 / (1 + Math.exp((-4 * (grey - centre)) / width)),
    LINEAR: (grey) => (width > 1 ? (grey - centre + 0.5) / (width - 1) + 0.5 : Number(grey > centre - 0.5)),
  }[window.function ?? "LINEAR"];
  for (let stored = 0; stored < 65536; stored++) {
    const level = Math.round(255 * Math.min(Math.max(share(stored * facts.slope + facts.intercept), 0), 1));
    table[stored] = ((turned ? 255 - level : level) * 0x010101 | 0xff000000) >>> 0;
  }
  return table;
}

function drawDeep(canvas, deep, window, invert) {
  const wanted = JSON.stringify([window.centre, window.width, window.function, invert]);
  if (canvas.drawn === wanted) return;
  canvas.drawn = wanted;
  const { width, height } = deep.facts, table = lookup(deep.facts, window, invert);
  const context = canvas.getContext("2d"), pixels = (canvas.pixels ??= context.createImageData(width, height));
  const out = new Uint32Array(pixels.data.buffer), { values } = deep;
  for (let i = 0; i < values.length; i++) out[i] = table[values[i]];
  context.putImageData(pixels, 0, 0);
}
