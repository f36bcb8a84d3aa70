"""Rows of a table: numbers standardised as they come, categories by hash."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from perdure.errors import InvalidValue, check_range


class Standardise(nn.Module):
    """Numbers (n, d) less their mean, by their deviation, over all rows seen in training.

    A missing number (NaN) stands for the mean and is not counted.

    Args:
        width: d.
    """

    rows: Tensor  # (d,) that had a number
    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        """Far outliers are brought within ten deviations."""
        if self.training:
            self._learn(x.detach())
        standard = (x - self.mean) / (self.variance + 1e-6).sqrt()
        return standard.clamp(-10, 10).nan_to_num(0.0)

    @torch.no_grad()
    def _learn(self, x: Tensor) -> None:
        there = ~x.isnan()
        count = there.sum(0)
        self.rows += count
        share = count / self.rows.clamp(min=1)  # of these rows among all
        mean = torch.where(count > 0, x.nanmean(0), self.mean)
        gap = mean - self.mean
        within = (x - mean).square().nanmean(0).nan_to_num(0.0)
        self.variance += share * (within - self.variance + (1 - share) * gap.square())
        self.mean += share * gap


class Tabular(nn.Module):
    """Rows of a table (n, columns), float, to features (n, out_features).

    Numbers are standardised over the rows seen in training; beside them stands whether each was
    missing. A category has a vector that learns. Its value is taken modulo the column's number of
    ids, so that one never seen before has a vector as well; NaN counts as 0.

    Args:
        columns: for each column the number of ids of its categories; 1 for a number.
        width: of the vector of a category.

    Raises:
        InvalidValue: no columns, or a number below 1.

    Example:
        >>> Tabular([1, 1, 100], width=8)(torch.zeros(5, 3)).shape
        torch.Size([5, 12])
    """

    numbers: Tensor
    categories: Tensor
    ids: Tensor
    offsets: Tensor

    def __init__(self, columns: Sequence[int], width: int = 8) -> None:
        super().__init__()
        check_range("Tabular", "width", width, 1, float("inf"))
        if not columns or min(columns) < 1:
            raise InvalidValue(
                f"columns is {list(columns)}; give the number of ids of each column's categories, "
                "and 1 for a column of numbers"
            )
        ids = torch.tensor(columns)
        of_categories = ids[ids > 1]
        # Where each column's vectors begin in the one embedding that all of them share.
        offsets = of_categories.cumsum(0) - of_categories
        for name, index in (
            ("numbers", (ids == 1).nonzero()[:, 0]),
            ("categories", (ids > 1).nonzero()[:, 0]),
            ("ids", of_categories),
            ("offsets", offsets),
        ):
            self.register_buffer(name, index, persistent=False)
        self.standardise = Standardise(len(self.numbers))
        self.embedding = nn.Embedding(int(of_categories.sum()), width)
        self.out_features = 2 * len(self.numbers) + width * len(self.categories)

    def prepare(self, x: Tensor) -> Tensor:
        """Numbers as they are, as floats."""
        return x.float()

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of rows."""
        numbers = x[:, self.numbers]
        codes = x[:, self.categories].nan_to_num(0.0).long() % self.ids + self.offsets
        vectors = self.embedding(codes).flatten(1)  # (n, categories * width)
        return torch.cat((self.standardise(numbers), numbers.isnan().float(), vectors), dim=1)
