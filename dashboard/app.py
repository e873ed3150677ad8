"""What Streamlit runs: navigation, the run picker and the filter strip around the pages that it narrows.

A page is a module in ``dashboard/pages`` with ``render() -> None``; it is shown once it has a line in
``PAGES``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import streamlit as st

from dashboard import theme
from dashboard.components import filters, sidebar
from dashboard.data import open_run


@dataclass(frozen=True)
class PageLine:
    """``module`` in ``dashboard.pages`` (also the page's URL), its title, a Material icon, and whether it
    shows samples of a run, and whether the filters narrow what it shows (then it carries their strip)."""

    module: str
    title: str
    icon: str
    of_a_run: bool = True
    filtered: bool = True


#: The first page of the first section is the one that opens.
PAGES: dict[str, list[PageLine]] = {
    "Understand": [
        PageLine("overview", "Overview", ":material/monitoring:"),
        PageLine("classes", "Classes", ":material/category:"),
        PageLine("map", "Map", ":material/scatter_plot:"),
        PageLine("corruption", "Corruption", ":material/difference:"),
        PageLine("subsets", "Subsets", ":material/data_usage:", filtered=False),
        PageLine("compare", "Compare", ":material/compare_arrows:", filtered=False),
    ],
    "Curate": [
        PageLine("gallery", "Gallery", ":material/grid_view:"),
        PageLine("sample", "Sample", ":material/image_search:"),
        PageLine("review", "Review", ":material/rate_review:"),
        PageLine("reading", "Reading", ":material/visibility_off:", filtered=False),
        PageLine("export", "Export", ":material/download:"),
    ],
    "Runs": [PageLine("runs", "Runs", ":material/play_circle:", of_a_run=False)],
}


def main() -> None:
    st.set_page_config(page_title="LSI Inspector", page_icon=theme.ICON, layout="wide")
    theme.apply()
    lines = [line for members in PAGES.values() for line in members]
    renders = {line.module: importlib.import_module(f"dashboard.pages.{line.module}").render for line in lines}
    pages = {
        line.module: st.Page(
            renders[line.module],
            title=line.title,
            icon=line.icon,
            # The default page answers at "/" and nowhere else: its own name is left to the page below.
            url_path="start" if line is lines[0] else line.module,
            default=line is lines[0],
        )
        for line in lines
    }
    shown = {section: [pages[line.module] for line in members] for section, members in PAGES.items()}
    first = lines[0]
    named = st.Page(renders[first.module], title=first.title, url_path=first.module, visibility="hidden")
    opened = st.navigation(shown | {"": [named]})
    line = next((line for line in lines if pages[line.module] is opened), first)
    view = sidebar.draw()
    if line.of_a_run and not view.run:
        sidebar.no_runs_yet(pages["runs"])
        return
    if line.of_a_run and line.filtered:
        filters.strip(open_run(view.run), view)
    opened.run()


main()
