"""What changed for whom between two versions of a model on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from perdure.errors import InvalidValue


@dataclass(frozen=True)
class Flips:
    """Counts of rows whose answer changed from one version to the next.

    Attributes:
        rows: how many were compared.
        negative: right before and wrong after.
        positive: wrong before and right after.
        changed: answered differently, right or wrong.
    """

    rows: int
    negative: int
    positive: int
    changed: int

    @property
    def negative_rate(self) -> float | None:
        """NFR, the share of rows that regressed (Yan et al. 2021); None without rows."""
        return self.negative / self.rows if self.rows else None

    @property
    def positive_rate(self) -> float | None:
        """The share of rows that improved; None without rows."""
        return self.positive / self.rows if self.rows else None

    @property
    def churn(self) -> float | None:
        """The share of rows that are answered differently; None without rows."""
        return self.changed / self.rows if self.rows else None

    @property
    def gain(self) -> float | None:
        """Accuracy after less accuracy before: positive less negative rate; None without rows."""
        return (self.positive - self.negative) / self.rows if self.rows else None


def count_flips(before: Tensor, after: Tensor, y: Tensor) -> Flips:  # (n,), (n,), (n,)
    """Compare the labels that two versions predicted for the same rows.

    Source: Yan et al. 2021, "Positive-Congruent Training", https://arxiv.org/abs/2011.09161.

    Args:
        before: labels that the older version predicts, (n,).
        after: labels that the newer version predicts, (n,).
        y: labels, (n,).

    Raises:
        InvalidValue: the shapes differ.
    """
    if not before.shape == after.shape == y.shape or y.dim() != 1:
        raise InvalidValue(
            f"count_flips compares predicted labels, all (n,); got {tuple(before.shape)}, "
            f"{tuple(after.shape)} and y {tuple(y.shape)}"
        )
    was_right, is_right = before == y, after == y
    return Flips(
        rows=len(y),
        negative=int((was_right & ~is_right).sum()),
        positive=int((~was_right & is_right).sum()),
        changed=int((before != after).sum()),
    )
