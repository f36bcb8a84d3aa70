"""The model of this project: hashed trigrams of bytes, and a head. Yours to change.

It needs no tokeniser and no vocabulary, so that any language and any new word will do.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from perdure.live.schema import Schema
from perdure.nets import Classifier, FixedHead, GrowingHead


class Trigrams(nn.Module):
    """Texts (n, length) of bytes to features (n, width): the sum of their trigrams' vectors.

    Args:
        buckets: vectors to share among the trigrams, by hash.
        width: of a vector.
    """

    def __init__(self, buckets: int = 2**14, width: int = 64) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(buckets, width, mode="sum")
        self.buckets = buckets
        self.out_features = width

    def forward(self, x: Tensor) -> Tensor:  # (n, width)
        """Divided by the root of how many there are, so that long texts weigh no more."""
        codes = (x * 255).round().long()  # bytes arrive scaled to [0, 1]; 0 is padding
        following = F.pad(codes, (0, 2))
        trigrams = (codes * 256 + following[:, 1:-1]) * 256 + following[:, 2:]  # (n, length)
        hashed = trigrams * 2_654_435_761 % 2**32 * self.buckets // 2**32  # Knuth's multiplier
        there = (codes > 0).to(self.bag.weight.dtype)
        summed: Tensor = self.bag(hashed, per_sample_weights=there)
        return summed / there.sum(1, keepdim=True).clamp(min=1).sqrt()


def build(schema: Schema, classes: int) -> nn.Module:
    """The untrained model, with outputs for the classes that are known so far."""
    backbone = Trigrams()
    head = GrowingHead if schema.open else FixedHead
    return Classifier(backbone, head(backbone.out_features, classes))
