"""One HTML file of a view, to mail to a colleague: no script, no request, nothing that the reader cannot see."""

from __future__ import annotations

from pathlib import Path

from streamlit.logger import set_log_level

from dashboard.view.view import View
from lsi_engine.files import replacing

SUFFIX = ".report.html"


def write_report(run: str, conditions: str = "", path: Path | None = None) -> Path:
    """Write the report of ``run`` under ``conditions`` (:meth:`View.of_link`) to ``path``, atomically; returns it.

    Raises ``InputError`` as :func:`dashboard.report.contents.report` does.
    """
    view = View.of_link(run, conditions)
    set_log_level(
        "ERROR"
    )  # outside a server, Streamlit's caches say at every turn, and when imported, that there is none
    from dashboard.report.contents import report

    content = report(view)
    target = path or Path(f"{run}{SUFFIX}")
    with replacing(target) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return target
