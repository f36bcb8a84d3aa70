"""What is sent of a run, and what takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Metric:
    """A number after so many steps.

    Args:
        name: letters, digits, and any of " ./_-".
        value: finite.
        step: a task, an update or a version; 0 for the run as a whole.
    """

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Run:
    """A run that is over.

    Args:
        key: the same run, the same key: it is taken once.
        name: for people.
        group: runs that are compared: an experiment of MLflow, a folder of TensorBoard.
        series: runs whose curves continue each other; each run is one of its own by default.
        parameters: plain values.
        metrics: numbers.
        pictures: PNG files by name, without their end.
        files: to be kept beside it.
        tags: texts.
    """

    key: str
    name: str
    group: str
    series: str = ""
    parameters: Mapping[str, Plain] = field(default_factory=dict)
    metrics: Sequence[Metric] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    files: Sequence[Path] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A version of a model for a registry.

    Args:
        name: of the model.
        version: its number here.
        run: key of the run that made it.
        group: of that run.
        folder: its files: tensors and how to read them, nothing pickled.
        tags: texts.
    """

    name: str
    version: int
    run: str
    group: str
    folder: Path
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """Takes runs."""

    registers: bool
    """Whether it has a registry of models."""

    def send(self, run: Run) -> bool:
        """Take a run; False where it was taken before."""
        ...

    def register(self, model: Model) -> bool:
        """Take a version of a model; False where it was taken before."""
        ...

    def point(self, name: str, aliases: Mapping[str, int]) -> None:
        """Have the model's aliases be these and no others, each at a version taken before."""
        ...
