"""What the service answers, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What the model said to one row.

    Args:
        label: the likeliest class.
        probabilities: by class.
        id: under which the true label may be given.
        version: that answered.
    """

    label: str
    probabilities: dict[str, float]
    id: str
    version: int

    @property
    def confidence(self) -> float:
        """The probability of the label."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Stored:
    """What became of a row: "stored", or "duplicate" where it was in the log already."""

    id: str
    position: int
    status: str


@dataclass(frozen=True)
class Joined:
    """What became of a label: "joined", "revised", "late", "dropped" or "duplicate"."""

    id: str
    status: str


@dataclass(frozen=True)
class Job:
    """An update, as the service tells of it; times are seconds since the epoch."""

    id: int
    state: str
    reason: str
    actor: str
    created: float
    started: float | None
    finished: float | None
    version: int | None
    progress: dict[str, Any]
    error: str | None


@dataclass(frozen=True)
class Moved:
    """Who serves after a promotion or a rollback.

    Args:
        version: the champion.
        serving: the version in the service's memory; another one only if that cannot be loaded.
        generation: counts changes of an alias; give it as `if_generation`.
    """

    version: int
    serving: int | None
    generation: int


@dataclass(frozen=True)
class Version:
    """A version of the model, as the service tells of it."""

    version: int
    aliases: list[str]
    parent: int | None
    after: int
    upto: int
    created: float
    state: str
    tainted: float | None
    note: dict[str, Any]


def made(kind: type[T], said: Mapping[str, Any]) -> T:
    """A dataclass from an answer; what a newer service says beyond it is left out."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in said.items() if name in names})


def answers(body: Mapping[str, Any]) -> list[Answer]:
    """The rows of an infer answer."""
    held = {output["name"]: output["data"] for output in body["outputs"]}
    classes, flat, version = held["classes"], held["probabilities"], int(body["model_version"])
    rows = [flat[i : i + len(classes)] for i in range(0, len(flat), len(classes))]
    return [
        Answer(label, dict(zip(classes, row, strict=True)), id_, version)
        for label, row, id_ in zip(held["label"], rows, held["prediction_id"], strict=True)
    ]
