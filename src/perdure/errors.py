"""Every error that perdure raises on purpose.

PerdureError
├── InvalidValue(ValueError)       an argument that cannot be right, with the value and the range
│   ├── UnseenTask                 a task id that the model has no part for
│   └── UnseenClass                a label that the model has no output for
├── IllegalCombination             two methods that claim one slot, one name or one memory
├── Impossible                     a scenario, model and method that cannot work together
├── NonFinite                      a loss term became NaN or infinite
├── CheckpointMismatch             a checkpoint does not belong to this learner
├── MissingExtra(ImportError)      an optional dependency is not installed
├── DataUnavailable                a data set is neither local nor downloadable, or is damaged
├── live.refusals.Refused          what the live loop refuses, each with its HTTP status
└── client.Refused, Unreachable    what a service said to its client, or that it said nothing
"""

from __future__ import annotations

import importlib
from types import ModuleType


class PerdureError(Exception):
    """Root of the tree: `except PerdureError` catches whatever perdure raises on purpose."""


class InvalidValue(PerdureError, ValueError):
    """An argument that cannot be right; the message holds the value and what is allowed."""


class UnseenTask(InvalidValue):
    """A task id that the model has no part for."""


class UnseenClass(InvalidValue):
    """A label that the model has no output for."""


class IllegalCombination(PerdureError):
    """Methods that cannot share a learner; the message names both."""


class Impossible(PerdureError):
    """A scenario, model and method that structurally cannot work together."""


class NonFinite(PerdureError):
    """A loss term became NaN or infinite; the message names the term."""


class CheckpointMismatch(PerdureError):
    """A checkpoint that does not belong to this learner; the message names the keys."""


class MissingExtra(PerdureError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class DataUnavailable(PerdureError):
    """A data set is neither in a local folder nor downloadable, or its checksum is wrong."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional `module`, or raise `MissingExtra` naming the `extra` that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs {module.split('.', maxsplit=1)[0]!r}, which is not installed; "
            f"run: pip install 'perdure[{extra}]'"
        ) from error


def check_range(
    owner: str, name: str, value: float, low: float, high: float, *, open_low: bool = False
) -> None:
    """Raise `InvalidValue` unless low <= value <= high (low < value where `open_low`)."""
    try:
        inside = (low < value if open_low else low <= value) and value <= high
    except TypeError as error:  # a text, None, a list
        raise InvalidValue(f"{owner}: {name} is {value!r}; it must be a number") from error
    if not inside:
        left = "(" if open_low else "["
        raise InvalidValue(f"{owner}: {name} is {value!r}; it must lie in {left}{low}, {high}]")
