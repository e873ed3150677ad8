"""Work beside a finished run (a map, near-duplicates): started from a page, done by a process of its own, watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import streamlit as st

from dashboard import jobs, words

POLL_SECONDS = 0.5


def is_going(folder: Path) -> bool:
    """Whether a process is at work that reports in ``folder``. A folder without a report was never begun."""
    return (folder / "status.json").is_file() and jobs.job(folder).active


def problem(folder: Path) -> str | None:
    """How the last try ended, where it did not end well; ``None`` otherwise."""
    if not (folder / "status.json").is_file():
        return None
    last = jobs.job(folder)
    if last.state not in ("failed", "stalled", "cancelled"):
        return None
    return f"The last try ended: {last.status.message or last.state}"


def watch(
    folder: Path,
    name: str,
    stages: Mapping[str, str],
    key: str = "",
    *,
    ended: Callable[[jobs.Job], None] | None = None,
    width: int | Literal["stretch"] = "stretch",
) -> None:
    """Draw the bar of the work that reports in ``folder``, with the time it will take; with a ``key``, what cancels it.

    Once it has ended ``ended`` is called, and the page runs again. ``stages`` says in words what each stage does.
    """

    @st.fragment(run_every=POLL_SECONDS)
    def poll() -> None:
        now = jobs.job(folder)
        if not now.active:
            if ended is not None:
                ended(now)
            st.rerun()
        status = now.status
        share = status.done / status.total if status.total else 0.0
        text = f"{name}: {stages.get(status.stage, status.stage) or 'starting'}"
        if status.eta_seconds is not None and status.eta_seconds > 1:
            text += f", about {words.seconds(status.eta_seconds)} to go"
        st.progress(min(share, 1.0), text=text, width=width)
        if not key:
            return
        # Before the process has reported it would not see the request.
        asked = (folder / "cancel").exists()
        st.button(
            "Cancelling …" if asked else "Cancel",
            key=f"{key}_cancel",
            disabled=asked or status.state == "queued",
            on_click=(folder / "cancel").touch,
        )

    poll()
