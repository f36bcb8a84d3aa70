"""What is tried: a method with its settings and a learning rate; and from where such come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from perdure.bench import presets

STAYS = "as it is"
"""Stands for the methods in use, whatever they are: its learning rate alone is searched."""
RATES = 10.0  # the learning rate is searched from a tenth of the present one to ten times it
SHARES = (0.25, 0.5, 1.0)  # of the rows that a memory may have


@dataclass(frozen=True)
class Candidate:
    """A configuration.

    Args:
        method: a name that `perdure methods` lists, or STAYS.
        settings: arguments of the method; those left out are at the constructor's default.
        lr: learning rate; what learns in closed form has none to choose.
    """

    method: str
    settings: presets.Settings
    lr: float

    @property
    def key(self) -> str:
        """The same for what learns the same, whether or not defaults are written out."""
        usual = {} if self.method == STAYS else presets.constructor_defaults(self.method)
        own = {name: value for name, value in self.settings.items() if usual.get(name) != value}
        rate = self.lr if _has_rate(self.method) else None
        return json.dumps([self.method, own, rate], sort_keys=True)

    def __str__(self) -> str:
        """The method, its settings and the learning rate if it has one, in one line."""
        said = [f"{name}={_short(value)}" for name, value in self.settings.items()]
        rate = [f"lr={self.lr:.2g}"] if _has_rate(self.method) else []
        return ", ".join([self.method, *said, *rate])

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The candidate of these plain values."""
        return cls(held["method"], dict(held["settings"]), held["lr"])


class Draws(Protocol):
    """What a trial of Optuna offers to draw values with."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between the two."""
        ...


@dataclass(frozen=True)
class Space:
    """What may be tried.

    Each argument that a method's preset names in `search` is drawn from its values: positive
    numbers from the lowest to the highest on a log scale, anything else from those named. A memory
    has a quarter, a half or all of `capacity`.

    Args:
        methods: names that `perdure methods` lists, or STAYS.
        scenario: of which the presets' settings are taken for the others.
        lr: the present learning rate.
        capacity: the most rows that a memory may have.
    """

    methods: tuple[str, ...]
    scenario: str
    lr: float
    capacity: int = presets.CAPACITY

    def usual(self, method: str) -> Candidate:
        """The method as it comes: its preset's settings, and the present learning rate."""
        settings = {} if method == STAYS else presets.defaults(method, self.scenario)
        settings |= dict.fromkeys(self._memories(method), self.capacity)
        return Candidate(method, settings, self.lr)

    def searched(self, method: str) -> dict[str, tuple[presets.Plain, ...]]:
        """Values by argument."""
        if method == STAYS:
            return {}
        sizes = tuple(max(1, round(self.capacity * share)) for share in SHARES)
        return {**presets.find(method).search, **dict.fromkeys(self._memories(method), sizes)}

    def drawn(self, trial: Draws) -> Candidate:
        """A candidate of a trial's choice."""
        method = trial.suggest_categorical("method", self.methods)
        usual = self.usual(method)
        settings = dict(usual.settings)
        for name, values in self.searched(method).items():
            settings[name] = _drawn(trial, f"{method}.{name}", values)
        return Candidate(method, settings, self._rate(trial, method))

    def params(self, candidate: Candidate) -> dict[str, Any]:
        """What a trial must be told for `drawn` to give this candidate, as near as can be."""
        told: dict[str, Any] = {"method": candidate.method}
        for name, values in self.searched(candidate.method).items():
            value = candidate.settings.get(name)
            told[f"{candidate.method}.{name}"] = _nearest(value, values)
        if _has_rate(candidate.method):
            told["lr"] = min(max(candidate.lr, self.lr / RATES), self.lr * RATES)
        return told

    def only(self, method: str) -> Space:
        """The same for one method alone."""
        return Space((method,), self.scenario, self.lr, self.capacity)

    def _memories(self, method: str) -> list[str]:
        """The arguments that say how many rows are kept."""
        known = {} if method == STAYS else presets.constructor_defaults(method)
        return [name for name in known if name.rpartition(".")[2] == "capacity"]

    def _rate(self, trial: Draws, method: str) -> float:
        if not _has_rate(method):
            return self.lr
        return trial.suggest_float("lr", self.lr / RATES, self.lr * RATES, log=True)


def _has_rate(method: str) -> bool:
    return method == STAYS or not presets.find(method).closed_form


def _drawn(trial: Draws, name: str, values: tuple[presets.Plain, ...]) -> presets.Plain:
    span = _span(values)
    if span is None:
        chosen: presets.Plain = trial.suggest_categorical(name, values)
        return chosen
    return trial.suggest_float(name, *span, log=True)


def _span(values: tuple[presets.Plain, ...]) -> tuple[float, float] | None:
    """The lowest and the highest of three or more positive floats; None where they are not that."""
    floats = [value for value in values if isinstance(value, float) and value > 0]
    if len(floats) < len(values) or len(floats) < 3:
        return None
    return min(floats), max(floats)


def _nearest(value: presets.Plain, values: tuple[presets.Plain, ...]) -> presets.Plain:
    span = _span(values)
    if span is not None and isinstance(value, int | float):
        return min(max(float(value), span[0]), span[1])
    if value in values:
        return value
    numbers = [one for one in values if isinstance(one, int | float)]
    if isinstance(value, int | float) and numbers:
        return min(numbers, key=lambda one: abs(one - value))
    return values[0]


def _short(value: presets.Plain) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
