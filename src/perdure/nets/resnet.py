"""The slim residual network on which continual learning is compared on CIFAR."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from perdure.errors import check_range

Norm = Callable[[int], nn.Module]


class ResNet18(nn.Module):
    """Images (n, channels, h, w) through eight residual blocks to features (n, 8 * width).

    The stem is one 3 x 3 convolution without pooling, made for images of 32 x 32. Replayed and new
    rows are normalised together, so both make the statistics.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385; slim by width 20 as in Lopez-Paz &
    Ranzato 2017, section 4, https://arxiv.org/abs/1706.08840. The full network has width 64.

    Args:
        channels: of the image.
        width: channels of the first stage; the next three double it.
        norm: makes each normalisation from its channels, such as `BatchRenorm2d` for small batches.

    Raises:
        InvalidValue: a number below 1.
    """

    def __init__(self, channels: int = 3, width: int = 20, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        check_range("ResNet18", "channels", channels, 1, float("inf"))
        check_range("ResNet18", "width", width, 1, float("inf"))
        self.stem = _normalised(channels, width, 3, 1, norm)
        blocks: list[nn.Module] = []
        before = width
        for stride, stage in ((1, width), (2, 2 * width), (2, 4 * width), (2, 8 * width)):
            blocks += [_Residual(before, stage, stride, norm), _Residual(stage, stage, 1, norm)]
            before = stage
        self.blocks = nn.Sequential(*blocks)
        self.out_features = before

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of images (n, channels, h, w)."""
        maps: Tensor = self.blocks(F.relu(self.stem(x)))
        return maps.mean((2, 3))


class _Residual(nn.Module):
    """x + f(x), with f two normalised convolutions; x is projected where the shape changes."""

    def __init__(self, before: int, after: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.first = _normalised(before, after, 3, stride, norm)
        self.second = _normalised(after, after, 3, 1, norm)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else _normalised(before, after, 1, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def _normalised(before: int, after: int, size: int, stride: int, norm: Norm) -> nn.Sequential:
    # The normalisation has its own shift, so the convolution needs no bias.
    convolution = nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, norm(after))
