"""The accuracy of every task after every task, and what the field reads off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.errors import InvalidValue

Line = Sequence[float | None] | NDArray[Any]
Table = Sequence[Line] | NDArray[Any]
Plain = tuple[float | None, ...]


@dataclass(frozen=True)
class AccuracyMatrix:
    """R[i, j]: held-out accuracy of task i after training on task j; rows are what is evaluated.

    A cell that was not measured is None (NaN is taken as None), and a measure whose formula names
    such a cell is None too, "not measured", never zero. Only the best and the worst over time
    (`forgetting`, `max_drop`) look at whichever times were measured.

    Args:
        values: (tasks, tasks) fractions in [0, 1], None or NaN where not measured.
        tasks: their names, in the order of training; the default is t0, t1, ...
        baseline: accuracy of each task before any training, at random initialisation.
        reference: accuracy of each task of a model trained on all tasks up to it jointly.

    Raises:
        InvalidValue: the matrix is not square, a length differs, a name is double or an accuracy
            lies outside [0, 1].

    Example:
        >>> matrix = AccuracyMatrix([[0.97, 0.94], [None, 0.95]])
        >>> round(matrix.bwt(), 4), matrix.fwt()
        (-0.03, None)
    """

    values: Table
    tasks: Sequence[str] = ()
    baseline: Line | None = None
    reference: Line | None = None

    def __post_init__(self) -> None:
        values = tuple(_plain(line) for line in self.values)
        tasks = tuple(self.tasks) or tuple(f"t{i}" for i in range(len(values)))
        if not values or any(len(line) != len(values) for line in values):
            raise InvalidValue(
                f"an accuracy matrix is square, one row and one column a task; this one has "
                f"{len(values)} rows of lengths {[len(line) for line in values]}; put None where "
                "nothing was measured"
            )
        if len(tasks) != len(values) or len(set(tasks)) != len(tasks):
            raise InvalidValue(f"{len(values)} tasks need as many different names; got {tasks}")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "tasks", tasks)
        for name in ("baseline", "reference"):
            held = getattr(self, name)
            line = None if held is None else _plain(held)
            if line is not None and len(line) != len(values):
                raise InvalidValue(f"{name} has {len(line)} accuracies for {len(values)} tasks")
            object.__setattr__(self, name, line)

    @classmethod
    def from_columns(
        cls,
        columns: Sequence[Line],
        tasks: Sequence[str] = (),
        baseline: Line | None = None,
        reference: Line | None = None,
    ) -> AccuracyMatrix:
        """The matrix of one column a training: the accuracies of tasks 0, 1, ... right after it.

        A column may stop early, and columns of tasks not trained on yet may be missing.
        """
        size = len(tasks) or max([len(columns), *map(len, columns)], default=0)
        if len(columns) > size or any(len(column) > size for column in columns):
            raise InvalidValue(f"{size} tasks have no room for columns {[*map(len, columns)]}")
        R = np.full((size, size), np.nan)
        for j, column in enumerate(columns):
            R[: len(column), j] = np.asarray(column, dtype=np.float64)
        return cls(R, tasks, baseline, reference)

    @property
    def array(self) -> NDArray[np.float64]:  # (tasks, tasks)
        """A copy of R with NaN where nothing was measured."""
        return np.array(self.values, dtype=np.float64)

    def until(self, count: int) -> AccuracyMatrix:
        """The matrix as it stood after the first `count` tasks."""
        if not 1 <= count <= len(self.tasks):
            raise InvalidValue(f"count is {count!r}; it must lie in [1, {len(self.tasks)}]")
        return AccuracyMatrix(
            [line[:count] for line in self.values[:count]],
            self.tasks[:count],
            None if self.baseline is None else self.baseline[:count],
            None if self.reference is None else self.reference[:count],
        )

    # -- measures: each a fraction, or None for "not measured" ----------------------------------

    def final(self) -> dict[str, float | None]:
        """Accuracy of each task after the last one."""
        return self._by_task(self.array[:, -1])

    def accuracy(self) -> float | None:
        """ACC, the mean of the last column. Source: Lopez-Paz & Ranzato 2017, eq. 2."""
        return _mean(self.array[:, -1])

    def average_incremental_accuracy(self) -> float | None:
        """Mean over time of the mean accuracy of the tasks seen so far (Rebuffi et al. 2017)."""
        R = self.array
        return _mean(np.array([R[: j + 1, j].mean() for j in range(len(R))]))

    def learning_accuracy(self) -> float | None:
        """Mean of the diagonal: each task right after it was learnt (Riemer et al. 2019)."""
        return _mean(np.diag(self.array))

    def bwt(self) -> float | None:
        """Backward transfer, the mean over i < T of R[i, T] - R[i, i]; negative is forgetting.

        Source: Lopez-Paz & Ranzato 2017, eq. 3.
        """
        R = self.array
        return _mean((R[:, -1] - np.diag(R))[:-1])

    def fwt(self) -> float | None:
        """Forward transfer, the mean over i > 1 of R[i, i - 1] - baseline[i].

        Source: Lopez-Paz & Ranzato 2017, eq. 4; it exists only with a baseline.
        """
        return _mean(self._head_start())

    def head_start(self) -> dict[str, float | None]:
        """Accuracy of each later task just before it is trained on, less its baseline."""
        return self._by_task(self._head_start(), first=1)

    def forgetting(self) -> float | None:
        """Mean over i < T of the best past accuracy max_{j < T} R[i, j] less R[i, T].

        Source: Chaudhry et al. 2018, the forgetting measure. As there, an accuracy from before the
        task was learnt counts as past; columns that were skipped make this a lower bound.
        """
        return _mean(self._forgetting())

    def forgetting_by_task(self) -> dict[str, float | None]:
        """Forgetting of every task but the last."""
        return self._by_task(self._forgetting())

    def max_forgetting(self) -> float | None:
        """Forgetting of the task that forgot most."""
        return _largest(self._forgetting())

    def max_drop(self) -> float | None:
        """The largest R[i, i] - R[i, j] at any later j, recovered from since or not."""
        R = self.array
        lowest = [np.fmin.reduce(R[i, i + 1 :]) for i in range(len(R) - 1)]
        return _largest(np.diag(R)[:-1] - np.array(lowest))

    def intransigence(self) -> float | None:
        """Mean of reference[i] - R[i, i]: what was not learnt for the sake of the past.

        Source: Chaudhry et al. 2018, the intransigence measure; it exists only with a reference.
        """
        return _mean(_array(self.reference, len(self.tasks)) - np.diag(self.array))

    def measures(self) -> dict[str, float | None]:
        """Every measure by name, for tables and comparisons."""
        return {
            "accuracy": self.accuracy(),
            "average incremental accuracy": self.average_incremental_accuracy(),
            "learning accuracy": self.learning_accuracy(),
            "backward transfer": self.bwt(),
            "forward transfer": self.fwt(),
            "forgetting": self.forgetting(),
            "maximum forgetting": self.max_forgetting(),
            "maximum drop": self.max_drop(),
            "intransigence": self.intransigence(),
        }

    # -- plain values and print ------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values, None where nothing was measured."""
        return {
            "tasks": list(self.tasks),
            "values": [list(line) for line in self.values],
            "baseline": None if self.baseline is None else list(self.baseline),
            "reference": None if self.reference is None else list(self.reference),
        }

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> AccuracyMatrix:
        """The matrix that `to_dict` was called on."""
        return cls(held["values"], held["tasks"], held["baseline"], held["reference"])

    def __str__(self) -> str:
        """A table, rows evaluated and columns trained, and the measures below it."""
        heads, columns = list(self.tasks), list(zip(*self.values, strict=True))
        if self.baseline is not None:
            heads, columns = ["before", *heads], [tuple(self.baseline), *columns]
        if self.reference is not None:
            heads, columns = [*heads, "joint"], [*columns, tuple(self.reference)]
        lines = [["after", *heads]]
        lines += [
            [task, *(_cell(column[i], "-") for column in columns)]
            for i, task in enumerate(self.tasks)
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join([f"{line[0]:<{widths[0]}}", *map(str.rjust, line[1:], widths[1:])])
            for line in lines
        ]
        measures = [f"{name:<30}{_cell(value)}" for name, value in self.measures().items()]
        return "\n".join([*table, "", *measures])

    def _by_task(self, line: NDArray[np.float64], first: int = 0) -> dict[str, float | None]:
        values = [None if np.isnan(value) else float(value) for value in line]
        return dict(zip(self.tasks[first:], values, strict=False))

    def _head_start(self) -> NDArray[np.float64]:  # (tasks - 1,)
        return np.diag(self.array, k=-1) - _array(self.baseline, len(self.tasks))[1:]

    def _forgetting(self) -> NDArray[np.float64]:  # (tasks - 1,)
        R = self.array
        best = np.fmax.reduce(R[:-1, :-1], axis=1, initial=-np.inf)
        # a task that nobody looked at right after training has no best past to fall from
        return np.where(np.isnan(np.diag(R)[:-1]), np.nan, best - R[:-1, -1])


def _plain(line: Line) -> Plain:
    """Accuracies as floats and None."""
    numbers = [None if value is None or np.isnan(value) else float(value) for value in line]
    outside = [number for number in numbers if number is not None and not 0 <= number <= 1]
    if outside:
        raise InvalidValue(
            f"accuracies are fractions in [0, 1]; got {outside[0]!r}: divide percentages by 100"
        )
    return tuple(numbers)


def _array(line: Line | None, size: int) -> NDArray[np.float64]:  # (size,)
    return np.full(size, np.nan) if line is None else np.asarray(line, dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if not values.size or np.isnan(values).any() else float(values.mean())


def _largest(values: NDArray[np.float64]) -> float | None:
    return None if not values.size or np.isnan(values).any() else float(values.max())


def _cell(value: float | None, absent: str = "not measured") -> str:
    return absent if value is None else f"{value:.4f}"
