// Acts that a desk has sent and the server has not acknowledged yet: they survive a reload, and are sent again.

const RESEND_MS = 3000; // a message may be lost while the server is away; sending one twice changes nothing
const SILENT_MS = 5000; // no answer for so long is not a slow one

const token = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

const stored = (name) => {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? [];
  } catch {
    return [];
  }
};

// What a reader is told about ``outbox``, which has waited for an answer since ``since`` (null: it is about to be sent).
const savedText = (outbox, since) => {
  if (!outbox.length) return "all saved";
  if (since === null || Date.now() - since < SILENT_MS) return "saving …";
  return `The server does not answer: ${outbox.length} kept in this tab, sent once it is back. You can go on.`;
};

// While the server is away Streamlit lays a dialog over the whole page, which takes the desk's clicks. The desk says it
// in its own place and goes on, so the dialog is closed; no other opens beside a desk. Returns what ends this.
const uncovered = () => {
  const uncover = () =>
    document.querySelector('[data-testid="stDialog"] [role="dialog"] button[aria-label="Close"]')?.click();
  const watcher = new MutationObserver(uncover);
  watcher.observe(document.body, { childList: true });
  uncover();
  return () => watcher.disconnect();
};
