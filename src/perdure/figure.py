"""A plot as SVG that takes its colours of ink and grid from the page, light or dark.

The page's style sheet says what `--soft` and `--faint` are; ink is its text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any, Final

from perdure.errors import require

INK: Final = "#010203"
SOFT: Final = "#040506"
FAINT: Final = "#070809"
"""Drawn by matplotlib and exchanged in the SVG for the page's own colours."""

BLUE: Final = "#3b82f6"
GREEN: Final = "#10b981"
ORANGE: Final = "#f97316"
RED: Final = "#ef4444"
VIOLET: Final = "#8b5cf6"
"""Of middling lightness, so that each can be read on white and on black."""

STYLE: Final = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


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
    for drawn, ours in ((INK, "currentColor"), (SOFT, "var(--soft)"), (FAINT, "var(--faint)")):
        svg = svg.replace(drawn, ours)
    return svg
