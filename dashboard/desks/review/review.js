// One sample at a time: a key or a click decides it and shows the next. Needs tiles.js, keys.js, window.js, deep_face.js,
// outbox.js and parts.js in front.
//
// Every act goes into an outbox that is sent whole until the server has acknowledged it, and that survives a
// reload (sessionStorage). Acts carry a token, so sending one twice changes nothing.

const SETTLE_MS = 250; // a second press sooner than this was meant for the sample before
const MOST_CANDIDATES = 6;
const DEEP_AHEAD = 3; // films fetched ahead with all their bits

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".review");
  const part = (name) => root.querySelector(`.${name}`);
  const box = `lsi-outbox-${data.run}`;
  const state = (root.lsi ??= {
    run: null, outbox: [], items: [], shown: null, since: 0, noteFor: null, undoing: false, times: [], warm: new Map(), drawn: "",
    unanswered: null, film: null,
  });

  if (state.run !== data.run) {
    Object.assign(state, { run: data.run, outbox: stored(box), items: [], shown: null, undoing: false, drawn: "" });
    if (state.outbox.length) send();
  }
  const done = new Set(data.acknowledged);
  if (state.outbox.some((act) => done.has(act.token))) {
    state.outbox = state.outbox.filter((act) => !done.has(act.token));
    state.unanswered = state.outbox.length ? Date.now() : null;
    sessionStorage.setItem(box, JSON.stringify(state.outbox));
  }
  if (!state.outbox.some((act) => act.action === "undo")) state.undoing = false;
  const pending = new Set(state.outbox.map((act) => act.sample_id));
  state.items = data.items.filter((item) => !pending.has(item.id));
  warm();
  draw();

  const keys = (event) => {
    const at = event.composedPath()[0];
    const typing = at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));
    if (typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = actions().find((one) => one.key === event.key.toUpperCase());
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act.run();
  };
  document.addEventListener("keydown", keys, true);
  const again = setInterval(() => {
    if (!state.outbox.length) return;
    send();
    drawProgress();
  }, RESEND_MS);
  state.forget?.();
  const cover = uncovered();
  state.forget = () => {
    cover();
    document.removeEventListener("keydown", keys, true);
    clearInterval(again);
  };
  return () => state.forget?.();

  function send() {
    state.unanswered ??= Date.now();
    sessionStorage.setItem(box, JSON.stringify(state.outbox));
    setStateValue("outbox", state.outbox);
  }

  function reviewer() {
    return localStorage.getItem("lsi-reviewer") || data.reviewer;
  }

  function current() {
    return state.undoing ? null : state.items[0] ?? null;
  }

  function actions() {
    const item = current();
    const list = [];
    if (item) {
      const others = item.candidates.filter((candidate) => candidate.name !== item.given.name).slice(0, MOST_CANDIDATES);
      list.push({ key: "1", kind: "keep", text: data.wrong ? "Keep" : `Keep ${item.given.name}`, run: () => decide("keep") });
      if (data.wrong) list.push({ key: "2", kind: "drop", text: "Caption wrong", run: () => decide("drop", null, data.wrong) });
      if (others[0]) {
        list.push({ key: "2", kind: "relabel", label: others[0], text: `Relabel ${others[0].name}`, run: () => decide("relabel", others[0].name) });
      }
      list.push({ key: "3", kind: "drop", text: "Drop", run: () => decide("drop") });
      list.push({ key: "4", kind: "unsure", text: "Unsure", run: () => decide("unsure") });
      others.slice(1).forEach((label, i) =>
        list.push({ key: String(5 + i), kind: "other", label, text: label.name, run: () => decide("relabel", label.name) }));
      list.push({ key: "N", kind: "note", text: "Note", run: openNote });
      list.push(...(state.film?.acts ?? []));
    }
    list.push({ key: "Z", kind: "undo", text: "Undo", run: undo });
    list.push({ key: "?", kind: "help", text: "Keys", run: help });
    return list;
  }

  function decide(action, label = null, reason = "") {
    const item = current();
    if (!item || performance.now() - state.since < SETTLE_MS) return;
    const typed = state.noteFor === item.id ? part("note").value.trim() : "";
    const note = [reason, typed].filter(Boolean).join(": ");
    state.outbox.push({
      run: data.run, token: token(), action, sample_id: item.id, new_label: label, note,
      reviewer: reviewer(), expected_revision: item.revision, given_label: item.given.name,
    });
    state.times.push(Date.now());
    state.items.shift();
    closeNote();
    draw();
    send();
  }

  function undo() {
    if (state.undoing) return;
    state.undoing = true;
    state.times.pop();
    state.outbox.push({ run: data.run, token: token(), action: "undo", sample_id: "", reviewer: reviewer() });
    closeNote();
    draw();
    send();
  }

  function help() {
    toggleKeys(part("keys"), actions(), [["Enter", "In a note: done"], ["Shift Enter", "In a note: a new line"], ["Esc", "In a note: discard it"]]);
  }

  function openNote() {
    const item = current();
    if (!item) return;
    const field = part("note");
    if (state.noteFor !== item.id) field.value = "";
    state.noteFor = item.id;
    field.hidden = false;
    field.focus();
    field.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Escape") closeNote();
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        field.blur();
      }
    };
  }

  function closeNote() {
    part("note").hidden = true;
    part("note").value = "";
    state.noteFor = null;
  }

  function warm() {
    for (const item of state.items.filter((item) => item.deep).slice(0, DEEP_AHEAD)) loadDeep(item.deep).catch(() => {});
    for (const item of state.items) {
      if (!item.src || item.deep || state.warm.has(item.src)) continue;
      const image = new Image();
      image.src = item.src;
      state.warm.set(item.src, image); // held, so that the decoded picture stays in memory
    }
    while (state.warm.size > 24) state.warm.delete(state.warm.keys().next().value);
  }

  function draw() {
    drawProgress();
    const item = current();
    root.dataset.sample = item?.id ?? "";
    root.dataset.unsaved = state.outbox.length;
    if (item && state.shown !== item.id) {
      state.since = performance.now();
      closeNote();
    }
    state.shown = item?.id ?? null;
    part("empty").hidden = Boolean(item);
    part("desk").hidden = !item;
    part("empty").textContent = state.undoing || data.remaining > state.outbox.length ? "One moment …" : data.finished;
    const drawn = JSON.stringify(item);
    if (!item || drawn === state.drawn) return;
    state.drawn = drawn;
    drawStage(item);
    drawDoubt(item);
    part("near").replaceChildren(
      ...item.neighbours.flatMap((group) => {
        const tiles = element("div", "tiles");
        tiles.append(
          ...group.tiles.map((tile) => {
            const made = element("a", "tile");
            made.href = tile.href;
            made.target = "_blank";
            made.append(face(tile), compact(tile));
            return made;
          }),
        );
        return [element("p", "quiet", group.caption), tiles];
      }),
    );
    part("near").hidden = item.neighbours.length === 0;
  }

  function drawProgress() {
    const waiting = state.outbox.filter((act) => act.action !== "undo").length;
    const decided = Math.min(data.decided + waiting, data.total);
    part("bar").firstElementChild.style.width = `${data.total ? (100 * decided) / data.total : 0}%`;
    const recent = state.times.filter((time) => Date.now() - time < 600_000);
    const minutes = recent.length > 2 ? (Date.now() - recent[0]) / 60_000 : 0;
    const rate = minutes > 0.05 ? (recent.length - 1) / minutes : 0;
    const left = data.total - decided;
    let text = `${decided.toLocaleString("en")} of ${data.total.toLocaleString("en")} decided · ${left.toLocaleString("en")} left`;
    if (rate && left) text += ` · ${rate.toFixed(rate < 10 ? 1 : 0)} a minute, about ${Math.max(1, Math.round(left / rate))} min to go`;
    part("progress").textContent = text;
    part("saved").textContent = savedText(state.outbox, state.unanswered);
    const undoButton = button("Z", "Undo", undo);
    undoButton.setAttribute("aria-keyshortcuts", "Z");
    const helpButton = button("?", "Keys", help);
    helpButton.setAttribute("aria-expanded", String(!part("keys").hidden));
    part("undo").replaceChildren(undoButton, helpButton);
    part("conflicts").replaceChildren(
      ...data.conflicts.map((conflict) => {
        const line = element("div", "conflict");
        line.append(element("span", "", `⚠ Not saved: ${conflict.message}`));
        line.append(button("", "Show it", () => setTriggerValue("focus", conflict.sample_id)));
        return line;
      }),
    );
  }

  function drawStage(item) {
    const stage = part("stage");
    const head = element("div", "case");
    head.append(element("span", "", item.id), element("span", "", item.origin));
    const picture = item.deep ? deepFace(item) : face(item);
    state.film = item.deep ? picture : null;
    if (item.href) {
      const large = element("a", "", "Open large");
      Object.assign(large, { href: item.href, target: "_blank", title: "The sample's page: zoom, scores, neighbours" });
      head.append(large);
    }
    if (item.src && !item.deep) {
      picture.loading = "eager";
      picture.classList.toggle("tiny", item.tiny);
      picture.decoding = "sync";
    }
    stage.replaceChildren(head, picture);
    if (item.said) {
      const said = element("p", "said-large", item.said);
      said.dir = "auto";
      stage.append(said);
    }
  }

  function drawDoubt(item) {
    const head = element("div", "labels");
    if (!item.unlabelled) head.append("Given: ", labelled(item.given));
    if (item.suggested) head.append(element("span", "gap", "Suggested: "), labelled(item.suggested));
    const bars = element("div", "bars");
    for (const candidate of item.candidates) {
      const track = element("span", "track");
      const filled = element("span", "filled");
      filled.style.width = `${100 * candidate.probability}%`;
      filled.style.background = candidate.colour;
      track.append(filled);
      bars.append(element("span", "", candidate.name), track, element("span", "number", percent(candidate.probability)));
    }
    const standing = element("p", "standing", item.standing ?? "");
    standing.hidden = !item.standing;
    part("doubt").replaceChildren(head, element("p", "quiet", data.explains), bars, element("p", "quiet", item.numbers), standing);

    const all = actions();
    const rows = [element("div", "acts"), element("div", "acts others")];
    for (const act of all) {
      if (["undo", "help", "film"].includes(act.kind)) continue;
      const made = button(act.key, act.text, act.run, `act-${act.kind}`);
      made.setAttribute("aria-keyshortcuts", act.key);
      if (act.label) {
        const dot = element("i", "dot");
        dot.style.background = act.label.colour;
        made.insertBefore(dot, made.lastChild);
      }
      if (act.kind === "note" && data.labels.length > MOST_CANDIDATES + 1) rows[1].append(anyLabel(item));
      rows[act.kind === "other" || act.kind === "note" ? 1 : 0].append(made);
    }
    if (all.some((act) => act.kind === "other")) rows[1].prepend(element("span", "quiet", "or relabel"));
    part("buttons").replaceChildren(...rows.filter((row) => row.childElementCount));
  }

  function anyLabel(item) {
    const choice = element("select");
    choice.setAttribute("aria-label", "Relabel to any class");
    choice.append(new Option("any other class …", ""));
    for (const name of data.labels) if (name !== item.given.name) choice.append(new Option(name, name));
    choice.onchange = () => choice.value && decide("relabel", choice.value);
    return choice;
  }
}
