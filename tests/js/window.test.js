// Window and level: the arithmetic of DICOM PS3.3 C.11.2.1.2, and which window a film is opened in.
import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./load.js";

const { between, lookup, nudged, presetsOf, windowOf } = load(
  ["components/viewer/window.js"],
  ["between", "lookup", "nudged", "presetsOf", "windowOf"],
);
const facts = { windows: [], auto: [10, 20], full: [0, 100], hounsfield: false, slope: 1, intercept: 0, inverted: false };
const grey = (table, stored) => table[stored] & 0xff;

test("LINEAR is the standard's formula, half a step off on purpose", () => {
  const table = lookup(facts, { centre: 2048, width: 4096 }, false);
  for (const stored of [0, 1, 1000, 2047, 2048, 4094, 4095]) {
    const y = ((stored - (2048 - 0.5)) / (4096 - 1) + 0.5) * 255;
    assert.equal(grey(table, stored), Math.round(Math.min(Math.max(y, 0), 255)), `at ${stored}`);
  }
});

test("a window of one is a threshold, and nothing divides by zero", () => {
  const table = lookup(facts, { centre: 50, width: 1 }, false);
  assert.deepEqual([grey(table, 49), grey(table, 50), grey(table, 51)], [0, 255, 255]);
});

test("LINEAR_EXACT and SIGMOID pass through the middle at the centre", () => {
  for (const name of ["LINEAR_EXACT", "SIGMOID"]) {
    const table = lookup(facts, { centre: 300, width: 200, function: name }, false);
    assert.ok(Math.abs(grey(table, 300) - 127.5) <= 0.5, name);
    assert.ok(grey(table, 250) < grey(table, 350), name);
  }
});

test("slope and intercept come before the window, inversion after it", () => {
  const ct = { ...facts, slope: 2, intercept: -1000 };
  const lung = { centre: -600, width: 1500 };
  const plain = lookup(ct, lung, false), turned = lookup(ct, lung, true), file = lookup({ ...ct, inverted: true }, lung, false);
  for (const stored of [0, 100, 200, 500, 900]) {
    assert.equal(grey(plain, stored) + grey(turned, stored), 255);
    assert.equal(grey(file, stored), grey(turned, stored));
  }
  assert.equal(grey(plain, 200), Math.round((((-600 + 600 + 0.5) / 1499) + 0.5) * 255));
});

test("a film opens in its own first window, or in the one chosen for the film before", () => {
  const deep = { facts, presets: presetsOf({ ...facts, windows: [{ centre: 1, width: 2 }, { centre: 3, width: 4 }] }) };
  assert.deepEqual([...deep.presets.keys()], ["file 1", "file 2", "auto", "full range"]);
  assert.deepEqual(windowOf(deep, null), { centre: 1, width: 2, preset: "file 1" });
  assert.equal(windowOf(deep, { preset: "auto" }).centre, 15);
  assert.equal(windowOf(deep, { preset: "lung" }).preset, "file 1"); // no CT
  const own = { centre: 7, width: 8, hounsfield: false };
  assert.equal(windowOf(deep, own), own);
  assert.equal(windowOf(deep, { ...own, hounsfield: true }).preset, "file 1"); // of a CT: another unit
});

test("CT presets are offered to CT alone", () => {
  assert.ok(presetsOf({ ...facts, hounsfield: true }).has("brain"));
  assert.ok(!presetsOf(facts).has("brain"));
});

test("a drag moves by shares of the width and never closes the window", () => {
  const deep = { facts: { ...facts, slope: 0.5 } };
  const moved = nudged(deep, { centre: 100, width: 50 }, 0.1, 0);
  assert.deepEqual([moved.centre, moved.width], [105, 50]);
  assert.equal(nudged(deep, { centre: 100, width: 50 }, 0, -1000).width, 1);
});

test("a flat picture gets a window all the same", () => {
  assert.ok(between([5, 5]).width > 0);
});
