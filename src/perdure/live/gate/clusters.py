"""How many rows are worth how many, where rows of one subject resemble each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perdure.live.gate.paired import Paired


def design_effect(change: NDArray[np.int64], subject: NDArray[np.int64]) -> float:
    """Variance of the mean change over subjects, over what independent rows would have; >= 1.

    A sample of n rows says as much as n / effect rows of different subjects would.

    Source: Rao & Scott 1992, "A simple method for the analysis of clustered binary data",
    Biometrics 48:577-585, here for changes of -1, 0 and 1.

    Args:
        change: 1 for a row gained, -1 for one lost, 0 for the others, (n,).
        subject: a number for each subject, (n,).
    """
    clusters, of = np.unique(subject, return_inverse=True)
    count = len(clusters)
    if count in (0, 1, len(change)) or (change == change[0]).all():
        return 1.0
    alone = float(change.var())
    totals = np.bincount(of, change - change.mean(), count)
    together = count / (count - 1) * float((totals**2).sum()) / len(change)
    return max(1.0, together / alone)


def shrunk(seen: Paired, effect: float) -> Paired:
    """The counts that as many independent rows would have had; never less than one row."""
    if effect == 1.0:
        return seen
    rows = max(1, int(seen.rows / effect))
    lost = min(rows, round(seen.lost / effect))
    return Paired(rows, lost, min(rows - lost, round(seen.gained / effect)))
