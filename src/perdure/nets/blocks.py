"""What every head is made of: linear blocks that are appended as labels arrive, and act as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.errors import CheckpointMismatch, InvalidValue

MASKED = -1e4
"""The output of a column that is not available to a row: a label not seen yet, or another task's.

Softmax gives it exactly zero, two of them differ by zero, and half precision holds it; minus
infinity has only the first of these virtues.
"""

T = TypeVar("T")


class Blocks(nn.ModuleList):
    """Linear layers over one representation that act as a single one.

    An old block is never resized: its tensors, their names and the optimiser's moments stay.

    Args:
        in_features: d, the width of the representation.
        bias: whether the layers have biases.
    """

    like: Tensor

    def __init__(self, in_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = in_features
        self.bias = bias
        # An empty tensor follows .to(), so that even the first block knows where to go.
        self.register_buffer("like", torch.empty(0), persistent=False)

    def add(self, rows: int) -> None:
        """Append a block of `rows` outputs, where the module is."""
        self.append(nn.Linear(self.in_features, rows, self.bias).to(self.like))

    def forward(self, features: Tensor, learning: Sequence[bool] | None = None) -> Tensor:  # (n, k)
        """The outputs of all blocks side by side; a block not `learning` gets no gradient."""
        blocks = cast("list[nn.Linear]", list(self))
        if not blocks:
            return features.new_empty(len(features), 0)
        weights: list[Tensor] = [block.weight for block in blocks]
        biases: list[Tensor] = [block.bias for block in blocks]
        if learning is not None:
            weights, biases = _held(weights, learning), _held(biases, learning)
        return F.linear(features, torch.cat(weights), torch.cat(biases))


def integers(column: Tensor, name: str) -> list[int]:
    """A column (n,) as Python numbers, in one transfer; `InvalidValue` unless it holds integers."""
    if column.dim() != 1 or column.is_floating_point():
        raise InvalidValue(
            f"{name} has shape {tuple(column.shape)} and {column.dtype}; a model that grows with "
            "its labels and tasks needs one integer a row: (n,) int64"
        )
    found: list[int] = column.tolist()
    return found


def distinct(labels: int | Iterable[int]) -> list[int]:
    """Labels ascending, each once; a number k stands for 0 to k - 1."""
    found = sorted({int(label) for label in (range(labels) if isinstance(labels, int) else labels)})
    if found and found[0] < 0:
        raise InvalidValue(f"label is {found[0]}; a label names a column: map labels to 0, 1, ...")
    return found


def missing(held: Sequence[T], plan: Sequence[T]) -> Sequence[T]:
    """What of `plan` is still to grow; `CheckpointMismatch` where something else was grown."""
    if list(plan[: len(held)]) != list(held):
        raise CheckpointMismatch(
            f"the checkpoint grew {list(plan)} and this model has grown {list(held)}, which is "
            "not its beginning; load into a model that was just made"
        )
    return plan[len(held) :]


def _held(tensors: Sequence[Tensor], learning: Sequence[bool]) -> list[Tensor]:
    return [t if learns else t.detach() for t, learns in zip(tensors, learning, strict=True)]
