"""Rotated: each task turns the images by its own angle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Data
from perdure.streams.images import image_shape, on_images
from perdure.streams.stream import Stream, scenario_named
from perdure.streams.views import views


def rotated(
    dataset: str | Data,
    tasks: int = 5,
    scenario: Scenario | str = "domain",
    *,
    angles: Sequence[float] | None = None,
) -> Stream:
    """Tasks that show the same images turned anticlockwise, as in Rotated MNIST.

    Source: Lopez-Paz & Ranzato 2017, sec. 5.1, where the angles are random in [0, 180).

    Args:
        dataset: a name that `load` knows, or the data: images, or flat rows of a square.
        tasks: how many angles, evenly spread from 0 to 180 degrees; ignored where they are given.
        scenario: `task`, `domain` or `free`.
        angles: degrees, one a task.

    Raises:
        InvalidValue: no task, or inputs that are no images.
        Impossible: scenario `class`.
    """
    data = as_data(dataset)
    if angles is None:
        if tasks < 1:
            raise InvalidValue(f"tasks is {tasks}; a stream has at least one")
        angles = torch.linspace(0, 180, tasks, dtype=torch.float64).tolist()
    image_shape(data.shape)
    changes = [(f"{angle:g}°", Rotation(angle) if angle % 360 else None) for angle in angles]
    return views(data, "rotated", scenario_named(scenario), changes)


class Rotation:
    """Turns images about their centre, bilinearly; what turns in from outside is 0.

    Args:
        angle: degrees, anticlockwise.
    """

    def __init__(self, angle: float) -> None:
        self.angle = angle

    def __call__(self, x: Tensor) -> Tensor:
        """The inputs (n, ...) turned, in the same shape and dtype."""
        return on_images(x, self._turned)

    def _turned(self, images: Tensor) -> Tensor:  # (n, channels, height, width)
        cos, sin = (f(math.radians(self.angle)) for f in (math.cos, math.sin))
        high, wide = images.shape[-2:]
        # Coordinates run from -1 to 1 along both sides, however long they are.
        matrix = images.new_tensor([[cos, -sin * high / wide, 0], [sin * wide / high, cos, 0]])
        grid = F.affine_grid(matrix.expand(1, 2, 3), [1, *images.shape[1:]], align_corners=False)
        return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), align_corners=False)
