"""The page around a report: its style, its policy, and the few elements it is made of. All text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import pandas as pd

from dashboard import theme, words
from dashboard.charts.chart import Chart
from dashboard.report.drawing import WIDTH, drawn

#: Nothing may be fetched, run, framed or sent; only what is inside the file is shown.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: Rows of a figure's table; a longer one is thinned evenly, and says so.
MOST_ROWS = 80


def document(title: str, body: str) -> str:
    """The whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">'
        f"<title>{words.escape(title)}</title><style>{_style()}</style></head><body><main>{body}</main></body></html>\n"
    )


def section(title: str, body: str, note: str = "", kind: str = "") -> str:
    """``body`` is HTML; ``kind`` names styles of this page (``long`` may break over printed pages)."""
    said = f"<p>{words.escape(note)}</p>" if note else ""
    return f'<section class="{kind}"><h2>{words.escape(title)}</h2>{said}{body}</section>'


def beside(*sections: str) -> str:
    """Sections next to each other where there is room."""
    return f'<div class="beside">{"".join(sections)}</div>'


def figure(chart: Chart, width: int = WIDTH) -> str:
    """The drawing, the same in a sentence, and its numbers folded away."""
    rows = chart.table
    step = -(-len(rows) // MOST_ROWS) or 1
    thinned = f"<p>Every {step}th row of {words.count(len(rows))}.</p>" if step > 1 else ""
    numbers = f"<details><summary>Numbers</summary>{thinned}{table(rows.iloc[::step])}</details>"
    return f"<figure>{drawn(chart, width)}<figcaption>{words.escape(chart.alt)}</figcaption>{numbers}</figure>"


def table(rows: pd.DataFrame) -> str:
    """``rows`` as a table, numbers right-aligned and short."""
    head = "".join(f"<th>{words.escape(str(name))}</th>" for name in rows.columns)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows.itertuples(index=False))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="n">{words.number(value)}</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="n">{words.count(value)}</td>'
    return f'<td dir="auto">{words.escape(words.shortened(str(value), 200))}</td>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, as a list."""
    lines = "".join(f"<dt>{words.escape(name)}</dt><dd>{words.escape(str(value))}</dd>" for name, value in pairs)
    return f"<dl>{lines}</dl>"


def headline(name: str, value: str, note: str) -> str:
    return (
        f"<div><span>{words.escape(name)}</span><b>{words.escape(value)}</b><small>{words.escape(note)}</small></div>"
    )


def tiles(members: Sequence[str]) -> str:
    return f'<div class="tiles">{"".join(members)}</div>'


def tile(face: str, lines: Sequence[str]) -> str:
    """``face`` is HTML made by :func:`picture`, :func:`no_picture` or :func:`words_of`; ``lines`` are plain text, the
    sample's id last."""
    said = "".join(f'<span dir="auto">{words.escape(line)}</span>' for line in lines[:-1])
    return f'<div class="tile">{face}{said}<small>{words.escape(lines[-1])}</small></div>'


def picture(webp: bytes, alt: str) -> str:
    """The image inside the file, as data."""
    source = base64.b64encode(webp).decode()
    return f'<img src="data:image/webp;base64,{source}" alt="{words.escape(alt)}">'


def no_picture() -> str:
    """What stands where a sample of an image run has none to show, so that the tiles of a row are alike."""
    return '<div class="none">No picture</div>'


def words_of(text: str, most: int = 280) -> str:
    return f'<div class="text" dir="auto">{words.escape(words.shortened(text, most))}</div>'


def _style() -> str:
    light, dark = (_variables(tokens, quiet) for tokens, quiet in ((theme.LIGHT, "#5f6673"), (theme.DARK, "#a2a8b3")))
    # The theme's names of fonts are quoted, which is as harmless in a style sheet as it is in Streamlit's settings.
    return f"""
:root {{ color-scheme: light dark; {light} }}
@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}
body {{ margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 {theme.FONT}; }}
main {{ max-width: 1080px; margin: 0 auto; padding: 28px 24px 60px; }}
h1 {{ font-size: 26px; margin: 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 18px; margin: 0 0 4px; }}
h3 {{ font-size: 14px; margin: 14px 0 4px; overflow-wrap: anywhere; }}
h4, p, figcaption, small, summary, dt, .headlines span {{ color: var(--quiet); }}
h4 {{ font-size: 12px; font-weight: 500; margin: 8px 0 3px; }}
p, figcaption {{ margin: 2px 0 8px; font-size: 14px; overflow-wrap: anywhere; }}
section, .headlines > div {{ background: var(--card); border: 1px solid var(--line); border-radius: 12px; }}
section {{ padding: 16px 20px; margin-top: 14px; }}
.beside {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 0 14px; }}
.headlines {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px;
  margin-top: 18px; }}
.headlines > div {{ padding: 12px 16px; display: flex; flex-direction: column; }}
.headlines b {{ font-size: 24px; }}
.warning {{ border-left: 4px solid {theme.OKABE_ITO[5]}; padding-left: 10px; color: var(--ink); }}
figure {{ margin: 0; }} svg.figure {{ display: block; width: 100%; height: auto; max-height: 80vh; }}
summary {{ cursor: pointer; font-size: 13px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); max-width: 40ch;
  overflow-wrap: anywhere; unicode-bidi: isolate; }}
td.n {{ text-align: right; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 6px 0 0; font-size: 13.5px; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
.ends {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 0 24px; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 8px; }}
.texts .tiles {{ grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }}
.tile {{ background: #1f2227; color: #f1f3f5; border-radius: 8px; overflow: hidden; font-size: 12px;
  padding-bottom: 5px; display: flex; flex-direction: column; break-inside: avoid; }}
.tile span, .tile small {{ padding: 2px 7px 0; overflow-wrap: anywhere; unicode-bidi: plaintext; }}
.tile small {{ color: #a2a8b3; font-size: 10.5px; }}
.tile img {{ width: 100%; aspect-ratio: 1; object-fit: contain; background: #0d0e10; }}
.tile .none {{ aspect-ratio: 1; display: grid; place-items: center; background: #2a2e34; color: #b9bfc8; }}
.tile .text {{ flex: 1; padding: 8px; background: #2a2e34; white-space: pre-line; overflow-wrap: anywhere;
  unicode-bidi: plaintext; }}
@media print {{ :root {{ {light} }} body {{ font-size: 11pt; background: #fff; }}
  main {{ padding: 0; max-width: none; }}
  section {{ border: 0; padding: 0; break-inside: avoid-page; }} section.long {{ break-inside: auto; }}
  details {{ display: none; }} .tile {{ print-color-adjust: exact; }} }}
"""


def _variables(tokens: dict[str, str], quiet: str) -> str:
    named = {
        "page": tokens["backgroundColor"],
        "card": tokens["secondaryBackgroundColor"],
        "ink": tokens["textColor"],
        "line": tokens["borderColor"],
        "quiet": quiet,
    }
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())
