"""Style sheets and scripts of the components, read once.

Streamlit takes a component's script as one text. Which files it is made of stands here and nowhere else: the lint
reads the same texts (``python -m dashboard.components.assets FOLDER`` writes them), so that a name that no file in
front of it declares, or that two declare, is found before a browser finds it.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_TILES, _VIEWER = "components/tiles/tiles.js", "components/viewer"
_DESK = (_TILES, "desks/keys.js", f"{_VIEWER}/window.js", f"{_VIEWER}/deep_face.js", "desks/outbox.js")
#: Files of each component's script, in order; the last one exports the component.
SCRIPTS = {
    "gallery": (_TILES, "components/gallery/gallery.js"),
    "map": ("components/map/drawing.js", "components/map/map.js"),
    "reading": (*_DESK, "desks/reading/reading.js"),
    "review": (*_DESK, "desks/review/parts.js", "desks/review/review.js"),
    "save_figure": ("components/figure/save_figure.js",),
    "viewer": (f"{_VIEWER}/window.js", f"{_VIEWER}/viewer.js"),
}


@cache
def text_of(*names: str) -> str:
    """The named files, paths from ``dashboard/``, one after the other."""
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def script(component: str) -> str:
    """The whole script of a component."""
    return text_of(*SCRIPTS[component])


def write_scripts(folder: Path) -> None:
    """Write each component's script as one file, for tools that read JavaScript."""
    folder.mkdir(parents=True, exist_ok=True)
    for component in SCRIPTS:
        (folder / f"{component}.js").write_text(script(component), encoding="utf-8")


if __name__ == "__main__":
    write_scripts(Path(sys.argv[1]))
