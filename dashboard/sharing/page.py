"""The sign-in form: one page that needs nothing else from the server."""

from __future__ import annotations

from dashboard import theme, words

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def form(action: str, problem: str = "", name: str = "") -> str:
    """The form as HTML; ``action`` is where it is sent, ``problem`` what was wrong the last time."""
    said = f'<p role="alert">{words.escape(problem)}</p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in · LSI Inspector</title><style>
:root {{ color-scheme: light dark; {_tokens(theme.LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_tokens(theme.DARK)} }} }}
body {{ font: 16px/1.5 {theme.FONT}; background: var(--page); color: var(--ink); margin: 0; min-height: 100vh;
  display: grid; place-items: center; }}
form {{ background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 28px 32px; width: 300px; }}
h1 {{ font-size: 20px; margin: 0 0 12px; }}
label {{ display: block; margin-top: 12px; font-size: 14px; }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: 8px 10px; border-radius: 8px;
  border: 1px solid var(--line); background: var(--page); color: var(--ink); }}
input:focus-visible, button:focus-visible {{ outline: 2px solid {theme.ACCENT}; outline-offset: 1px; }}
button {{ margin-top: 20px; background: var(--main); color: #fff; border: 0; cursor: pointer; }}
[role=alert] {{ border-left: 4px solid {theme.OKABE_ITO[5]}; padding-left: 10px; margin: 8px 0; font-size: 14px; }}
</style></head><body>
<form method="post" action="{words.escape(action)}"><h1>LSI Inspector</h1>{said}
<label>Your name, as it will stand on your decisions
<input name="name" value="{words.escape(name)}" maxlength="60" required autocomplete="name"></label>
<label>Shared password
<input name="password" type="password" required autocomplete="current-password"></label>
<button>Sign in</button></form></body></html>
"""


def _tokens(colours: dict[str, str]) -> str:
    names = {
        "page": "backgroundColor",
        "card": "secondaryBackgroundColor",
        "ink": "textColor",
        "line": "borderColor",
        "main": "primaryColor",
    }
    return " ".join(f"--{name}: {colours[token]};" for name, token in names.items())
