"""Drift without labels: do features still come from the distribution that they came from?"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import CheckpointMismatch, InvalidValue, check_range
from perdure.live.drift.fourier import Array, Fourier, Spread, projection

PERMUTATIONS, TOGETHER, TAIL = 1000, 10, 0.1
ROUNDING = 1e-12


@dataclass(frozen=True)
class Shifted:
    """Features from another distribution.

    Attributes:
        row: index of the row, among those of this call, at which it was found.
        statistic: the squared distance of the two windows.
        threshold: that it passed.
    """

    row: int
    statistic: float
    threshold: float


class FeatureDrift:
    """A two-sample test of the last `window` rows against a reference, whenever `block` rows came.

        statistic = | mean phi(window) - mean phi(reference) |^2    (phi: random Fourier features)

    The first `window` rows give the scale, the next `reference` rows the reference, which sets the
    threshold: its blocks are put into random orders, windows slide along each, and the largest
    statistic of such a run passes the threshold as seldom as one false alarm in `ert` rows allows.
    Beyond the orders drawn, the tail is taken as exponential. Rows that resemble their neighbours
    raise the threshold by as much as a window's mean varies more for it; where they do so over
    more than a quarter of it, there may be more alarms than stated. After an alarm all begins anew.

    Source: Gretton et al. 2012 (maximum mean discrepancy); Cobb et al. 2022, "Sequential
    multivariate change detection with calibrated and memoryless false detection rates", for run
    times in place of p-values. Keeps: means over whole blocks, and rows only until their block is
    whole. However the rows are batched, the outcome is the same.

    Args:
        ert: expected run time: rows to a false alarm where nothing changes.
        reference: rows of the reference, whole blocks, at least twice the window.
        window: rows, whole blocks.
        block: rows that stay together in the random orders.
        seed: of projection, frequencies and orders.

    Raises:
        InvalidValue: a number is out of range.
    """

    def __init__(
        self,
        ert: float = 50_000,
        reference: int = 1_000,
        window: int = 200,
        block: int = 10,
        seed: int = 0,
    ) -> None:
        check_range("FeatureDrift", "block", block, 1, float("inf"))
        check_range("FeatureDrift", "window", window, 2 * block, float("inf"))
        check_range("FeatureDrift", "reference", reference, 2 * window, float("inf"))
        check_range("FeatureDrift", "ert", ert, reference, float("inf"))
        if window % block or reference % block:
            raise InvalidValue(
                f"FeatureDrift: window={window} and reference={reference} must be whole blocks "
                f"of {block} rows"
            )
        self.ert, self.reference, self.window = ert, reference, window
        self.block, self.seed = block, seed
        self.starts = 0
        self.restart()

    @property
    def ready(self) -> bool:
        """Whether the threshold is set, so that there may be an alarm."""
        return self._threshold is not None

    def restart(self) -> None:
        """Forget all rows: what comes next is the new reference."""
        self.starts += 1
        self._pending: Array | None = None  # (< block, columns)
        self._projection: Array | None = None  # (columns, p)
        self._spread: Spread | None = None
        self._fourier: Fourier | None = None
        self._collected: list[Array] = []  # each (d,), until the threshold is set
        self._mean: Array | None = None  # (d,)
        self._threshold: float | None = None
        self._recent: deque[Array] = deque(maxlen=self.window // self.block)  # each (d,)

    def update(self, features: Tensor) -> list[Shifted]:  # (n, ...)
        """Take rows in order; the alarms that they give.

        Raises:
            InvalidValue: features that are not finite, or of another width than those before;
                nothing is taken then.
        """
        rows = features.detach().cpu().flatten(1).double().numpy()
        if not np.isfinite(rows).all():
            raise InvalidValue("features are not finite; look at the model that gives them")
        held = rows[:0] if self._pending is None else self._pending
        if held.shape[1] != rows.shape[1]:
            raise InvalidValue(
                f"features have {rows.shape[1]} columns where there were {held.shape[1]}; call "
                "restart() where another model gives them"
            )
        joined = np.ascontiguousarray(np.concatenate((held, rows)))
        whole = len(joined) // self.block * self.block
        found = []
        for start in range(0, whole, self.block):
            passed = self._take(joined[start : start + self.block])
            if passed is not None:
                found.append(Shifted(start + self.block - len(held) - 1, *passed))
        self._pending = joined[whole:].copy()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Settings and arrays, as tensors and plain values."""
        return {
            **self._settings(),
            "starts": self.starts,
            "pending": _tensor(self._pending),
            "spread": None if self._spread is None else self._spread.state_dict(),
            "collected": _tensor(self._collected),
            "mean": _tensor(self._mean),
            "threshold": self._threshold,
            "recent": _tensor(list(self._recent)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: it is a state of other settings.
        """
        theirs = {name: state[name] for name in self._settings()}
        if theirs != self._settings():
            raise CheckpointMismatch(
                f"the state is that of {theirs}; this FeatureDrift has {self._settings()}"
            )
        self.restart()
        self.starts = state["starts"]
        if state["pending"] is not None:
            self._pending = _array(state["pending"])
            self._projection = projection(self._pending.shape[1], self.seed)
        if state["spread"] is not None:
            held = state["spread"]
            self._spread = Spread(held["rows"], _array(held["mean"]), _array(held["squares"]))
            self._scale()
        self._collected = [] if state["collected"] is None else list(_array(state["collected"]))
        self._mean = None if state["mean"] is None else _array(state["mean"])
        self._threshold = state["threshold"]
        self._recent.extend([] if state["recent"] is None else _array(state["recent"]))

    def _settings(self) -> dict[str, Any]:
        names = ("ert", "reference", "window", "block", "seed")
        return {name: getattr(self, name) for name in names}

    def _take(self, rows: Array) -> tuple[float, float] | None:  # (block, columns)
        if self._projection is None:
            self._projection = projection(rows.shape[1], self.seed)
        projected = rows @ self._projection
        if self._fourier is None:
            here = Spread.of(projected)
            self._spread = here if self._spread is None else self._spread + here
            self._scale()
            return None
        mean = self._fourier.mean(projected)
        if self._mean is not None and self._threshold is not None:
            return self._compare(mean, self._mean, self._threshold)
        self._collected.append(mean)
        if len(self._collected) * self.block == self.reference:
            self._calibrate()
        return None

    def _scale(self) -> None:
        """Fix the scale once enough rows have shown it."""
        if self._spread is not None and self._spread.rows >= self.window:
            self._fourier = Fourier.of(self._spread, self.seed)

    def _calibrate(self) -> None:
        means = np.stack(self._collected)
        order = np.random.default_rng([self.seed, self.starts])
        window, ert = self.window // self.block, self.ert / self.block
        self._mean = means.mean(0)
        self._threshold = threshold(means, window, ert, PERMUTATIONS, order)
        self._collected = []

    def _compare(self, here: Array, mean: Array, most: float) -> tuple[float, float] | None:
        """The statistic and its threshold, where the window that ends here passes it."""
        self._recent.append(here)
        if len(self._recent) * self.block < self.window:
            return None
        statistic = float(((np.mean(self._recent, 0) - mean) ** 2).sum())
        if statistic <= most:
            return None
        self.restart()
        return statistic, most


def threshold(
    means: Array, window: int, ert: float, permutations: int, order: np.random.Generator
) -> float:
    """What the largest statistic of a run passes once in `ert` blocks.

    Within a permutation, a window is part of the mean that it is compared with; a window of new
    rows is not. Under exchange of blocks the expected statistics stand as (n + k) to (n - k).

    Args:
        means: (n, d) features of the reference by blocks.
        window: blocks k of a window.
        ert: blocks to a false alarm.
        permutations: random orders of the blocks to draw.
        order: draws them.
    """
    n = len(means)
    centred = means - means.mean(0)
    found = []
    for first in range(0, permutations, TOGETHER):
        count = min(TOGETHER, permutations - first)
        orders = order.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
        sums = np.cumsum(centred[orders], 1)  # (count, n, d)
        ends = sums[:, window - 1 :]
        ends[:, 1:] -= sums[:, :-window].copy()
        found.append(np.einsum("pnd,pnd->pn", ends, ends).max(1))
    largest = np.concatenate(found) / window**2 * (n + window) / (n - window)
    largest *= resemblance(centred, window)
    share = (n - window + 1) / ert
    edge = float(np.quantile(largest, 1 - max(TAIL, min(share, 1.0))))
    beyond = np.maximum(largest - edge, 0).sum() / max(1, np.count_nonzero(largest > edge))
    return max(ROUNDING, edge + float(beyond) * max(0.0, float(np.log(TAIL / share))))


def resemblance(centred: Array, window: int) -> float:  # (n, d)
    """How much more a mean over consecutive blocks varies than one over blocks in random order.

        1 + 2 sum_l (1 - l / window) r_l,  r_l the correlation of blocks l apart, l <= window / 4

    Correlations about a mean of the same n blocks are too low by (n - l) / (n (n - 1)), which is
    added. It is not taken below one: what varies less gives fewer alarms, not more.
    """
    n, spread = len(centred), max(float((centred**2).sum()), ROUNDING)
    found = 1.0
    for lag in range(1, window // 4 + 1):
        shared = float((centred[lag:] * centred[:-lag]).sum()) / spread
        found += 2 * (1 - lag / window) * (shared + (n - lag) / (n * (n - 1)))
    return max(1.0, found)


def _tensor(array: Array | list[Array] | None) -> Tensor | None:
    if array is None or (isinstance(array, list) and not array):
        return None
    return torch.from_numpy(np.array(array))


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.numpy())
