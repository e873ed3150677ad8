"""The pictures of a subset as a folder on the machine of the dashboard."""

from __future__ import annotations

import hashlib

import streamlit as st

from dashboard import words
from dashboard.data import RunData
from lsi_engine.curation import CleanedSubset
from lsi_engine.curation.tree import Layout, write_tree
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore

NAMES: dict[Layout, str] = {"imagefolder": "Folder a class", "huggingface": "Hugging Face folder"}


def export_folder(data: RunData, subset: CleanedSubset) -> None:
    """Offer to write the kept pictures into a new folder beside the other exports."""
    digest = hashlib.blake2b(f"{subset.rule.model_dump_json()}{subset.decisions}".encode(), digest_size=4)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="export_tree"):
        layout = st.selectbox(
            "Or the pictures themselves, as a",
            list(NAMES),
            format_func=lambda name: NAMES[name],
            key="export_layout",
            width=260,
        )
        copy = st.toggle("Copy instead of linking", key="export_copy")
        to = RunStore().cache / "exports" / f"{data.run.name}.{layout}.{digest.hexdigest()}"
        if st.button("Make the folder", icon=":material/folder:", key="export_folder"):
            try:
                with st.spinner("Writing the pictures …"):
                    write_tree(subset, data.run, layout, to, copy=copy)
            except (InputError, OSError) as error:
                st.warning(words.markdown(str(error)))
    if (to / "manifest.json").is_file():
        st.success(f"Written: `{to}`")
