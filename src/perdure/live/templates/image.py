"""The model of this project: a small convolutional network, and a head. Yours to change."""

from __future__ import annotations

from torch import nn

from perdure.live.schema import Schema
from perdure.nets import CNN, Classifier, FixedHead, GrowingHead


def build(schema: Schema, classes: int) -> nn.Module:
    """The untrained model, with outputs for the classes that are known so far.

    Its inputs are images (n, channels, height, width), at least 4 x 4, scaled to [0, 1].
    """
    backbone = CNN(schema.channels or 1, width=32)
    head = GrowingHead if schema.open else FixedHead
    return Classifier(backbone, head(backbone.out_features, classes))
