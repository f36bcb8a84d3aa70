"""A small convolutional backbone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from perdure.errors import check_range


class CNN(nn.Module):
    """Images (n, channels, h, w) through three convolutions to features (n, 4 * width).

    Each convolution is 3 x 3 with ReLU; the first two halve the image by max-pooling, the last is
    averaged over positions, so that any size from 4 x 4 will do. Without normalisation a batch of
    one row learns as well as any.

    Args:
        channels: of the image.
        width: channels of the first convolution; the next have twice and four times as many.
        norm: makes the normalisation after each convolution from its channels, such as
            `nn.BatchNorm2d` or `BatchRenorm2d`; None for none.

    Raises:
        InvalidValue: a number below 1.
    """

    def __init__(
        self, channels: int = 3, width: int = 32, norm: Callable[[int], nn.Module] | None = None
    ) -> None:
        super().__init__()
        check_range("CNN", "channels", channels, 1, float("inf"))
        check_range("CNN", "width", width, 1, float("inf"))
        widths = (channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, padding=1), *([] if norm is None else [norm(b)])]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers[:-1])
        self.out_features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:  # (n, out_features)
        """The features of images (n, channels, h, w)."""
        maps: Tensor = self.layers(x)
        return maps.mean((2, 3))
