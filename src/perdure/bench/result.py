"""What a run leaves behind: measurements, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perdure.bench.experiment import Experiment
from perdure.measure import AccuracyMatrix, Cost

Curve = tuple[tuple[int, float | None], ...]
"""Accuracy of one task after so many of its updates; None where it was not measured."""

Status = Literal["refused", "failed"]


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        experiment: what was run.
        matrix: accuracy of each task after each, with the untrained model's as baseline.
        cost: of all training, boundaries included, measuring left out.
        curves: for each task, its accuracy over its own first updates.
        environment: versions and machine.
    """

    experiment: Experiment
    matrix: AccuracyMatrix
    cost: Cost
    curves: tuple[Curve, ...]
    environment: Mapping[str, str]

    def measures(self) -> dict[str, float | None]:
        """What a table shows of one run, by name; fractions, seconds, FLOPs and bytes."""
        return {
            "accuracy": self.matrix.accuracy(),
            "forgetting": self.matrix.forgetting(),
            "bwt": self.matrix.bwt(),
            "fwt": self.matrix.fwt(),
            "learning_accuracy": self.matrix.learning_accuracy(),
            "seconds": self.cost.seconds,
            "flops": float(self.cost.flops),
            "updates": float(self.cost.updates),
            "state_bytes": float(self.cost.state_bytes),
            "parameters": float(self.cost.parameters),
        }


@dataclass(frozen=True)
class NoResult:
    """A run without measurements: refused as structurally impossible, or failed on the way."""

    experiment: Experiment
    status: Status
    reason: str


Record = Result | NoResult
