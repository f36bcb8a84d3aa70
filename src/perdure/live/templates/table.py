"""The model of this project: numbers standardised, categories embedded, an MLP. Yours to change."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from perdure.live.schema import Column, Schema
from perdure.nets import MLP, Classifier, FixedHead, GrowingHead, encoder


class Table(nn.Module):
    """Rows (n, columns) to features (n, hidden[-1]).

    Args:
        columns: of the schema; a category comes as the id of its bucket.
        hidden: widths of the MLP.
    """

    def __init__(self, columns: Sequence[Column], hidden: tuple[int, ...] = (128, 64)) -> None:
        super().__init__()
        self.columns = encoder("tabular", columns=[column.ids for column in columns])
        self.mlp = MLP(self.columns.out_features, hidden)
        self.out_features = self.mlp.out_features

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of rows as the schema decodes them."""
        features: Tensor = self.mlp(self.columns(x))
        return features


def build(schema: Schema, classes: int) -> nn.Module:
    """The untrained model, with outputs for the classes that are known so far."""
    backbone = Table(schema.columns)
    head = GrowingHead if schema.open else FixedHead
    return Classifier(backbone, head(backbone.out_features, classes))
