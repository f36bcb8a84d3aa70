"""Test-then-train accuracy: each row is predicted first and learnt from afterwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from perdure.errors import CheckpointMismatch, InvalidValue, check_range


class Prequential:
    """Accuracy of predictions made before the label was learnt from, in three views.

        since the start   hits / rows
        windowed          hits among the last `window` rows / their number
        fading            S / B, where S <- decay * S + hit and B <- decay * B + 1 at each row

    Source: Gama, Sebastião & Rodrigues 2013, "On evaluating stream learning algorithms".
    Keeps: one bit for each row of the window and four numbers, however long the stream. How the
    rows are batched changes nothing, to the last bit.

    Args:
        window: rows, at least 1.
        decay: in (0, 1]; the fading view remembers about 1 / (1 - decay) rows.

    Example:
        >>> score = Prequential(window=2)
        >>> score.observe(torch.tensor([1, 0, 1]), torch.tensor([0, 0, 1]))
        >>> score.windowed()
        1.0
    """

    def __init__(self, window: int = 1000, decay: float = 0.999) -> None:
        check_range("Prequential", "window", window, 1, float("inf"))
        check_range("Prequential", "decay", decay, 0.0, 1.0, open_low=True)
        self.window = window
        self.decay = decay
        self.rows = 0
        self.hits = 0
        self._recent: deque[bool] = deque(maxlen=window)
        self._recent_hits = 0
        self._faded_hits = 0.0
        self._faded_rows = 0.0

    def observe(self, predicted: Tensor, y: Tensor) -> None:  # (n,), (n,)
        """Score labels that were predicted before `y` was learnt from.

        Raises:
            InvalidValue: the shapes differ or are not (n,).
        """
        if predicted.shape != y.shape or y.dim() != 1:
            raise InvalidValue(
                f"Prequential.observe takes predicted labels and labels, both (n,); got "
                f"{tuple(predicted.shape)} and {tuple(y.shape)}; call outputs.argmax(1) first"
            )
        for hit in (predicted.to(y.device) == y).tolist():
            self._add(hit)

    def accuracy(self) -> float | None:
        """Since the start; None before the first row."""
        return self.hits / self.rows if self.rows else None

    def windowed(self) -> float | None:
        """Over the last `window` rows, or over all while there are fewer; None before the first."""
        return self._recent_hits / len(self._recent) if self._recent else None

    def fading(self) -> float | None:
        """With exponentially fading weights; None before the first row."""
        return self._faded_hits / self._faded_rows if self.rows else None

    def state_dict(self) -> dict[str, Any]:
        """The settings and the counts, as tensors and plain values."""
        return {
            "window": self.window,
            "decay": self.decay,
            "rows": self.rows,
            "hits": self.hits,
            "recent": torch.tensor(list(self._recent), dtype=torch.uint8),  # (<= window,)
            "faded_hits": self._faded_hits,
            "faded_rows": self._faded_rows,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: the state has other keys, another window or another decay.
        """
        expected = self.state_dict()
        if set(state) != set(expected):
            raise CheckpointMismatch(
                f"Prequential expects state {sorted(expected)} and was given {sorted(state)}"
            )
        if (state["window"], state["decay"]) != (self.window, self.decay):
            raise CheckpointMismatch(
                f"the state was scored with window={state['window']}, decay={state['decay']}; "
                f"this Prequential has window={self.window}, decay={self.decay}: give it the same"
            )
        self.rows, self.hits = state["rows"], state["hits"]
        self._recent = deque(map(bool, state["recent"].tolist()), maxlen=self.window)
        self._recent_hits = sum(self._recent)
        self._faded_hits, self._faded_rows = state["faded_hits"], state["faded_rows"]

    def _add(self, hit: bool) -> None:
        self.rows += 1
        self.hits += hit
        if len(self._recent) == self.window:
            self._recent_hits -= self._recent[0]
        self._recent.append(hit)
        self._recent_hits += hit
        self._faded_hits = self.decay * self._faded_hits + hit
        self._faded_rows = self.decay * self._faded_rows + 1.0


class SlicedPrequential:
    """Prequential accuracy of all rows, and of each named group of them.

    Args:
        window: rows, of each slice.
        decay: in (0, 1].
        capacity: how many slices there may be, so that memory stays bounded: `capacity * window`
            bits.
    """

    def __init__(self, window: int = 1000, decay: float = 0.999, capacity: int = 1000) -> None:
        check_range("SlicedPrequential", "capacity", capacity, 1, float("inf"))
        self.window = window
        self.decay = decay
        self.capacity = capacity
        self.overall = Prequential(window, decay)
        self.slices: dict[str, Prequential] = {}

    def observe(self, predicted: Tensor, y: Tensor, slices: Sequence[str]) -> None:  # (n,), (n,), n
        """Score rows, each in its slice and overall.

        Raises:
            InvalidValue: the lengths differ, or there are more slices than `capacity`; nothing is
                scored then.
        """
        if len(slices) != len(y):
            raise InvalidValue(f"{len(y)} rows need as many slice names; got {len(slices)}")
        rows_of: dict[str, list[int]] = {}
        for row, name in enumerate(slices):
            rows_of.setdefault(name, []).append(row)
        count = len(self.slices.keys() | rows_of.keys())
        if count > self.capacity:
            raise InvalidValue(
                f"{count} slices where capacity is {self.capacity}; a slice is a group of many "
                "rows, such as a region or a source, not an id of one"
            )
        self.overall.observe(predicted, y)
        for name, rows in rows_of.items():
            score = self.slices.setdefault(name, Prequential(self.window, self.decay))
            score.observe(predicted[rows], y[rows])

    def state_dict(self) -> dict[str, Any]:
        """The state of every score, as tensors and plain values."""
        slices = {name: score.state_dict() for name, score in self.slices.items()}
        return {"overall": self.overall.state_dict(), "slices": slices}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: a score has other keys, another window or another decay, or there
                are more slices than `capacity`.
        """
        if len(state["slices"]) > self.capacity:
            raise CheckpointMismatch(
                f"the state has {len(state['slices'])} slices; capacity is {self.capacity}"
            )
        slices = {name: Prequential(self.window, self.decay) for name in state["slices"]}
        for name, score in slices.items():
            score.load_state_dict(state["slices"][name])
        self.overall.load_state_dict(state["overall"])
        self.slices = slices
