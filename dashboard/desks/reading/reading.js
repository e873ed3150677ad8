// Blinded reading: a case without its label; a key or a click labels it and shows the next. Needs tiles.js, keys.js, window.js,
// deep_face.js and outbox.js in front.
//
// As at the reviewing desk, answers wait in an outbox that survives a reload until the server has acknowledged them.

const SETTLE_MS = 250; // a second press sooner than this was meant for the case before
const DEEP_AHEAD = 3; // films fetched ahead with all their bits

const button = (key, text, act) => {
  const made = element("button");
  made.type = "button";
  made.append(element("kbd", "", key), element("span", "text", text));
  made.title = text;
  made.setAttribute("aria-keyshortcuts", key);
  made.onclick = (event) => event.detail <= 1 && act();
  return made;
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".reading");
  const part = (name) => root.querySelector(`.${name}`);
  const box = `lsi-reading-${data.reading}`;
  const state = (root.lsi ??= { reading: null, outbox: [], items: [], past: [], shown: null, since: 0, unanswered: null, film: null });
  if (state.reading !== data.reading) {
    Object.assign(state, { reading: data.reading, outbox: stored(box), items: [], past: [], shown: null });
    if (state.outbox.length) send();
  }
  const done = new Set(data.acknowledged);
  if (state.outbox.some((act) => done.has(act.token))) {
    state.outbox = state.outbox.filter((act) => !done.has(act.token));
    state.unanswered = state.outbox.length ? Date.now() : null;
  }
  sessionStorage.setItem(box, JSON.stringify(state.outbox));
  const pending = new Set(state.outbox.map((act) => act.case));
  const again = state.items[0]?.again ? [state.items[0]] : [];
  state.items = [...again, ...data.items.filter((item) => !pending.has(item.id) && item.id !== again[0]?.id)];
  for (const item of state.items.filter((item) => item.deep).slice(0, DEEP_AHEAD)) loadDeep(item.deep).catch(() => {});
  state.warm = state.items.filter((item) => item.src && !item.deep).map((item) => Object.assign(new Image(), { src: item.src }));
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
  const resend = setInterval(() => {
    if (!state.outbox.length) return;
    send();
    draw();
  }, RESEND_MS);
  state.forget?.();
  const cover = uncovered();
  state.forget = () => {
    cover();
    document.removeEventListener("keydown", keys, true);
    clearInterval(resend);
  };
  return () => state.forget?.();

  function send() {
    state.unanswered ??= Date.now();
    sessionStorage.setItem(box, JSON.stringify(state.outbox));
    setStateValue("outbox", state.outbox);
  }

  function actions() {
    const list = [];
    if (state.items.length) {
      data.labels.forEach((label, i) => list.push({ key: i < 9 ? String(i + 1) : "", text: label, run: () => answer(label) }));
      list.push({ key: "0", text: "Cannot tell", run: () => answer("") });
      list.push({ key: "N", text: "Note", run: note });
      list.push(...(state.film?.acts ?? []));
    }
    if (state.past.length) list.push({ key: "Z", text: "Back", run: back });
    list.push({ key: "?", text: "Keys", run: help });
    return list;
  }

  function answer(label) {
    const item = state.items[0];
    if (!item || performance.now() - state.since < SETTLE_MS) return;
    const field = part("note");
    state.outbox.push({ reading: data.reading, token: token(), case: item.id, label, note: field.value.trim() });
    field.value = "";
    field.hidden = true;
    state.past.push({ ...item, again: true });
    state.items.shift();
    draw();
    send();
  }

  function back() {
    state.items.unshift(state.past.pop());
    draw();
  }

  function help() {
    toggleKeys(part("keys"), actions(), [["Enter", "In a note: done"], ["Shift Enter", "In a note: a new line"]]);
  }

  function note() {
    const field = part("note");
    field.hidden = false;
    field.focus();
    field.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        field.blur();
      }
    };
  }

  function draw() {
    const item = state.items[0];
    const read = Math.min(data.read + new Set(state.outbox.map((act) => act.case)).size, data.total);
    root.dataset.case = item?.id ?? "";
    root.dataset.unsaved = state.outbox.length;
    if (item && state.shown !== item.id) state.since = performance.now();
    part("bar").firstElementChild.style.width = `${(100 * read) / data.total}%`;
    part("progress").textContent = `${read.toLocaleString("en")} of ${data.total.toLocaleString("en")} read`;
    part("saved").textContent = savedText(state.outbox, state.unanswered);
    part("empty").hidden = Boolean(item);
    part("stage").hidden = !item;
    part("empty").textContent = state.outbox.length ? "One moment …" : data.finished;
    const made = actions();
    const aside = (act) => act.key === "Z" || act.key === "?";
    part("buttons").replaceChildren(...made.filter((act) => !aside(act) && act.kind !== "film").map((act) => button(act.key, act.text, act.run)));
    part("undo").replaceChildren(...made.filter(aside).map((act) => button(act.key, act.text, act.run)));
    if (!item || state.shown === item.id) {
      state.shown = item?.id ?? null;
      return;
    }
    state.shown = item.id;
    const head = element("div", "case");
    head.append(element("span", "", `Case ${item.id.slice(0, 6)}`));
    const named = { ...item, alt: `Case ${item.id.slice(0, 6)}` };
    const picture = item.deep ? deepFace(named) : face(named);
    state.film = item.deep ? picture : null;
    if (item.src && !item.deep) picture.classList.toggle("tiny", item.tiny);
    part("stage").replaceChildren(head, picture);
  }
}
