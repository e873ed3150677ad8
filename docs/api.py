"""The API reference: every public name of ``lsi_engine`` with its docstring, one HTML page.

``make docs``, or ``python -m docs.api FOLDER``. A name that cannot be resolved, or has no docstring, is an error.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import lsi_engine


def write(folder: Path) -> Path:
    """The page written into ``folder``. Raises ``LookupError`` naming a public name without a docstring."""
    for name in lsi_engine.__all__:
        # Most are loaded when first used; pdoc looks at what is there.
        setattr(lsi_engine, name, getattr(lsi_engine, name))
        if callable(getattr(lsi_engine, name)) and not getattr(lsi_engine, name).__doc__:
            raise LookupError(f"lsi_engine.{name} has no docstring")
    pdoc.render.configure(docformat="numpy", search=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc("lsi_engine", output_directory=folder)
    return folder / "lsi_engine.html"


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
