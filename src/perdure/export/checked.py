"""A written graph is asked before it is kept: what it answers must be what the learner answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perdure import __version__
from perdure.errors import Impossible, InvalidValue
from perdure.learner import Learner

TOLERANCE = 1e-4
"""Of |graph - learner| / (1 + |learner|), the largest over all outputs."""

Ask = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was found to answer.

    Args:
        path: of the file.
        bytes: of it.
        rows: that were asked.
        largest_difference: of |graph - learner| / (1 + |learner|) on them.
        same_label: share of the rows whose likeliest class is the same.
        metadata: plain values that the file carries.
    """

    path: Path
    bytes: int
    rows: int
    largest_difference: float
    same_label: float
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "path": str(self.path)}


def described(learner: Learner, example: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """What whoever finds the file must know: classes, inputs, and who made it."""
    width = learner.predict(example[:1]).shape[1]
    if classes and len(classes) > width:
        raise InvalidValue(f"{len(classes)} classes were named and the learner has {width} outputs")
    return {
        "perdure": __version__,
        "methods": [repr(method) for method in learner.methods],
        "classes": list(classes) or [str(label) for label in range(width)],
        "input": {
            "dtype": str(example.dtype).removeprefix("torch."),
            "shape": list(example.shape[1:]),
        },
        "output": "scores, one a class; those beyond the named classes are to be left out",
    }


def kept(
    path: Path,
    learner: Learner,
    probe: Tensor,
    tolerance: float,
    metadata: dict[str, Any],
    opened: Callable[[Path], Ask],
    beside: Path,
) -> Exported:
    """Ask what was written `beside`, and give it its name where it answers as the learner does.

    Args:
        path: the name that it is to have.
        learner: the original.
        probe: raw inputs (n, ...), n >= 1, asked all together and the first one alone.
        tolerance: of the largest difference, relative to 1 + |output|.
        metadata: that the file carries.
        opened: reads the file as its users will, and asks it.
        beside: the file; it is gone where it was not kept.

    Raises:
        Impossible: the answers differ by more; the message holds by how much.
    """
    try:
        ask = opened(beside)
        expected = learner.predict(probe)
        pairs = [(ask(probe), expected), (ask(probe[:1]), learner.predict(probe[:1]))]
        differences = torch.tensor([_difference(*pair) for pair in pairs], dtype=torch.float64)
        largest = float(differences.max())  # NaN where one is: Python's `max` may pass over it
        if not largest <= tolerance:  # NaN is no match either
            raise Impossible(
                f"the graph answers otherwise than the learner: the largest difference on "
                f"{len(probe)} rows is {largest:.3g}, and {tolerance:g} is allowed. Nothing was "
                "written; a branch on values or random numbers in the model may be the reason"
            )
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):  # it has its name
            beside.unlink()
    same = (pairs[0][0].argmax(1) == expected.argmax(1)).double().mean().item()
    return Exported(path, path.stat().st_size, len(probe), largest, same, metadata)


def as_text(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata as formats hold it: texts, JSON where they are none."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }


def _difference(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    scaled = (found.double() - wanted.double()).abs() / (1 + wanted.double().abs())
    return float(torch.max(scaled))
