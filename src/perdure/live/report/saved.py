"""What updating cost beside training from scratch, added up, and the accuracy of both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Any, Final

from perdure.figure import BLUE, RED, SOFT, figure
from perdure.live.ledger import Entry, Twin
from perdure.live.service.dashboard.wording import short

SIZE: Final = (4.9, 3.3)
HOLLOW: Final = {"marker": "o", "mfc": "none", "ms": 6}
FULL: Final = {"marker": "o", "ms": 6}

Pair = tuple[Entry, Twin]


def cumulative(held: Sequence[Entry]) -> str:
    """FLOPs of the updates and of their twins, summed; "" before there are two of them.

    Args:
        held: the ledger, oldest first.
    """
    pairs = _pairs(held)
    if len(pairs) < 2:
        return ""
    x = range(1, len(pairs) + 1)
    ours = list(accumulate(entry.flops for entry, _ in pairs))
    theirs = list(accumulate(twin.flops for _, twin in pairs))

    def draw(axes: Any) -> None:
        axes.fill_between(x, ours, theirs, color=BLUE, alpha=0.13, lw=0)
        axes.plot(x, theirs, color=SOFT)
        axes.plot(x, ours, color=BLUE, **FULL)
        for place, total, (_, twin) in zip(x, theirs, pairs, strict=True):
            axes.plot([place], [total], color=SOFT, **(FULL if twin.measured else HOLLOW))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
        axes.set_ylabel("FLOPs, added up")
        _updates(axes, pairs)

    return figure("FLOPs of updates and of their twins, added up", SIZE, draw)


def accuracies(held: Sequence[Entry], served: Collection[int]) -> str:
    """Accuracy of each update and of its twin where that was trained; "" where none was.

    Args:
        held: the ledger, oldest first.
        served: versions that have been champion.
    """
    pairs = _pairs(held)
    if len(pairs) < 2 or all(entry.gap is None for entry, _ in pairs):
        return ""
    x = range(1, len(pairs) + 1)

    def draw(axes: Any) -> None:
        known = [(e.version in served, i, e.accuracy) for i, (e, _) in zip(x, pairs, strict=True)]
        axes.plot(*_percent([(i, value) for good, i, value in known if good]), color=BLUE, **FULL)
        refused = [(i, value) for good, i, value in known if not good]
        axes.plot(*_percent(refused), "x", color=RED, ms=8, mew=2)
        twins = [(i, twin.accuracy) for i, (_, twin) in zip(x, pairs, strict=True)]
        axes.plot(*_percent(twins), color=SOFT, ls="none", **FULL)
        axes.margins(y=0.15)
        axes.set_ylabel("right on held-out rows, %")
        _updates(axes, pairs)

    return figure("Accuracy of updates and of their twins", SIZE, draw)


def _pairs(held: Sequence[Entry]) -> list[Pair]:
    return [(entry, entry.twin) for entry in held if entry.twin is not None]


def _percent(known: Sequence[tuple[int, float | None]]) -> tuple[list[int], list[float]]:
    measured = [(place, 100 * value) for place, value in known if value is not None]
    return [place for place, _ in measured], [value for _, value in measured]


def _updates(axes: Any, pairs: Sequence[Pair]) -> None:
    """Ticks at the updates, named by their versions; some of them where they are many."""
    every = -(-len(pairs) // 10)
    places = list(range(1, len(pairs) + 1, every))
    axes.set_xticks(places, [f"v{pairs[place - 1][0].version}" for place in places])
    axes.margins(x=0.06)
    axes.set_xlabel("update")
