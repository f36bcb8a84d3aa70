"""The model of this project: a frozen network that was trained on ImageNet. Yours to change.

It has no head: the method in perdure.toml answers from sums over the features. For methods that
train, such as ER, put GrowingHead(backbone.out_features, classes) in the place of NoHead.
"""

from __future__ import annotations

from torch import nn

from perdure.live.schema import Schema
from perdure.nets import Classifier, NoHead, encoder


def build(schema: Schema, classes: int) -> nn.Module:
    """The model; its inputs are pictures (n, channels, height, width), uint8.

    `size` is what they are stretched to, in pixels: larger is slower and sees more.
    """
    backbone = encoder("image", size=96)
    return Classifier(backbone, NoHead(backbone.out_features))
