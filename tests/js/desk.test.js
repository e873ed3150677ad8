// What a desk keeps until the server has it, and how it says numbers.
import assert from "node:assert/strict";
import test from "node:test";
import { load, storage } from "./load.js";

const sessionStorage = storage();
const { savedText, stored, token, SILENT_MS } = load(
  ["desks/outbox.js"],
  ["savedText", "stored", "token", "SILENT_MS"],
  { sessionStorage, crypto: globalThis.crypto },
);
const { percent } = load(["components/tiles/tiles.js", "desks/review/parts.js"], ["percent"]);

test("an outbox survives a reload, and a damaged one is an empty one", () => {
  assert.deepEqual(stored("box"), []);
  sessionStorage.setItem("box", JSON.stringify([{ token: "a" }]));
  assert.deepEqual(stored("box"), [{ token: "a" }]);
  sessionStorage.setItem("box", "{half");
  assert.deepEqual(stored("box"), []);
});

test("tokens are 128 bits and never the same", () => {
  const made = new Set(Array.from({ length: 1000 }, token));
  assert.equal(made.size, 1000);
  for (const one of made) assert.match(one, /^[0-9a-f]{32}$/);
});

test("the reader is told the truth about what is saved", () => {
  assert.equal(savedText([], null), "all saved");
  assert.equal(savedText([1], null), "saving …");
  assert.equal(savedText([1], Date.now()), "saving …");
  assert.match(savedText([1, 2], Date.now() - SILENT_MS - 1), /does not answer: 2 kept in this tab/);
});

test("certainty is never claimed and a chance is never nothing", () => {
  assert.equal(percent(0.5), "50.0 %");
  assert.equal(percent(0.99995), ">99.9 %");
  assert.equal(percent(0.00001), "<0.1 %");
  assert.equal(percent(0), "0.0 %");
  assert.equal(percent(1), "100.0 %");
});
