"""One run of a benchmark, written down in full before it starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, get_args

from perdure.bench import presets
from perdure.engine import Precision
from perdure.errors import InvalidValue, check_range
from perdure.folding import Schedule
from perdure.scenario import Scenario

Kind = Literal["split", "permuted", "rotated", "gradual", "shifting", "nic"]
Network = Literal["mlp", "cnn", "resnet"]
Head = Literal["fixed", "growing"]
Optimizer = Literal["adam", "sgd"]
Encoding = Literal["text", "image"]

CHOICES = {"kind": Kind, "network": Network, "head": Head, "optimizer": Optimizer}


@dataclass(frozen=True)
class Experiment:
    """Data, scenario, method, network, budget and seed of one run: plain values only.

    Args:
        data: a name that `perdure.streams.load` knows.
        scenario: "task", "domain", "class" or "free".
        kind: how tasks are made from the data: "split" by class, "permuted", "rotated",
            "gradual", which is split with blurred boundaries, "shifting", which is split and
            then shows every class again in noise and inverted, or "nic", a long stream of small
            batches, which `life` runs and `run` refuses.
        tasks: how many.
        order: classes in the order in which they come, for a split; None shuffles them by `seed`.
        method: a name that `perdure methods` lists.
        settings: arguments of the method; those left out take the preset's for the scenario.
        encoder: "text" or "image": the rows are what a frozen encoder makes of the data's, see
            `perdure.nets.encoder`; None takes them raw.
        network: "mlp", "cnn" or "resnet" (ResNet-18). A progressive network is its own.
        hidden: widths of the MLP's and of each progressive column's layers.
        head: in scenario class and free, "fixed" has an output for every class from the start,
            "growing" gains them as they come. Task has a head a task, domain a fixed one.
        optimizer: "adam" or "sgd".
        lr: learning rate, > 0.
        momentum: of SGD.
        schedule: batch size, and updates or passes a task: the same for every method.
        seed: of initial weights, order of classes and rows, and the methods.
        holdout: share of each task's training rows to measure on in place of the test rows, for
            tuning; 0 measures on the test rows.
        device: "cpu", "cuda", "cuda:1", ... or "auto".
        precision: "fp32", "bf16" or "fp16".

    Raises:
        InvalidValue: an unknown name or a number out of range.

    Example:
        >>> Experiment(data="digits", method="ewc", scenario="task").resolved["strength"] > 0
        True
    """

    data: str = "digits"
    scenario: str = "class"
    kind: Kind = "split"
    tasks: int = 5
    order: tuple[int, ...] | None = None
    method: str = "naive"
    settings: presets.Settings = field(default_factory=dict)
    network: Network = "mlp"
    hidden: tuple[int, ...] = (256, 256)
    head: Head = "fixed"
    optimizer: Optimizer = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=300))
    seed: int = 0
    holdout: float = 0.0
    device: str = "cpu"
    precision: Precision = "fp32"
    encoder: Encoding | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenario", str(self.scenario))
        known = [scenario.value for scenario in Scenario]
        if self.scenario not in known:
            raise InvalidValue(f"scenario is {self.scenario!r}; it must be one of {known}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise InvalidValue(
                    f"{name} is {getattr(self, name)!r}; it must be one of {get_args(choices)}"
                )
        if self.encoder is not None and self.encoder not in get_args(Encoding):
            raise InvalidValue(
                f"encoder is {self.encoder!r}; it must be None or one of {get_args(Encoding)}"
            )
        check_range("Experiment", "tasks", self.tasks, 1, float("inf"))
        check_range("Experiment", "lr", self.lr, 0, float("inf"), open_low=True)
        check_range("Experiment", "holdout", self.holdout, 0, 0.9)
        object.__setattr__(self, "method", presets.canonical(self.method))
        presets.check_settings(self.method, self.settings)

    @property
    def resolved(self) -> dict[str, presets.Plain]:
        """Every argument that the method is made with, where a preset or this run names it."""
        return {**presets.defaults(self.method, self.scenario), **self.settings}

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name this run: the same values, the same key."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def group(self) -> str:
        """The key that runs share which differ in their seed alone."""
        return replace(self, seed=0).key

    @property
    def title(self) -> str:
        """For people: the stream, the scenario, the method and the seed."""
        return f"{self.stream} / {self.scenario} / {self.method} / seed {self.seed}"

    @property
    def stream(self) -> str:
        """For people: how the tasks are made, and from what."""
        return f"{self.kind} {self.data}{' features' if self.encoder else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the method's settings as they are resolved."""
        held = {**asdict(self), "settings": self.resolved}
        if self.encoder is None:  # runs that were written down before there were encoders have none
            del held["encoder"]
        return held

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The experiment that `to_dict` was called on."""
        order = held["order"]
        return cls(
            **{
                **held,
                "schedule": Schedule(**held["schedule"]),
                "hidden": tuple(held["hidden"]),
                "order": None if order is None else tuple(order),
            }
        )
