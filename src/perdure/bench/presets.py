"""One place for what a method's name on the command line stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from perdure.bench.frozen import Frozen
from perdure.errors import InvalidValue
from perdure.method import Method

Plain = str | int | float | bool | None
Family = Literal["baseline", "penalty", "replay", "projection", "architecture"]


@dataclass(frozen=True)
class Preset:
    family: Family
    make: Callable[..., Method] | None = None
    settings: Mapping[str, Plain] = field(default_factory=dict)
    by_scenario: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    progressive: bool = False


PRESETS: dict[str, Preset] = {
    "naive": Preset("baseline"),
    "frozen": Preset("baseline", Frozen),
}
ALIASES = {"replay": "er"}


def canonical(name: str) -> str:
    return ALIASES.get(name, name)


def find(name: str) -> Preset:
    return PRESETS[canonical(name)]


def defaults(name: str, scenario: str) -> dict[str, Plain]:
    preset = find(name)
    return {**preset.settings, **preset.by_scenario.get(scenario, {})}


def check_settings(name: str, settings: Mapping[str, Plain]) -> None:
    find(name)


def make(name: str, settings: Mapping[str, Plain]) -> tuple[Method, ...]:
    preset = find(name)
    return () if preset.make is None else (preset.make(**settings),)
