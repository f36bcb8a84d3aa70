"""What tells methods apart in the plots: a colour for each label, dashes for each family."""

from __future__ import annotations

from perdure.bench import presets
from perdure.figure import BLUE, GREEN, ORANGE, RED, VIOLET

COLOURS = (
    BLUE,
    ORANGE,
    GREEN,
    "#d946ef",
    "#eab308",
    "#06b6d4",
    RED,
    "#84a62b",
    VIOLET,
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
