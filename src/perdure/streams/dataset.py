"""A data set before it becomes a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import Impossible, InvalidValue
from perdure.streams.inputs import Inputs

Column = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to learn from and rows to measure on.

    Args:
        name: for people and results.
        train_x: inputs (n, ...): images uint8 (n, channels, height, width) or float in [0, 1].
        train_y: labels (n,) int64 from 0, or float targets (n, ...) of a regression.
        test_x: inputs (m, ...).
        test_y: labels (m,) or targets (m, ...).
        classes: the names of the classes by label; empty for a regression.
        columns: further columns by name, for training and test rows, each (n,): when a row came,
            or from where. The model does not see them; `by_column` orders tasks by them.

    Raises:
        InvalidValue: columns differ in length, or a label has no class.
    """

    name: str
    train_x: Tensor | Inputs
    train_y: Tensor
    test_x: Tensor | Inputs
    test_y: Tensor
    classes: tuple[str, ...] = ()
    columns: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = (("train", self.train_x, self.train_y, 0), ("test", self.test_x, self.test_y, 1))
        for part, x, y, side in parts:
            lengths = {"x": len(x), "y": len(y)}
            lengths |= {name: len(column[side]) for name, column in self.columns.items()}
            if len(set(lengths.values())) > 1:
                raise InvalidValue(f"{self.name}: {part} columns differ in length: {lengths}")
            self._check_labels(part, y)

    def _check_labels(self, part: str, y: Tensor) -> None:
        if not self.classes:
            if not y.is_floating_point():
                raise InvalidValue(f"{self.name}: {y.dtype} labels need the names of their classes")
            return
        if y.dtype != torch.int64 or y.ndim != 1:
            raise InvalidValue(
                f"{self.name}: {part} labels are {y.dtype} {tuple(y.shape)}; int64 (n,) is needed"
            )
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self.classes):
            raise InvalidValue(
                f"{self.name}: {part} labels run from {int(y.min())} to {int(y.max())}; "
                f"there are {len(self.classes)} classes, from 0"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        if isinstance(self.train_x, Tensor):
            return tuple(self.train_x.shape[1:])
        return tuple(self.train_x.gather(torch.tensor([0])).shape[1:])

    @property
    def outputs(self) -> int:
        """The number of classes; of a regression, how many numbers a target is."""
        return len(self.classes) or int(self.train_y[0].numel())

    def need_classes(self, wish: str) -> None:
        """Raise `Impossible`, naming the `wish`, where the targets are those of a regression."""
        if not self.classes:
            raise Impossible(
                f"{wish} needs class labels and {self.name} is a regression; "
                "use by_column, or a domain stream such as permuted"
            )
