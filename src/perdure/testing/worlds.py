"""A toy world: a small learner, a stream of three tasks, and a question to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from perdure import nets
from perdure.batch import Batch
from perdure.engine import Engine
from perdure.learner import Learner
from perdure.method import Method

INPUTS, CLASSES, TASKS = 6, 6, 3
Make = Callable[[], Method | Sequence[Method]]
Event = tuple[str, Any]


def as_methods(make: Make) -> list[Method]:
    """What `make` returns, as a list."""
    made = make()
    return [made] if isinstance(made, Method) else list(made)


def toy_learner(
    make: Make, *, growing: bool = False, engine: Engine | None = None, seed: int = 0
) -> Learner:
    """A small learner of the architecture that the methods need."""
    together = as_methods(make)
    torch.manual_seed(seed)
    return Learner(
        _toy_model(together, growing),
        *together,
        optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
        engine=engine,
    )


def toy_events(make: Make, rows: int = 40) -> list[Event]:
    """Three tasks of two classes: ("observe", batch) and, at each end, ("consolidate", rows)."""
    local = _by_task(as_methods(make))
    generator = torch.Generator().manual_seed(5)
    centres = 2 * torch.randn(CLASSES, INPUTS, generator=generator)
    events: list[Event] = []
    for task in range(TASKS):
        y = torch.arange(rows) % 2
        x = centres[y + 2 * task] + torch.randn(rows, INPUTS, generator=generator)
        batch = Batch(x, y if local else y + 2 * task, torch.full((rows,), task))
        events += [("observe", batch[i : i + 10]) for i in range(0, rows, 10)]
        events += [("observe", batch[i : i + 10].seen()) for i in range(0, rows, 10)]
        events.append(("consolidate", batch))
    return events


def toy_question(make: Make) -> tuple[Tensor, int | None]:
    """Inputs to predict, with the first task's id where the methods must be told it."""
    x = torch.randn(5, INPUTS, generator=torch.Generator().manual_seed(7))
    return x, 0 if _by_task(as_methods(make)) else None


def play(learner: Learner, events: Sequence[Event]) -> None:
    """Feed the events to the learner."""
    for kind, what in events:
        learner.consolidate(what) if kind == "consolidate" else learner.observe(what)


def _by_task(together: Sequence[Method]) -> bool:
    return any(method.needs.task_at_inference for method in together)


def _toy_model(together: Sequence[Method], growing: bool) -> nn.Module:
    if any(method.needs.architecture == "progressive" for method in together):
        return nets.ProgressiveNet(INPUTS, (8, 8), 2)
    if any(method.needs.architecture == "gated" for method in together):
        return nets.GatedMLP(INPUTS, (8, 8), 2)
    backbone = _toy_backbone({method.needs.architecture for method in together})
    if any(method.needs.frozen for method in together) and not any(m.freezes for m in together):
        backbone.requires_grad_(False)
    if any(method.needs.architecture == "consolidated" for method in together):
        return nets.Classifier(backbone, nets.ConsolidatedHead(8))
    if any(method.needs.architecture == "cosine" for method in together):
        return nets.Classifier(backbone, nets.CosineHead(8, 0 if growing else CLASSES))
    if _by_task(together):
        tasks = None if growing else {task: [0, 1] for task in range(TASKS)}
        return nets.Classifier(backbone, nets.MultiHead(8, tasks))
    head = nets.GrowingHead(8) if growing else nets.FixedHead(8, CLASSES)
    return nets.Classifier(backbone, head)


def _toy_backbone(wanted: set[str | None]) -> nn.Module:
    if "lora" in wanted:
        return nets.lora(nets.MLP(INPUTS, (8, 8)), rank=2, alpha=2)
    if not wanted & {"prompted", "pool"}:
        return nets.MLP(INPUTS, (8, 8))
    encoder = nets.Transformer(nets.Patches((1, 1, INPUTS), 1, 8), depth=1, heads=2)
    pool = "pool" in wanted
    return nets.PromptPool(encoder, 4, 1, 2) if pool else nets.Prompted(encoder, 2)
