"""Where a stream of errors changed, once a detector has said that it did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from perdure.errors import InvalidValue


@dataclass(frozen=True)
class Change:
    """Two error rates and the place between them.

    Attributes:
        rows: since the change, the row at which it was found included.
        before: share of errors before it.
        after: share of errors since.
    """

    rows: int
    before: float
    after: float

    @property
    def rose(self) -> bool:
        """Whether there are more errors than before."""
        return self.after > self.before


def change_point(wrong: NDArray[np.bool_]) -> Change:  # (n,)
    """The cut of the likeliest two error rates, one before it and one after.

    It maximises l(cut) = h(0, cut) + h(cut, n) with h = k log(k/m) + (m-k) log(1-k/m) for k errors
    in m rows; of equal cuts, the first. Source: Hinkley & Hinkley 1970, "Inference about the
    change-point in a sequence of binomial variables".

    Raises:
        InvalidValue: fewer than two rows.
    """
    rows = len(wrong)
    if rows < 2:
        raise InvalidValue(f"a change lies between two rows at least; there are {rows}")
    total = int(np.count_nonzero(wrong))
    cuts = np.arange(1, rows)
    errors = np.cumsum(wrong, dtype=np.int64)[:-1]  # (n - 1,) before each cut
    likelihood = _log_likelihood(errors, cuts) + _log_likelihood(total - errors, rows - cuts)
    best = int(likelihood.argmax())
    cut, before = int(cuts[best]), int(errors[best])
    return Change(rows - cut, before / cut, (total - before) / (rows - cut))


def _log_likelihood(errors: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    share = errors / rows
    found: NDArray[np.float64] = np.asarray(
        xlogy(errors, share) + xlogy(rows - errors, 1 - share), np.float64
    )
    return found
