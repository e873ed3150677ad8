// The scripts as a browser gets them: `python -m dashboard.components.assets build/js` joins each component's files.
import { readFileSync } from "node:fs";
import js from "@eslint/js";
import globals from "globals";

// What one component does not use of a shared file, another does.
const shared = ["components/tiles/tiles", "components/viewer/window", "desks/keys", "desks/outbox"]
  .flatMap((name) => [...readFileSync(`dashboard/${name}.js`, "utf8").matchAll(/^(?:const|let|function) (\w+)/gm)])
  .map((match) => match[1]);

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    rules: {
      eqeqeq: ["error", "always"],
      "no-unused-vars": ["error", { args: "none", varsIgnorePattern: `^(${shared.join("|")})$` }],
    },
  },
];
