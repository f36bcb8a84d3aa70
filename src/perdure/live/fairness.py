"""No source has more than its share of rows, however many it sends."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray


def fair(
    keys: NDArray[np.int64], sources: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:  # (n,)
    """Which rows may stay: of a source with too many, those with the lowest keys.

    Where fewer than 1 / share sources sent rows, none can keep to the share: then each has as many
    rows as the smallest, which is the most equal that they can be.

    Args:
        keys: of the rows, each once.
        sources: a number for each row's source.
        share: of the rows that stay, in (0, 1].
    """
    kept = np.ones(len(keys), dtype=np.bool_)
    _, of, sizes = np.unique(sources, return_inverse=True, return_counts=True)
    most = allowance(sizes, share)
    for number in (sizes > most).nonzero()[0]:
        mine = (of == number).nonzero()[0]
        kept[mine[np.argsort(keys[mine])[most:]]] = False
    return kept


def allowance(sizes: NDArray[np.int64], share: float) -> int:
    """The most rows that each source may have, so that none has more than its share of all kept.

    Args:
        sizes: rows of each source.
        share: of the rows that stay, in (0, 1].
    """
    if not len(sizes):
        return 0
    share = max(share, 1 / len(sizes))

    def too_many(rows: int) -> bool:
        return rows > share * int(np.minimum(sizes, rows).sum()) + 1e-9

    return bisect_left(range(1, int(sizes.max()) + 1), True, key=too_many)
