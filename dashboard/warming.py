"""What a first visit would otherwise wait for: imports, and what the pages show of the newest run at first."""

from __future__ import annotations

import gc
import importlib
import logging
import pkgutil

import pandas as pd

from dashboard import pages
from dashboard.components.media import is_pixel_art
from dashboard.components.neighbours import compared
from dashboard.data import complete_runs, frame_with_decisions, open_run
from dashboard.summaries import summary_of
from dashboard.view.selection import Selection
from dashboard.view.view import View
from lsi_engine.errors import InputError


def warm() -> None:
    """Import every page and fill the caches that the sessions share, the start page's first.

    A run that cannot be read is left to its page to explain.
    """
    # Spinners miss a page to turn on, once each; nothing else in this process runs outside a session.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    for page in pkgutil.iter_modules(pages.__path__):
        importlib.import_module(f"{pages.__name__}.{page.name}")
    try:
        for name in complete_runs()[:1]:
            _open(name)
    except (InputError, OSError, ValueError):
        pass
    finally:
        # Streamlit collects garbage after every answer; what lives as long as the server need not be searched then.
        gc.collect()
        gc.freeze()


def _open(name: str) -> None:
    from dashboard.pages import classes, overview

    data = open_run(name)
    selection = Selection(data, View(run=name), frame_with_decisions(data, View(run=name)))
    for chart in (overview.tail_chart, overview.rank_chart, overview.sum_chart):
        chart(selection).figure.to_json()
    if not data.pairs:
        overview.class_chart(selection)
        summary = summary_of(selection)
        if len(summary) <= classes.MOST_RIDGES:
            classes.class_chart(selection, summary)
        _ = pd.DataFrame().style  # imports a template engine
    if data.run.modality in ("image", "pairs"):
        is_pixel_art(data.run)
    compared(data)
