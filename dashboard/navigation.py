"""From a sample shown anywhere to its own page or to the reviewing desk, by the pages' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import streamlit as st


def open_page(name: str, query_params: Mapping[str, str] | None = None) -> NoReturn:
    """Leave this page for another; ``name`` is its module in ``dashboard.pages``.

    Streamlit knows a page by its address, so a page made again, whatever it would draw, is the registered one.
    """
    st.switch_page(st.Page(_registered, url_path=name), query_params=query_params)


def _registered() -> None:
    """Stands for the page that the application registered under the same address."""


def open_sample(sample_id: str) -> NoReturn:
    """Leave this page for the sample's."""
    open_page("sample", {"sample": sample_id})


def review_sample(sample_id: str) -> NoReturn:
    """Leave this page for the reviewing desk, with this sample on it."""
    st.session_state["review_focus"] = sample_id
    open_page("review")
