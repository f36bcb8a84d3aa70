"""Forgetting: how far a span has fallen from the best that any version that served had there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from perdure.live.answers import ANCHOR, Cell
from perdure.live.gate.comparison import Comparison, Tested
from perdure.live.gate.verdict import Finding, shown


def forgetting(c: Comparison) -> list[Tested | Finding]:
    """Each span, and their mean, against every version that served.

    The comparison with the champion alone would let accuracy slip by a margin at each promotion.
    The rows of then and now need not be the same, so the two accuracies are compared as if they
    were independent, which errs on the side of no evidence; the best of several versions is paid
    for by multiplying the p-value with their number. If no span fell by more than the limit then
    their mean did not either, and it shows a slow decline that no single span can.
    """
    rows, limit, least = c.challenger.rows, c.settings.max_forgetting, c.settings.min_rows
    now = {cell.span: cell for cell in c.challenger.cells() if not cell.slice}
    versions: dict[int, dict[int, Cell]] = {}
    for cell in c.past:
        if not cell.slice and cell.span != ANCHOR and cell.rows >= least:
            versions.setdefault(cell.version, {})[cell.span] = cell
    found: list[Tested | Finding] = []
    for span, cell in now.items():
        then = [held[span] for held in versions.values() if span in held]
        if then and cell.rows >= least:
            falls = [_fall([(old, cell)]) for old in then]
            found.append(_tested(rows.called(span), falls, cell.rows, limit))
    pairs = [_shared(held, now, least) for held in versions.values()]
    falls = [_fall(shared) for shared in pairs if len(shared) > 1]
    if falls:
        total = sum(cell.rows for cell in now.values())
        found.append(_tested("", falls, total, limit))
    return found


def _shared(
    then: Mapping[int, Cell], now: Mapping[int, Cell], least: int
) -> list[tuple[Cell, Cell]]:
    return [(then[s], cell) for s, cell in now.items() if s in then and cell.rows >= least]


def _fall(pairs: list[tuple[Cell, Cell]]) -> tuple[float, float, float]:
    """Mean fall over spans as measured, and its estimate and standard error.

    Source: Agresti & Caffo 2000, "Simple and effective confidence intervals for proportions and
    differences of proportions": one success and one failure are added to each sample.
    """
    rows = np.array([[old.rows, new.rows] for old, new in pairs], dtype=np.float64)
    right = np.array([[old.correct, new.correct] for old, new in pairs], dtype=np.float64)
    share = (right + 1) / (rows + 2)  # (spans, 2)
    variance = float((share * (1 - share) / (rows + 2)).sum()) / len(pairs) ** 2
    measured = right / rows
    return (
        float((measured[:, 0] - measured[:, 1]).mean()),
        float((share[:, 0] - share[:, 1]).mean()),
        float(np.sqrt(variance)),
    )


def _tested(
    name: str, falls: list[tuple[float, float, float]], rows: int, limit: float
) -> Tested | Finding:
    p = min(float(stats.norm.sf((estimate - limit) / error)) for _, estimate, error in falls)
    worst = max(measured for measured, _, _ in falls)
    place = f"span {name}" if name else "all spans in the mean"
    said = f"{place}: {abs(worst):.1%} {'below' if worst > 0 else 'above'} the best that served"
    finding = Finding(
        "forgetting",
        name or "mean",
        "pass" if worst <= limit else "undecided",
        f"{said}; the limit is {shown(limit)}",
        rows=rows,
        value=worst,
        limit=limit,
        p=min(1.0, p * len(falls)),
    )
    return Tested(finding, f"{said}; more than {shown(limit)} is forgetting")
