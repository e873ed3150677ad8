"""Design tokens: the one place for colours, spacing and type; light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

FONT = '"Inter", system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif'
#: Reads on white and on near-black alike: rules, guides and secondary text in figures.
NEUTRAL = "#8a8f98"
#: Marks the selected range and the decision cut in figures; no class has it.
ACCENT = "#6172f3"

LIGHT = {
    "primaryColor": "#111827",
    "backgroundColor": "#f7f7f5",
    "secondaryBackgroundColor": "#ffffff",
    "textColor": "#111827",
    "borderColor": "#e4e4e0",
    "linkColor": "#3646b5",
    "sidebar.backgroundColor": "#ffffff",
    "sidebar.secondaryBackgroundColor": "#f3f3f1",
}
DARK = {
    "primaryColor": "#5464d6",
    "backgroundColor": "#141518",
    "secondaryBackgroundColor": "#1e2024",
    "textColor": "#eceef1",
    "borderColor": "#33363c",
    "linkColor": "#9aa5ff",
    "sidebar.backgroundColor": "#1a1b1f",
    "sidebar.secondaryBackgroundColor": "#26282d",
}

#: The browser tab's icon, inline: an icon font or an emoji would be fetched from outside.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#111827"/>'
    '<g fill="#e69f00"><rect x="6" y="7" width="5" height="18"/><rect x="13" y="15" width="5" height="10"/></g>'
    '<rect x="20" y="20" width="5" height="5" fill="#56b4e9"/></svg>'
)

#: Okabe and Ito (2008), told apart by colour-blind readers, in the order in which neighbours differ most.
OKABE_ITO = ("#0072b2", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
#: Golden angle in degrees: successive hues of a long list stay far apart.
_GOLDEN_ANGLE = 137.508


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """One hex colour a class, the same on every page.

    Up to 8 classes take the Okabe–Ito colours in the order given; more take hues a golden angle apart at
    three lightnesses. A class keeps its colour as long as the run's class list is the same, whatever is
    filtered.
    """
    if len(classes) <= len(OKABE_ITO):
        return dict(zip(classes, OKABE_ITO, strict=False))
    return {name: _qualitative(position) for position, name in enumerate(classes)}


@cache
def _qualitative(position: int) -> str:
    """Hues a golden angle apart at three lightnesses of OKLCH, where equal steps look equal (Ottosson, 2020)."""
    lightness, hue = (0.62, 0.72, 0.54)[position % 3], math.radians(250 + position * _GOLDEN_ANGLE)
    a, b = 0.125 * math.cos(hue), 0.125 * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(max(value, 0.0), 1.0))):02x}" for value in linear)


def _gamma(value: float) -> float:
    """Linear light to sRGB, both in 0..1."""
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def faded(colour: str, opacity: float) -> str:
    """A hex colour as Plotly takes it with an ``opacity`` of 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def is_dark() -> bool:
    """Whether the reader's browser shows the dark theme."""
    return st.context.theme.type == "dark"


def streamlit_options() -> dict[str, Any]:
    """Streamlit's own theme settings, made from the tokens."""
    options: dict[str, Any] = {"theme.font": FONT, "theme.headingFont": FONT, "theme.baseRadius": "10px"}
    for mode, tokens in (("light", LIGHT), ("dark", DARK)):
        options |= {f"theme.{mode}.{name}": value for name, value in tokens.items()}
    return options


@cache
def _css() -> str:
    return Path(__file__).with_name("theme.css").read_text(encoding="utf-8")


def apply() -> None:
    """Put the style sheet on the page; its variables follow the reader's light or dark choice."""
    tokens = DARK if is_dark() else LIGHT
    variables = {
        "card": tokens["secondaryBackgroundColor"],
        "line": tokens["borderColor"],
        "ink": tokens["textColor"],
        "quiet": "#a2a8b3" if is_dark() else "#5f6673",
        "page": tokens["backgroundColor"],
        "tile": "#1f2227",
        "focus": tokens["linkColor"],
    }
    root = "".join(f"--lsi-{name}:{value};" for name, value in variables.items())
    st.html(f"<style>:root{{{root}}}\n{_css()}</style>")
