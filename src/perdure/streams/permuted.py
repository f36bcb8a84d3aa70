"""Permuted: each task shuffles the pixels in its own fixed way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams.data import as_data
from perdure.streams.dataset import Data
from perdure.streams.draws import seeded
from perdure.streams.rows import Transform
from perdure.streams.stream import Stream, scenario_named
from perdure.streams.views import views


def permuted(
    dataset: str | Data,
    tasks: int = 10,
    scenario: Scenario | str = "domain",
    *,
    seed: int = 0,
) -> Stream:
    """Tasks that show the same rows with the pixels permuted; task 0 leaves them as they are.

    The channels of a pixel stay together; of inputs that are no images the features are permuted.
    In `class` each permutation's classes count as new ones: task t has labels t*k to (t+1)*k-1.

    Source: Goodfellow et al. 2014, sec. 5.1; the scenarios by van de Ven et al. 2022, table 3.

    Args:
        dataset: a name that `load` knows, or the data.
        tasks: how many, at least 1.
        scenario: `task`, `domain`, `class` or `free`.
        seed: of the permutations.

    Raises:
        InvalidValue: fewer than one task.
        Impossible: scenario `class` of a regression.
    """
    if tasks < 1:
        raise InvalidValue(f"tasks is {tasks}; a stream has at least one")
    data = as_data(dataset)
    pixels = math.prod(data.shape[1:] if len(data.shape) == 3 else data.shape)
    changes: list[tuple[str, Transform | None]] = [("as they are", None)]
    for t in range(1, tasks):
        order = torch.randperm(pixels, generator=seeded(seed, "permuted", t))
        changes.append((f"permutation {t}", Permutation(order)))
    return views(data, "permuted", scenario_named(scenario), changes, distinct=True)


class Permutation:
    """Puts pixel `order[i]` in the place of pixel i.

    Args:
        order: a permutation (pixels,) int64.
    """

    def __init__(self, order: Tensor) -> None:
        self.order = order

    def __call__(self, x: Tensor) -> Tensor:
        """The inputs (n, ...) with their pixels permuted, each channel alike."""
        order = self.order.to(x.device)
        flat = x.reshape(-1, len(order))  # (n * channels, pixels)
        return flat.gather(1, order.expand_as(flat)).reshape(x.shape)
