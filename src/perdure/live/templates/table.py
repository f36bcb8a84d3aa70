"""The model of this project: numbers standardised, categories embedded, an MLP. Yours to change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from perdure.live.schema import Column, Schema
from perdure.nets import MLP, Classifier, FixedHead, GrowingHead


class Standardise(nn.Module):
    """Numbers (n, d) less their mean, by their deviation, over all rows seen in training."""

    rows: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        """Far outliers are brought within ten deviations."""
        if self.training:
            self._learn(x.detach())
        return ((x - self.mean) / (self.variance + 1e-6).sqrt()).clamp(-10, 10)

    @torch.no_grad()
    def _learn(self, x: Tensor) -> None:
        self.rows += len(x)
        share = len(x) / self.rows  # of these rows among all
        mean = x.mean(0)
        gap = mean - self.mean
        within = (x - mean).square().mean(0)
        self.variance += share * (within - self.variance + (1 - share) * gap.square())
        self.mean += share * gap


class Table(nn.Module):
    """Rows (n, columns) to features (n, hidden[-1]).

    Args:
        columns: of the schema; a category comes as the id of its bucket.
        width: of the vector of a category.
        hidden: widths of the MLP.
    """

    numbers: Tensor
    categories: Tensor
    offsets: Tensor

    def __init__(
        self, columns: Sequence[Column], width: int = 8, hidden: tuple[int, ...] = (128, 64)
    ) -> None:
        super().__init__()
        numbers = [i for i, column in enumerate(columns) if column.type == "number"]
        categories = [i for i, column in enumerate(columns) if column.type == "category"]
        ids = torch.tensor([0, *(columns[i].ids for i in categories)])
        # Where each column's vectors begin in the one embedding that all of them share.
        for name, index in (
            ("numbers", torch.tensor(numbers, dtype=torch.int64)),
            ("categories", torch.tensor(categories, dtype=torch.int64)),
            ("offsets", ids.cumsum(0)[:-1]),
        ):
            self.register_buffer(name, index, persistent=False)
        self.standardise = Standardise(len(numbers))
        self.embedding = nn.Embedding(int(ids.sum()), width)
        self.mlp = MLP(len(numbers) + width * len(categories), hidden)
        self.out_features = self.mlp.out_features

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of rows as the schema decodes them."""
        numbers = self.standardise(x[:, self.numbers])
        ids = x[:, self.categories].long() + self.offsets  # (n, categories)
        features: Tensor = self.mlp(torch.cat((numbers, self.embedding(ids).flatten(1)), dim=1))
        return features


def build(schema: Schema, classes: int) -> nn.Module:
    """The untrained model, with outputs for the classes that are known so far."""
    backbone = Table(schema.columns)
    head = GrowingHead if schema.open else FixedHead
    return Classifier(backbone, head(backbone.out_features, classes))
