"""Whether a model is as sure as it is right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from perdure.errors import InvalidValue


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence lies in (low, high]; `confidence` and `accuracy` are their means."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


def reliability(probabilities: Tensor, y: Tensor, bins: int = 15) -> list[ReliabilityBin]:
    """Confidence beside accuracy in equal bins of confidence: the points of a reliability diagram.

    Args:
        probabilities: (n, classes), each row summing to one.
        y: labels (n,) int64.
        bins: how many, at least 1.

    Raises:
        InvalidValue: the shapes do not fit, or the rows are no probabilities.
    """
    if bins < 1:
        raise InvalidValue(f"bins is {bins!r}; it must be at least 1")
    p = _checked(probabilities, y)
    confidence, predicted = p.max(1)  # (n,), (n,)
    right = (predicted == y).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=p.device)
    place = torch.bucketize(confidence, edges).sub(1).clamp(0, bins - 1)  # (n,)
    found = []
    for b in range(bins):
        inside = place == b
        rows = int(inside.sum())
        found.append(
            ReliabilityBin(
                float(edges[b]),
                float(edges[b + 1]),
                rows,
                float(confidence[inside].mean()) if rows else None,
                float(right[inside].mean()) if rows else None,
            )
        )
    return found


def expected_calibration_error(probabilities: Tensor, y: Tensor, bins: int = 15) -> float | None:
    """ECE = sum over bins of rows / n * |accuracy - confidence|, in [0, 1]; None without rows.

    Source: Guo et al. 2017, eq. 3, https://arxiv.org/abs/1706.04599. Arguments as `reliability`.
    """
    filled = [(b.rows, b.confidence, b.accuracy) for b in reliability(probabilities, y, bins)]
    gaps = [n * abs(a - c) for n, c, a in filled if a is not None and c is not None]
    return sum(gaps) / len(y) if len(y) else None


def brier_score(probabilities: Tensor, y: Tensor) -> float | None:
    """Mean over rows of sum_k (p_k - [y = k])^2, in [0, 2]; None without rows.

    Source: Brier 1950. Arguments as `reliability`.
    """
    p = _checked(probabilities, y)
    target = torch.zeros_like(p).scatter_(1, y[:, None], 1.0)
    return float((p - target).square().sum(1).mean()) if len(y) else None


def negative_log_likelihood(probabilities: Tensor, y: Tensor) -> float | None:
    """Mean over rows of -log p_y in nats, at least 0; None without rows.

    Infinite where a label was given probability zero: take `softmax(1, dtype=torch.float64)` so
    that it is not the rounding that says so. Arguments as `reliability`.
    """
    p = _checked(probabilities, y)
    return float(-p.gather(1, y[:, None]).log().mean()) if len(y) else None


def _checked(probabilities: Tensor, y: Tensor) -> Tensor:  # (n, classes) float64
    """The probabilities in float64, once they are known to be some."""
    if probabilities.dim() != 2 or y.shape != probabilities.shape[:1]:
        raise InvalidValue(
            f"probabilities must be (n, classes) and y (n,); got {tuple(probabilities.shape)} "
            f"and {tuple(y.shape)}"
        )
    p = probabilities.detach().double()
    if not len(y):
        return p
    if int(y.min()) < 0 or int(y.max()) >= p.shape[1]:
        raise InvalidValue(
            f"labels lie in [{int(y.min())}, {int(y.max())}] and there are {p.shape[1]} classes"
        )
    # half precision rounds a sum of many classes by about this much
    if not bool((p >= 0).all()) or not bool(((p.sum(1) - 1).abs() < 1e-2).all()):
        raise InvalidValue(
            "each row of probabilities must be at least 0 and sum to 1; for logits, give "
            "logits.softmax(1)"
        )
    return p
