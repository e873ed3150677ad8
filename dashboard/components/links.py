"""From a sample shown anywhere to its own page or to the reviewing desk, and from a rule to the Export page."""

from __future__ import annotations

from typing import Literal, NoReturn

import streamlit as st


def open_sample(sample_id: str) -> NoReturn:
    """Leave this page for the sample's."""
    from dashboard.pages import sample  # that page shows galleries, which link here

    # Streamlit knows a page by its address, so a page made again is the registered one.
    st.switch_page(st.Page(sample.render, url_path="sample"), query_params={"sample": sample_id})


def review_sample(sample_id: str) -> NoReturn:
    """Leave this page for the reviewing desk, with this sample on it."""
    from dashboard.pages import review

    st.session_state["review_focus"] = sample_id
    st.switch_page(st.Page(review.render, url_path="review"))


def export_share(percent: int, end: Literal["highest", "lowest"]) -> NoReturn:
    """Leave this page for the exports, whose rule then keeps ``percent`` of each class from that ``end`` of the LSI."""
    from dashboard.components.export_rule import controls_of
    from dashboard.pages import export
    from lsi_engine.curation import CleaningRule

    st.session_state.update(controls_of(CleaningRule(keep_fraction=percent / 100, keep_end=end)))
    st.switch_page(st.Page(export.render, url_path="export"))
