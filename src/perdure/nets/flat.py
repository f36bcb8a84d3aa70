"""The inputs themselves as features: for rows that an encoder has made already."""

from __future__ import annotations

from torch import Tensor, nn

from perdure.errors import check_range


class Flat(nn.Module):
    """Inputs (n, ...) as features (n, d), with nothing learnt.

    Args:
        features: d, how many numbers an input has.

    Raises:
        InvalidValue: a width below 1.

    Example:
        >>> import torch
        >>> Flat(4)(torch.zeros(3, 2, 2)).shape
        torch.Size([3, 4])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        check_range("Flat", "features", features, 1, float("inf"))
        self.out_features = features

    def forward(self, x: Tensor) -> Tensor:  # (n, d)
        """The inputs, flattened."""
        return x.flatten(1)
