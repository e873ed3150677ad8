// Functions of the components' files, which share one scope in the browser and export nothing.
import { readFileSync } from "node:fs";

/** The named declarations of the files (paths from dashboard/), run in order in one scope; `scope` are globals. */
export function load(files, names, scope = {}) {
  const text = files.map((file) => readFileSync(new URL(`../../dashboard/${file}`, import.meta.url), "utf8")).join("\n");
  const body = `${text.replace(/^export default function/gm, "function component")}\nreturn { ${names.join(", ")} };`;
  return new Function(...Object.keys(scope), body)(...Object.values(scope));
}

/** As much of sessionStorage as the scripts use. */
export function storage() {
  const kept = new Map();
  return { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => void kept.set(name, String(value)) };
}
