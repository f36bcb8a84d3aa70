"""Corrupted: each task spoils the images in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Data
from perdure.streams.draws import seeded
from perdure.streams.images import image_shape, on_images
from perdure.streams.rows import Transform
from perdure.streams.stream import Stream, scenario_named
from perdure.streams.views import views

KINDS = ("clean", "noise", "blur", "contrast", "inversion")
DEVIATION = (0.04, 0.06, 0.08, 0.09, 0.10)  # of the noise, by severity
SIGMA = (0.4, 0.6, 0.7, 0.8, 1.0)  # of the blur, in pixels
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # what remains of it


def corrupted(
    dataset: str | Data,
    kinds: Sequence[str] = KINDS,
    scenario: Scenario | str = "domain",
    *,
    severity: int = 3,
    seed: int = 0,
) -> Stream:
    """Tasks that show the same images, spoilt by noise, blur, loss of contrast or inversion.

    Source: Hendrycks & Dietterich 2019, with the constants of CIFAR-10-C; inversion is not among
    their corruptions and is complete at every severity.

    Args:
        dataset: a name that `load` knows, or the data: images, uint8 or float in [0, 1].
        kinds: one a task: "clean", "noise", "blur", "contrast", "inversion".
        scenario: `task`, `domain` or `free`.
        severity: 1 to 5.
        seed: of the noise.

    Raises:
        InvalidValue: an unknown kind, a severity out of range, or inputs that are no images.
        Impossible: scenario `class`.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InvalidValue(f"kinds are {list(kinds)}; choose from {', '.join(KINDS)}")
    if severity not in range(1, 6):
        raise InvalidValue(f"severity is {severity}; it must be 1, 2, 3, 4 or 5")
    data = as_data(dataset)
    image_shape(data.shape)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "noise": Noise(DEVIATION[severity - 1], math.prod(data.shape), seed),
        "blur": Blur(SIGMA[severity - 1]),
        "contrast": partial(fade, remains=CONTRAST[severity - 1]),
        "inversion": invert,
    }
    tasks = [(kind, None if kind == "clean" else _spoil(changes[kind])) for kind in kinds]
    return views(data, "corrupted", scenario_named(scenario), tasks)


def _spoil(change: Callable[[Tensor], Tensor]) -> Transform:
    return partial(on_images, change=lambda images: change(images).clamp(0, 1))


class Noise:
    """Adds Gaussian noise that depends on the image alone: the same in every batch and pass.

    Each image's pixels, to 8 bits, choose where in one long run of noise its own begins.

    Args:
        deviation: the standard deviation, for images in [0, 1].
        pixels: numbers an image has, channels included.
        seed: of the noise.
    """

    def __init__(self, deviation: float, pixels: int, seed: int) -> None:
        generator = seeded(seed, "noise")
        self.deviation = deviation
        self.run = torch.randn(2**20 + pixels, generator=generator)
        # Sums of whole numbers below 2^53 are exact in float64, in whatever order they are added.
        self.weights = torch.randint(2**20, (pixels,), generator=generator).double()

    def __call__(self, images: Tensor) -> Tensor:
        """The images (n, channels, height, width) with noise, not clipped."""
        levels = (images.flatten(1) * 255).round().double()  # (n, pixels)
        begins = (levels @ self.weights.to(images.device)).long() % 2**20  # (n,)
        windows = self.run.to(images.device).unfold(0, len(self.weights), 1)
        return images + self.deviation * windows[begins].view_as(images)


class Blur:
    """Spreads each pixel by a Gaussian, cut at 4 sigma; beyond the edge the edge goes on.

    Args:
        sigma: in pixels.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def __call__(self, images: Tensor) -> Tensor:
        """The images (n, channels, height, width) blurred along both sides."""
        down, across = (self._along(side).to(images) for side in images.shape[-2:])
        return down @ images @ across.T

    def _along(self, side: int) -> Tensor:  # (side, side)
        radius = int(4 * self.sigma + 0.5)
        offsets = torch.arange(-radius, radius + 1)
        kernel = torch.exp(-0.5 * (offsets / self.sigma) ** 2)
        reached = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
        shares = (kernel / kernel.sum()).expand(side, -1)
        return torch.zeros(side, side).scatter_add(1, reached, shares)


def fade(images: Tensor, remains: float) -> Tensor:
    """Images (n, channels, height, width) drawn towards the mean of each channel."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + remains * (images - mean)


def invert(images: Tensor) -> Tensor:
    """Images in [0, 1] with dark and light exchanged."""
    return 1 - images
