"""The backbone of permuted and split digits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from perdure.errors import check_range


class MLP(nn.Module):
    """Inputs (n, ...), flattened, through linear layers with ReLU to features (n, hidden[-1]).

    Args:
        inputs: the number of values in one row's input.
        hidden: the width of each layer.

    Raises:
        InvalidValue: a width below 1.
    """

    def __init__(self, inputs: int, hidden: Sequence[int] = (400, 400)) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        for width in widths:
            check_range("MLP", "a width", width, 1, float("inf"))
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(*(module for layer in layers for module in layer))
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of inputs (n, ...)."""
        features: Tensor = self.layers(x.flatten(1))
        return features
