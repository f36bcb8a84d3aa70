"""Pixels in whatever form a data set keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from perdure.errors import InvalidValue


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(channels, height, width) of an input; a flat square number of pixels is one grey square.

    Raises:
        InvalidValue: the input is no image.
    """
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    if side < 2 or side * side != shape[0]:
        raise InvalidValue(
            f"an input has shape {shape}; it must be (channels, height, width), (height, width) "
            "or a flat square number of pixels"
        )
    return 1, side, side


def on_images(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change` to images (n, channels, height, width) in [0, 1], and return to x's form.

    uint8 goes through float and back, rounded, so that what memories store stays small.
    """
    images = x.reshape(len(x), *image_shape(tuple(x.shape[1:])))
    if x.dtype == torch.uint8:
        changed = change(images.float() / 255).clamp(0, 1).mul(255).round().to(torch.uint8)
    else:
        changed = change(images)
    return changed.reshape(x.shape)
