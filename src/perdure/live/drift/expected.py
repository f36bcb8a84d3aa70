"""Accuracy before labels come: what the confidences promise, once they have been held to it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perdure.errors import CheckpointMismatch, check_range

BINS = 20


@dataclass(frozen=True)
class Estimate:
    """An accuracy that nobody has measured yet.

    Attributes:
        accuracy: expected share of right answers.
        error: its standard deviation from the chance of each answer alone.
        rows: that it speaks of.
    """

    accuracy: float
    error: float
    rows: int


class ExpectedAccuracy:
    """The accuracy of recent answers from their confidences alone.

        p(c) = (hits_b + c) / (rows_b + 1)    for a confidence c in bin b of labelled rows
        accuracy = mean p(c),  error = sqrt(sum p(c) (1 - p(c))) / n    over the recent answers

    The bins lie half a unit of log-odds apart, so that they are narrow near one. It holds where
    inputs change and the right answer to each does not: a drift of labels shows only in labels.

    Source: confidence-based performance estimation (CBPE) as in NannyML's documentation;
    histogram binning by Zadrozny & Elkan 2001. Keeps: two numbers a bin, `window` confidences.

    Args:
        window: answers that the estimate speaks of, at least 1.
        decay: in (0, 1], of labelled rows: about 1 / (1 - decay) of them count.
    """

    def __init__(self, window: int = 1000, decay: float = 0.9995) -> None:
        check_range("ExpectedAccuracy", "window", window, 1, float("inf"))
        check_range("ExpectedAccuracy", "decay", decay, 0.0, 1.0, open_low=True)
        self.window = window
        self.decay = decay
        self._rows = np.zeros(BINS)
        self._hits = np.zeros(BINS)
        self._recent: deque[float] = deque(maxlen=window)

    def calibrate(self, confidence: float, hit: bool) -> None:
        """Hold a confidence to its label."""
        self._rows *= self.decay
        self._hits *= self.decay
        place = _bin(confidence)
        self._rows[place] += 1
        self._hits[place] += hit

    def observe(self, confidence: float) -> None:
        """Take the confidence of an answer whose label is not known."""
        check_range("ExpectedAccuracy", "confidence", confidence, 0.0, 1.0)
        self._recent.append(confidence)

    def estimate(self) -> Estimate | None:
        """Of the last `window` answers; None before the first."""
        if not self._recent:
            return None
        c = np.array(self._recent)  # (n,)
        place = np.array([_bin(one) for one in self._recent])
        p = (self._hits[place] + c) / (self._rows[place] + 1)
        return Estimate(float(p.mean()), math.sqrt(float((p * (1 - p)).sum())) / len(c), len(c))

    def state_dict(self) -> dict[str, Any]:
        """The settings, the bins and the recent confidences."""
        return {
            "window": self.window,
            "decay": self.decay,
            "rows": torch.from_numpy(self._rows.copy()),  # (bins,) float64
            "hits": torch.from_numpy(self._hits.copy()),
            "recent": torch.tensor(list(self._recent), dtype=torch.float64),  # (<= window,)
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: it has another window or decay.
        """
        if (state["window"], state["decay"]) != (self.window, self.decay):
            raise CheckpointMismatch(
                f"the state has window={state['window']}, decay={state['decay']}; this "
                f"ExpectedAccuracy has window={self.window}, decay={self.decay}: give it the same"
            )
        self._rows, self._hits = state["rows"].numpy().copy(), state["hits"].numpy().copy()
        self._recent = deque(state["recent"].tolist(), maxlen=self.window)


def _bin(confidence: float) -> int:
    """From log-odds -2 to 8 in steps of a half; what lies outside belongs to the ends."""
    check_range("ExpectedAccuracy", "confidence", confidence, 0.0, 1.0)
    if confidence in (0.0, 1.0):
        return int(confidence) * (BINS - 1)
    log_odds = math.log(confidence / (1 - confidence))
    return min(max(int(2 * (log_odds + 2)), 0), BINS - 1)
