"""How a model gets its outputs, which decides what it must be told and what it can learn."""

from __future__ import annotations

from enum import StrEnum

from torch import nn

from perdure.model import takes_task
from perdure.nets import (
    ConsolidatedHead,
    CosineHead,
    FixedHead,
    GatedMLP,
    GrowingHead,
    LoRALayer,
    MultiHead,
    NoHead,
    ProgressiveNet,
    Prompted,
    PromptPool,
)
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
    GATED = "gated"
    """A `GatedMLP`: shared units that each task opens or closes."""
    CONSOLIDATED = "consolidated"
    """A `ConsolidatedHead`: it learns each batch's classes apart, and grows."""
    COSINE = "cosine"
    """A `CosineHead`: outputs are angles, and join as labels come."""
    LORA = "lora"
    """Low-rank adapters beside frozen layers, under any head: see `perdure.nets.lora`."""
    PROMPTED = "prompted"
    """A `Prompted` encoder: learned tokens before those of a frozen transformer."""
    POOL = "pool"
    """A `PromptPool`: prompts that each row chooses by their keys."""
    HEADLESS = "headless"
    """A `NoHead`: the methods answer, from features."""
    OTHER = "other"
    """Any other module: nothing is known of it but that it is called with inputs alone."""

    @property
    def needs_task(self) -> bool:
        """Whether it answers nothing without a task id."""
        return self in (Architecture.MULTI_HEAD, Architecture.PROGRESSIVE, Architecture.GATED)


NAMES = {
    Architecture.FIXED: "a FixedHead",
    Architecture.GROWING: "a GrowingHead",
    Architecture.MULTI_HEAD: "a MultiHead",
    Architecture.PROGRESSIVE: "a ProgressiveNet",
    Architecture.GATED: "a GatedMLP",
    Architecture.CONSOLIDATED: "a ConsolidatedHead",
    Architecture.COSINE: "a CosineHead",
    Architecture.LORA: "low-rank adapters",
    Architecture.PROMPTED: "a Prompted encoder",
    Architecture.POOL: "a PromptPool",
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

_KINDS: dict[type[nn.Module], Architecture] = {
    ProgressiveNet: Architecture.PROGRESSIVE,
    GatedMLP: Architecture.GATED,
    LoRALayer: Architecture.LORA,
    Prompted: Architecture.PROMPTED,
    PromptPool: Architecture.POOL,
    ConsolidatedHead: Architecture.CONSOLIDATED,
    CosineHead: Architecture.COSINE,
    MultiHead: Architecture.MULTI_HEAD,
    GrowingHead: Architecture.GROWING,
    FixedHead: Architecture.FIXED,
    NoHead: Architecture.HEADLESS,
}
"""The module that tells an architecture; of several in a model the first one here does."""


def architecture_of(model: nn.Module) -> Architecture:
    """What kind of model this is, by the modules that it has anywhere inside."""
    modules = list(model.modules())
    found = [it for kind, it in _KINDS.items() if any(isinstance(m, kind) for m in modules)]
    if not found or found[0] in (Architecture.GROWING, Architecture.FIXED, Architecture.HEADLESS):
        found = [Architecture.MULTI_HEAD] * takes_task(model) + found
    return found[0] if found else Architecture.OTHER
