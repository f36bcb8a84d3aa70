"""Random choices of rows that depend on nothing but their seed."""

from __future__ import annotations

from zlib import crc32

import torch
from torch import Generator, Tensor

from perdure.errors import InvalidValue


def seeded(*key: int | str) -> Generator:
    """A generator that the key alone decides, so that any draw can be repeated by itself."""
    return Generator().manual_seed(crc32("/".join(map(str, key)).encode()))


def stratified(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split rows in two so that each class keeps its share on both sides.

    A class of two or more rows has at least one on either side. Floating `y` are targets of a
    regression, split without regard to their value.

    Args:
        y: labels (n,) int64, or targets (n, ...) floating.
        fraction: in (0, 1), the share of the second part.
        seed: of the choice.

    Returns:
        The positions of both parts, each ascending.

    Raises:
        InvalidValue: the fraction is out of range.
    """
    if not 0 < fraction < 1:
        raise InvalidValue(f"fraction is {fraction}; it must lie between 0 and 1, both left out")
    generator = seeded(seed, "stratified")
    groups = [torch.arange(len(y))]
    if not y.is_floating_point():
        groups = [(y.cpu() == label).nonzero().flatten() for label in y.unique().tolist()]
    held = torch.zeros(len(y), dtype=torch.bool)
    for group in groups:
        most = max(len(group) - 1, 0)
        count = min(max(round(fraction * len(group)), 1), most)
        held[group[torch.randperm(len(group), generator=generator)[:count]]] = True
    return (~held).nonzero().flatten(), held.nonzero().flatten()
