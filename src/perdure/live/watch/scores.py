"""How one version does: prequential accuracy in all and by slice, and what its confidences say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from perdure.errors import CheckpointMismatch, check_range
from perdure.live.drift import ExpectedAccuracy
from perdure.measure import Prequential

OTHER = "other"


class Scores:
    """The scores of one version, bounded whatever its rows are called.

    Args:
        window: rows of each windowed accuracy.
        decay: in (0, 1], of each fading accuracy.
        slices: that are scored apart, at least 1; those that come later share the slice "other".
    """

    def __init__(self, window: int = 1000, decay: float = 0.999, slices: int = 64) -> None:
        check_range("Scores", "slices", slices, 1, float("inf"))
        self.window = window
        self.decay = decay
        self.capacity = slices
        self.overall = Prequential(window, decay)
        self.slices: dict[str, Prequential] = {}
        self.expected = ExpectedAccuracy(window)

    def observe(
        self, hits: Sequence[bool], confidences: Sequence[float], slices: Sequence[Sequence[str]]
    ) -> None:
        """Score rows, each overall and in its slices.

        Args:
            hits: n, whether the prediction was right.
            confidences: n, that it came with.
            slices: n times the names of the slices that a row lies in, such as "class:7".
        """
        rows_of: dict[str, list[bool]] = {}
        for hit, confidence, names in zip(hits, confidences, slices, strict=True):
            self.expected.calibrate(confidence, hit)
            for name in dict.fromkeys(map(self._place, names)):
                rows_of.setdefault(name, []).append(hit)
        _score(self.overall, hits)
        for name, mine in rows_of.items():
            _score(self.slices[name], mine)

    def state_dict(self) -> dict[str, Any]:
        """The state of every score, as tensors and plain values."""
        return {
            "overall": self.overall.state_dict(),
            "slices": {name: score.state_dict() for name, score in self.slices.items()},
            "expected": self.expected.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: it has another window or decay, or more slices than there may be.
        """
        if len(state["slices"]) > self.capacity + 1:
            raise CheckpointMismatch(
                f"the state has {len(state['slices'])} slices; there may be {self.capacity}"
            )
        self.overall.load_state_dict(state["overall"])
        self.expected.load_state_dict(state["expected"])
        self.slices = {name: Prequential(self.window, self.decay) for name in state["slices"]}
        for name, score in self.slices.items():
            score.load_state_dict(state["slices"][name])

    def _place(self, name: str) -> str:
        """The slice that a name is scored in: its own while there is room."""
        if name not in self.slices and len(self.slices) >= self.capacity:
            name = OTHER
        if name not in self.slices:
            self.slices[name] = Prequential(self.window, self.decay)
        return name


def _score(score: Prequential, hits: Sequence[bool]) -> None:
    predicted = torch.tensor(hits, dtype=torch.bool)
    score.observe(predicted, torch.ones_like(predicted))
