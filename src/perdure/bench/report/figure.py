"""A plot as SVG that takes its colours of ink and grid from the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

from perdure.bench import presets
from perdure.errors import require

INK, FAINT = "#010203", "#040506"
"""Drawn by matplotlib and exchanged in the SVG for the page's own colours."""

STYLE = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}

COLOURS = (
    "#3b82f6",
    "#f97316",
    "#10b981",
    "#d946ef",
    "#eab308",
    "#06b6d4",
    "#ef4444",
    "#84a62b",
    "#8b5cf6",
    "#ec4899",
    "#14b8a6",
    "#b7791f",
    "#6366f1",
    "#e07a5f",
    "#5fa8d3",
    "#9d8189",
)
"""Of middling lightness, so that each can be read on white and on black."""

FIXED = {"naive": "#8b93a1", "joint": "#c4a35a", "frozen": "#a78b7d", "cumulative": "#b9a77c"}
DASHES = {
    "baseline": (4, 2),
    "penalty": (1, 1.4),
    "projection": (6, 1.5, 1, 1.5),
    "architecture": (8, 2),
}
"""By family, so that colour is not all that tells lines apart; replay is drawn through."""


def colours(labels: list[str]) -> dict[str, str]:
    """A colour for each label, the same wherever it appears on the page."""
    free = (label for label in dict.fromkeys(labels) if label not in FIXED)
    cycled = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(free)}
    return {**FIXED, **cycled}


def dashes(method: str) -> tuple[float, ...]:
    """On and off lengths of the line of a method; empty for one drawn through."""
    return DASHES.get(presets.find(method).family, ())


def figure(title: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """What `draw` draws on matplotlib's axes, as SVG to stand inside a page.

    Args:
        title: for those who hear the page read; unique on it.
        size: width and height in inches, 72 of its units an inch.
        draw: is given the axes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "lab")
    make = require("matplotlib.figure", "lab").Figure
    text = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        made = make(figsize=size, layout="constrained")
        draw(made.subplots())
        made.savefig(text, format="svg", transparent=True)
    return _themed(text.getvalue(), title)


def _themed(svg: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    # The page's type, and no turning by nothing: half of the text of a heat map.
    svg = re.sub(r"""font-family: [^;]*; | transform="rotate\(-0 [^"]*\"""", "", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    opening = f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(title)}">'
    svg = opening + svg[svg.index(">") + 1 :]
    return svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
