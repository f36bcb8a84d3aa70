"""The model of this project: an MLP on the flattened tensor, and a head. Yours to change."""

from __future__ import annotations

import math

from torch import Tensor, nn

from perdure.live.schema import Schema
from perdure.nets import MLP, Classifier, FixedHead, GrowingHead


class Flat(nn.Module):
    """Tensors (n, ...) through an MLP to features (n, hidden[-1])."""

    def __init__(self, inputs: int, hidden: tuple[int, ...] = (256, 128)) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden)
        self.out_features = self.mlp.out_features

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """Integers count as numbers; bytes arrive scaled to [0, 1] already."""
        features: Tensor = self.mlp(x.float())
        return features


def build(schema: Schema, classes: int) -> nn.Module:
    """The untrained model, with outputs for the classes that are known so far."""
    backbone = Flat(math.prod(schema.shape))
    head = GrowingHead if schema.open else FixedHead
    return Classifier(backbone, head(backbone.out_features, classes))
