// Needs tiles.js in front.

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".gallery");
  const state = (root.lsi ??= { selected: new Set(), anchor: null, shown: "", epoch: null });
  const shown = JSON.stringify(data.sections);
  let changed = false;
  if (state.epoch !== data.epoch) {
    changed = state.selected.size > 0;
    state.selected.clear();
    state.epoch = data.epoch;
  }
  if (state.shown !== shown) {
    state.shown = shown;
    build();
  }
  paint();
  if (changed) setStateValue("selected", []);

  function tiles() {
    return [...root.querySelectorAll(".tile")];
  }

  function paint() {
    for (const tile of tiles()) {
      const on = state.selected.has(tile.dataset.id);
      tile.classList.toggle("selected", on);
      const box = tile.querySelector("input");
      if (box) box.checked = on;
    }
  }

  function select(tile, range) {
    const all = tiles();
    const id = tile.dataset.id;
    if (range && state.anchor) {
      const ends = [all.findIndex((t) => t.dataset.id === state.anchor), all.indexOf(tile)].sort((a, b) => a - b);
      for (const between of all.slice(Math.max(ends[0], 0), ends[1] + 1)) state.selected.add(between.dataset.id);
    } else {
      if (!state.selected.delete(id)) state.selected.add(id);
      state.anchor = id;
    }
    paint();
    setStateValue("selected", [...state.selected]);
  }

  function move(tile, key) {
    const all = tiles();
    const from = tile.getBoundingClientRect();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) return all[all.indexOf(tile) + step];
    const down = key === "ArrowDown";
    // The nearest tile of the next row, straight below or above.
    const rows = all.filter((other) => {
      const at = other.getBoundingClientRect();
      return down ? at.top >= from.bottom - 1 : at.bottom <= from.top + 1;
    });
    const distance = (other) => {
      const at = other.getBoundingClientRect();
      return Math.abs(at.top - from.top) * 1000 + Math.abs(at.left - from.left);
    };
    return rows.sort((a, b) => distance(a) - distance(b))[0];
  }

  function made(tile) {
    const box = element("div", "tile");
    box.dataset.id = tile.id;
    const open = element("a", "open");
    open.href = tile.href;
    open.append(face(tile), caption(tile));
    open.onclick = (event) => {
      event.preventDefault();
      if (data.selectable && (event.shiftKey || event.ctrlKey || event.metaKey)) select(box, event.shiftKey);
      else setTriggerValue("open", tile.id);
    };
    open.onkeydown = (event) => {
      if (event.key === " " && data.selectable) {
        event.preventDefault();
        select(box, event.shiftKey);
      } else if (event.key.startsWith("Arrow")) {
        const target = move(box, event.key);
        if (target) {
          event.preventDefault();
          target.querySelector(".open").focus();
        }
      }
    };
    box.append(open);
    if (data.selectable) {
      const check = element("input", "check");
      check.type = "checkbox";
      check.title = "Select (Space; Shift for a range)";
      check.setAttribute("aria-label", `Select ${tile.alt}`);
      check.onclick = (event) => select(box, event.shiftKey);
      box.append(check);
    }
    return box;
  }

  function build() {
    root.replaceChildren();
    root.style.setProperty("--tile", `${data.tile}px`);
    for (const section of data.sections) {
      const card = element("section", "card" + (data.framed ? " framed" : ""));
      if (section.title) {
        const title = element("h3");
        title.append(labelled({ name: section.title, colour: section.colour }));
        if (section.note) title.append(element("small", "", section.note));
        card.append(title);
      }
      const groups = element("div", section.groups.length > 1 ? "groups side" : "groups");
      for (const group of section.groups) {
        const holder = element("div", "group");
        if (group.caption) holder.append(element("p", "", group.caption));
        const grid = element("div", "tiles");
        if (group.columns) grid.style.gridTemplateColumns = `repeat(${group.columns}, minmax(0, 1fr))`;
        grid.append(...group.tiles.map(made));
        holder.append(grid);
        groups.append(holder);
      }
      card.append(groups);
      root.append(card);
    }
  }
}
