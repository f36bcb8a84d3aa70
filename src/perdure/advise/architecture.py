"""How a model gets its outputs, which decides what it must be told and what it can learn."""

from __future__ import annotations

from enum import StrEnum

from torch import nn

from perdure.model import takes_task
from perdure.nets import FixedHead, GrowingHead, MultiHead, NoHead, ProgressiveNet
from perdure.scenario import Scenario


class Architecture(StrEnum):
    """How a model gets its outputs."""

    FIXED = "fixed"
    """A `FixedHead`: all outputs are there from the start."""
    GROWING = "growing"
    """A `GrowingHead`: outputs join as labels come."""
    MULTI_HEAD = "multi-head"
    """A `MultiHead`, or any other model that is told the task id of each row."""
    PROGRESSIVE = "progressive"
    """A `ProgressiveNet`: a column of layers for each task."""
    HEADLESS = "headless"
    """A `NoHead`: the methods answer, from features."""
    OTHER = "other"
    """Any other module: nothing is known of it but that it is called with inputs alone."""

    @property
    def needs_task(self) -> bool:
        """Whether it answers nothing without a task id."""
        return self in (Architecture.MULTI_HEAD, Architecture.PROGRESSIVE)


NAMES = {
    Architecture.FIXED: "a FixedHead",
    Architecture.GROWING: "a GrowingHead",
    Architecture.MULTI_HEAD: "a MultiHead",
    Architecture.PROGRESSIVE: "a ProgressiveNet",
    Architecture.HEADLESS: "a NoHead",
    Architecture.OTHER: "your own model",
}
CHOICES = {
    Scenario.TASK: (Architecture.MULTI_HEAD, Architecture.PROGRESSIVE),
    Scenario.DOMAIN: (Architecture.FIXED, Architecture.GROWING),
    Scenario.CLASS: (Architecture.GROWING, Architecture.FIXED),
    Scenario.FREE: (Architecture.GROWING, Architecture.FIXED),
}
"""What suits each scenario, the most natural first."""


def architecture_of(model: nn.Module) -> Architecture:
    """What kind of model this is, by the head that it has anywhere inside."""
    modules = list(model.modules())
    if any(isinstance(module, ProgressiveNet) for module in modules):
        return Architecture.PROGRESSIVE
    if takes_task(model) or any(isinstance(module, MultiHead) for module in modules):
        return Architecture.MULTI_HEAD
    if any(isinstance(module, GrowingHead) for module in modules):
        return Architecture.GROWING
    if any(isinstance(module, FixedHead) for module in modules):
        return Architecture.FIXED
    if any(isinstance(module, NoHead) for module in modules):
        return Architecture.HEADLESS
    return Architecture.OTHER
