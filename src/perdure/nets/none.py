"""No head at all: for methods that answer from features in closed form."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from perdure.errors import check_range


class NoHead(nn.Module):
    """No outputs and no parameters: the methods of the learner answer from the features.

    On a frozen backbone nothing is left for gradients to train, and an update is one pass forward.

    Args:
        features: d, the width of the representation.

    Raises:
        InvalidValue: a width below 1.

    Example:
        >>> import torch
        >>> NoHead(8)(torch.zeros(3, 8)).shape
        torch.Size([3, 0])
    """

    takes_task: ClassVar[bool] = False

    def __init__(self, features: int) -> None:
        super().__init__()
        check_range("NoHead", "features", features, 1, float("inf"))
        self.in_features = features

    def forward(self, features: Tensor) -> Tensor:  # (n, 0)
        """Nothing, for each of the features (n, d)."""
        return features[:, :0]
