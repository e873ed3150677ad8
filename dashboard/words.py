"""How numbers and names are written on screen; names come from users and never act as markup."""

from __future__ import annotations

import html
import math
import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&])")


def markdown(text: str) -> str:
    """``text`` with everything that Streamlit's Markdown would interpret escaped, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def escape(text: str) -> str:
    """``text`` for use inside HTML, attributes included."""
    return html.escape(text, quote=True)


def number(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits; powers of ten only where zeros would hide the number."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "–")
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.0f}"


def shortened(text: str, most: int) -> str:
    """``text`` cut to ``most`` characters, an ellipsis in place of the rest."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def count(value: int) -> str:
    """``5216`` → ``5,216``."""
    return f"{value:,}"


def seconds(value: float) -> str:
    """A duration as a person says it: ``3.3 s``, ``2 min 5 s``, ``1 h 20 min``, ``12 days``."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole >= 48 * 3600:
        return f"{count(whole // 86400)} days"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
