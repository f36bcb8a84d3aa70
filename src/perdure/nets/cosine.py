"""A head that looks at directions alone, so that no class wins by the length of its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.errors import check_range
from perdure.nets.blocks import MASKED
from perdure.nets.labels import LabelHead


class CosineHead(LabelHead):
    """Outputs scale * cos(angle between features and the label's weights), in columns by label id.

    It grows as a `GrowingHead` does: new labels of a batch append one block.

    Source: Hou et al. 2019, eq. 4, https://doi.org/10.1109/CVPR.2019.00092.

    Args:
        features: d, the width of the representation.
        classes: labels to have outputs for from the start; a number k stands for 0 to k - 1.
        scale: > 0, where the learned scale begins; an output lies in [-scale, scale].

    Raises:
        InvalidValue: an argument out of range, or a negative label.

    Example:
        >>> head = CosineHead(2, classes=3, scale=4.0)
        >>> bool(head(100 * torch.ones(1, 2)).abs().max() <= 4)
        True
    """

    def __init__(
        self, features: int, classes: int | Iterable[int] = (), scale: float = 10.0
    ) -> None:
        check_range("CosineHead", "scale", scale, 0, float("inf"), open_low=True)
        super().__init__(features, classes, bias=False)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, features: Tensor) -> Tensor:  # (n, width)
        """The outputs of features (n, d); no columns at all before the first label."""
        if not len(self.blocks):
            return features.new_empty(len(features), 0)
        weights = torch.cat([block.weight for block in cast("list[nn.Linear]", list(self.blocks))])
        cosines = F.linear(F.normalize(features, dim=1), F.normalize(weights, dim=1))
        return self.arranged(self.scale * cosines)

    def cosines(self, outputs: Tensor) -> Tensor:  # (n, width)
        """The cosines behind outputs that this head gave; MASKED columns stay so."""
        return torch.where(outputs > MASKED / 2, outputs / self.scale, outputs)
