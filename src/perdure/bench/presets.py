"""The one place where a method's name becomes the method, with settings for each scenario."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from perdure import methods
from perdure.bench.frozen import Frozen
from perdure.errors import InvalidValue
from perdure.method import Method

Plain = str | int | float | bool | None
Settings = Mapping[str, Plain]
Family = Literal[
    "baseline",
    "penalty",
    "replay",
    "projection",
    "architecture",
    "analytic",
    "adapters",
    "plasticity",
    "merging",
]

CAPACITY = 500
"""Rows that every method with a memory may keep, so that they compare at equal memory."""

TUNED = (
    "strengths for scenarios task and domain chosen by `perdure.bench.tune` on a tenth of "
    "Fashion-MNIST's training rows, held out at seed 1000: five tasks of two classes, 150 updates "
    "of 64 rows each, Adam at 1e-3, importances from 1,000 rows a task; class takes domain's"
)
EQUAL = f"{CAPACITY} rows for every method with a memory; otherwise the constructor's defaults"


@dataclass(frozen=True)
class Preset:
    """What a method's name stands for in a bench.

    Attributes:
        make: the method's class.
        family: what kind of idea it is.
        settings: arguments that differ from the constructor's defaults, in every scenario.
        by_scenario: further ones by scenario.
        search: values that `perdure bench --tune` tries, by argument.
        origin: where settings by scenario come from.
        architecture: the network that the method needs, None where any will do.
        closed_form: the backbone is frozen, and there is no head to train.
    """

    make: Callable[..., Method]
    family: Family
    settings: Settings = field(default_factory=dict)
    by_scenario: Mapping[str, Settings] = field(default_factory=dict)
    search: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    origin: str = "the constructor's defaults, which the method's card explains"
    architecture: str | None = None
    closed_form: bool = False


def _replay(
    make: Callable[..., Method],
    family: Family = "replay",
    **search: tuple[Plain, ...],
) -> Preset:
    """A method with a memory, of the size that all have."""
    return Preset(make, family, {"capacity": CAPACITY}, search=search, origin=EQUAL)


def _penalty(
    make: Callable[..., Method],
    task: float,
    otherwise: float,
    powers: range,
    origin: str = TUNED,
) -> Preset:
    """A penalty, with one strength for where task ids are known and one for elsewhere."""
    return Preset(
        make,
        "penalty",
        {"strength": otherwise},
        {"task": {"strength": task}},
        {"strength": tuple(10.0**power for power in powers)},
        origin,
    )


PRESETS: dict[str, Preset] = {
    "naive": Preset(methods.Naive, "baseline"),
    "frozen": Preset(Frozen, "baseline"),
    "joint": Preset(methods.Joint, "baseline"),
    "cumulative": Preset(methods.Cumulative, "baseline"),
    "ewc": _penalty(methods.EWC, task=1e4, otherwise=1e3, powers=range(1, 8)),
    "online-ewc": _penalty(
        methods.OnlineEWC,
        task=1e4,
        otherwise=1e3,
        powers=range(1, 8),
        origin="strengths as for ewc, whose penalty it shares",
    ),
    "si": _penalty(methods.SI, task=1e3, otherwise=1e4, powers=range(-1, 6)),
    "mas": _penalty(methods.MAS, task=10.0, otherwise=1.0, powers=range(-2, 4)),
    "lwf": Preset(methods.LwF, "penalty", search={"strength": ("tasks", 0.5, 1.0, 3.0, 10.0)}),
    "er": _replay(methods.ER, mix=("rows", "tasks")),
    "der": _replay(methods.DER, alpha=(0.1, 0.3, 0.5, 1.0)),
    "der++": _replay(methods.DERpp, alpha=(0.1, 0.2, 0.5, 1.0), beta=(0.5, 1.0)),
    "er-ace": _replay(methods.ERACE),
    "icarl": _replay(methods.ICaRL, temperature=(1.0, 2.0)),
    "gdumb": Preset(
        methods.GDumb,
        "replay",
        {"capacity": CAPACITY, "epochs": 20},
        origin=f"{EQUAL}, but 20 passes at a boundary, for updates about as many as the others'",
    ),
    "gem": _replay(methods.GEM, "projection", strength=(0.0, 0.1, 0.5)),
    "a-gem": replace(_replay(methods.AGEM, "projection"), by_scenario={"free": {"write": "step"}}),
    "packnet": Preset(methods.PackNet, "architecture", search={"prune": (0.5, 0.65, 0.75, 0.9)}),
    "progressive": Preset(methods.Progressive, "architecture", architecture="progressive"),
}

ALIASES = {"replay": "er", "derpp": "der++", "agem": "a-gem", "erace": "er-ace"}


def canonical(name: str) -> str:
    """The method's own name, which "replay" and the like stand for.

    Raises:
        InvalidValue: there is no such method; the message names the nearest.
    """
    name = ALIASES.get(name.lower(), name.lower())
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1, cutoff=0)[0]
        raise InvalidValue(
            f"there is no method {name!r}; did you mean {near!r}? Known: {', '.join(PRESETS)}"
        )
    return name


def find(name: str) -> Preset:
    """What the name stands for."""
    return PRESETS[canonical(name)]


def defaults(name: str, scenario: str) -> dict[str, Plain]:
    """The settings that a preset gives a method in a scenario."""
    preset = find(name)
    return {**preset.settings, **preset.by_scenario.get(scenario, {})}


def check_settings(name: str, settings: Settings) -> None:
    """Raise `InvalidValue` where the method has no argument of such a name."""
    known = list(inspect.signature(find(name).make).parameters)
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise InvalidValue(
            f"{name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )


def make(name: str, settings: Settings) -> Method:
    """The method, untrained.

    Raises:
        InvalidValue: a setting is out of range.
    """
    return find(name).make(**settings)
