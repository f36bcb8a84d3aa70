"""The model of this project: a frozen sentence encoder. Yours to change.

It has no head: the method in perdure.toml answers from sums over the features. For methods that
train, such as ER, put GrowingHead(backbone.out_features, classes) in the place of NoHead.
"""

from __future__ import annotations

from torch import nn

from perdure.live.schema import Schema
from perdure.nets import Classifier, NoHead, encoder


def build(schema: Schema, classes: int) -> nn.Module:
    """The model; its inputs are the bytes of texts.

    `encoder("text", "folder or name of a sentence transformer")` takes another than MiniLM, and
    `precision="bf16"` doubles its speed where the processor can.
    """
    backbone = encoder("text")
    return Classifier(backbone, NoHead(backbone.out_features))
