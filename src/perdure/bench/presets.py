"""The one place where a method's name becomes the method, with settings for each scenario."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal

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
    "strengths for scenarios task and domain chosen from all of `search` on a tenth of "
    "Fashion-MNIST's training rows, held out at seed 1000: five tasks of two classes, 150 updates "
    "of 64 rows each, Adam at 1e-3, importances from 1,000 rows a task; class takes domain's"
)
LOCAL = "the constructor's defaults; labels are local to a task where task ids are given"
EQUAL = f"{CAPACITY} rows for every method with a memory; otherwise the constructor's defaults"

ROUTES = {"task": "task", "domain": "nearest", "class": "nearest"}
ROUTED = "parts answer by the task id where it is known, by the nearest class mean elsewhere"


@dataclass(frozen=True)
class Preset:
    """What a method's name stands for in a bench.

    Attributes:
        make: the method's class.
        family: what kind of idea it is.
        settings: arguments that differ from the constructor's defaults, in every scenario.
        by_scenario: further ones by scenario.
        search: values that `perdure tune` tries, by argument.
        origin: where settings by scenario come from.
        architecture: the network that the method needs, None where any will do.
        closed_form: the backbone is frozen, and there is no head to train.
        frozen: the backbone is frozen, and the head trains on the inputs themselves: features of a
            network that never learnt say less than they do.
        beside: names of what it is composed with, whose settings are "name.argument".
    """

    make: Callable[..., Method]
    family: Family
    settings: Settings = field(default_factory=dict)
    by_scenario: Mapping[str, Settings] = field(default_factory=dict)
    search: Mapping[str, tuple[Plain, ...]] = field(default_factory=dict)
    origin: str = "the constructor's defaults, which the method's card explains"
    architecture: str | None = None
    closed_form: bool = False
    frozen: bool = False
    beside: tuple[str, ...] = ()


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


def _analytic(make: Callable[..., Method], **search: tuple[Plain, ...]) -> Preset:
    """A method that answers from the inputs themselves, in closed form."""
    local = {"task": {"per_task": True}}
    return Preset(make, "analytic", {}, local, search, origin=LOCAL, closed_form=True)


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
    "mir": _replay(methods.MIR, candidates=(2, 5), share=(0.25, 0.5, 1.0)),
    "x-der": _replay(methods.XDER, alpha=(0.3, 0.5, 1.0), beta=(0.5, 1.0), hold=(0.1, 1.0)),
    "wa": Preset(methods.WA, "replay", {"lwf.strength": 1.0}, beside=("er", "lwf")),
    "bic": Preset(
        methods.BiC,
        "replay",
        {"er.capacity": CAPACITY - 50, "aside": 50, "lwf.strength": 1.0},
        origin=f"{CAPACITY} rows, those set aside among them",
        beside=("er", "lwf"),
    ),
    "lucir": Preset(
        methods.LUCIR,
        "replay",
        search={"strength": (1.0, 5.0, 10.0), "margin": (0.2, 0.5)},
        origin=EQUAL,
        architecture="cosine",
        beside=("er",),
    ),
    "icarl": _replay(methods.ICaRL, temperature=(1.0, 2.0)),
    "gdumb": Preset(
        methods.GDumb,
        "replay",
        {"capacity": CAPACITY, "epochs": 20},
        origin=f"{EQUAL}, but 20 passes at a boundary, for updates about as many as the others'",
    ),
    "generative-replay": Preset(methods.GenerativeReplay, "replay", search={"latent": (20, 100)}),
    "latent-replay": _replay(methods.LatentReplay, slow=(0.0, 0.1)),
    "feature-replay": Preset(
        methods.FeatureReplay, "replay", search={"rows": (None, 64)}, frozen=True
    ),
    "gem": _replay(methods.GEM, "projection", strength=(0.0, 0.1, 0.5)),
    "a-gem": replace(_replay(methods.AGEM, "projection"), by_scenario={"free": {"write": "step"}}),
    "cwr*": Preset(methods.CWRStar, "architecture", architecture="consolidated"),
    "ar1*": Preset(
        methods.AR1Star,
        "architecture",
        search={"strength": (0.0, 1e2, 1e3, 1e4), "slow": (0.01, 0.1, 0.3)},
        architecture="consolidated",
    ),
    "packnet": Preset(methods.PackNet, "architecture", search={"prune": (0.5, 0.65, 0.75, 0.9)}),
    "progressive": Preset(methods.Progressive, "architecture", architecture="progressive"),
    "wise-ft": Preset(methods.WiSEFT, "merging", search={"share": (0.1, 0.3, 0.5, 0.7, 0.9)}),
    "ema": Preset(methods.EMA, "merging", search={"decay": (0.9, 0.99, 0.999)}),
    "l2-init": Preset(methods.L2Init, "plasticity", search={"strength": (1e-5, 1e-4, 1e-3, 1e-2)}),
    "shrink-perturb": Preset(
        methods.ShrinkPerturb, "plasticity", search={"shrink": (0.1, 0.2, 0.4, 0.6, 0.8)}
    ),
    "lora": Preset(
        methods.LoRA,
        "adapters",
        by_scenario={scenario: {"route": route} for scenario, route in ROUTES.items()},
        origin=ROUTED,
        architecture="lora",
    ),
    "o-lora": Preset(
        methods.OLoRA, "adapters", search={"strength": (0.1, 0.5, 1.0, 5.0)}, architecture="lora"
    ),
    "inflora": Preset(
        methods.InfLoRA, "adapters", search={"share": (0.9, 0.95, 0.98, 1.0)}, architecture="lora"
    ),
    "l2p": Preset(
        methods.L2P, "adapters", search={"strength": (0.1, 0.5, 1.0)}, architecture="pool"
    ),
    "slca": Preset(methods.SLCA, "adapters", search={"slow": (0.01, 0.1, 1.0)}),
    "prompts": Preset(
        methods.Prompts,
        "adapters",
        by_scenario={scenario: {"route": route} for scenario, route in ROUTES.items()},
        origin=ROUTED,
        architecture="prompted",
    ),
    "gpm": Preset(methods.GPM, "projection", search={"energy": (0.95, 0.97, 0.99, 0.999)}),
    "hat": Preset(
        methods.HAT, "architecture", search={"strength": (0.1, 0.75, 1.5)}, architecture="gated"
    ),
    "ncm": _analytic(methods.NCM, metric=("euclidean", "cosine")),
    "slda": _analytic(methods.SLDA, shrinkage=(1e-4, 1e-3, 1e-2, 0.1)),
    "ridge": _analytic(methods.Ridge, strength=(0.01, 0.1, 1.0, 10.0, 100.0)),
    "ranpac": _analytic(methods.RanPAC, projections=(1000, 2000, 5000)),
    "fecam": _analytic(methods.FeCAM, shrinkage=(1.0, 10.0, 100.0), power=(0.5, 1.0)),
    "first-session": Preset(methods.FirstSession, "analytic"),
    "continual-backprop": Preset(
        methods.ContinualBackprop, "plasticity", search={"rate": (1e-6, 1e-5, 1e-4, 1e-3)}
    ),
    "lwf.mc": Preset(methods.LwFMC, "penalty", search={"strength": (0.5, 1.0, 3.0, 10.0)}),
}

ALIASES = {
    "acil": "ridge",
    "replay": "er",
    "derpp": "der++",
    "agem": "a-gem",
    "erace": "er-ace",
    "xder": "x-der",
}


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


def constructor_defaults(name: str) -> dict[str, Any]:
    """What can be set: the method's own arguments, then those of what stands beside it.

    Each with its constructor's default, which a preset may overrule.
    """
    preset = find(name)
    own = inspect.signature(preset.make).parameters
    others = {
        f"{other}.{argument}": value
        for other in preset.beside
        for argument, value in constructor_defaults(other).items()
    }
    return {**{argument: own[argument].default for argument in own}, **others}


def defaults(name: str, scenario: str) -> dict[str, Plain]:
    """The settings that a preset gives a method, and what stands beside it, in a scenario."""
    preset = find(name)
    others = {
        f"{other}.{argument}": value
        for other in preset.beside
        for argument, value in defaults(other, scenario).items()
    }
    return {**others, **preset.settings, **preset.by_scenario.get(scenario, {})}


def check_settings(name: str, settings: Settings) -> None:
    """Raise `InvalidValue` where the method has no argument of such a name."""
    known = constructor_defaults(name)
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise InvalidValue(
            f"{name} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )


def make(name: str, settings: Settings) -> list[Method]:
    """What stands beside the method, then the method itself, untrained.

    Raises:
        InvalidValue: a setting is out of range.
    """
    preset = find(name)
    own = {argument: value for argument, value in settings.items() if "." not in argument}
    others = [made for other in preset.beside for made in make(other, _under(other, settings))]
    return [*others, preset.make(**own)]


def _under(name: str, settings: Settings) -> dict[str, Plain]:
    """Of settings "name.argument" those of this name, as "argument"."""
    start = f"{name}."
    return {key.removeprefix(start): settings[key] for key in settings if key.startswith(start)}
