"""From a step to written parameters: the order in which one update calls the verbs and slots."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from perdure.batch import Batch, weighted_mean
from perdure.compiled import compiled_update
from perdure.errors import InvalidValue, NonFinite
from perdure.step import Step, rejoin, split

if TYPE_CHECKING:
    from perdure.learner import Learner


def apply(learner: Learner, step: Step) -> bool:
    """Gradients, then the optimiser; False where fp16 overflowed and nothing was applied."""
    if not learner.params:  # what learns in closed form does so in `settle`
        step.outputs = step.batch.x.new_empty((len(step.batch), 0), dtype=torch.float32)
        return True
    before = [held.clone() for held in learner.statistics]  # a forward pass writes them
    try:
        _differentiate(learner, step)
    except NonFinite:
        for held, value in zip(learner.statistics, before, strict=True):
            held.copy_(value)
        raise
    learner.engine.finish_gradients(learner.params, learner.optimiser.torch)
    _project(learner, step)
    return learner.engine.step(learner.params, learner.optimiser.torch)


def apply_compiled(learner: Learner, step: Step) -> bool:
    """The whole update as one graph; True, since nothing in it can be skipped."""
    _prepare(learner, step)
    if learner.compiled is None:
        learner.compiled = compiled_update(
            learner.model, learner.params, learner.optimiser.torch, partial(_base_loss, learner)
        )
    step.terms["loss"], step.outputs = learner.compiled(step.inputs, step.batch)
    if not math.isfinite(step.terms["loss"].item()):
        _refuse(learner, step, "a compiled update is already applied: return to a checkpoint")
    return True


def _differentiate(learner: Learner, step: Step) -> None:
    """Forward and backward; in several passes over parts of the rows where the engine says so."""
    pieces = min(learner.engine.accumulate, step.current)
    if not pieces:
        raise InvalidValue("the batch has no rows to learn; leave it out of the stream")
    # A row weighs the same on every rank and in every pass, however many rows these have.
    mean = None
    if pieces > 1 or learner.engine.ranks is not None:
        mean = learner.engine.average({"size": _size(step.batch)})["size"].clamp(min=1e-12)
    if pieces == 1:
        _pass(learner, step, mean)
        step.outputs = step.outputs.detach()
        return
    passes = list(split(step, pieces))
    for piece in passes:
        _pass(learner, piece, mean)
        piece.notes.clear()
        for name, term in piece.terms.items():
            step.terms[name] = step.terms.get(name, 0.0) + term
    step.inputs = rejoin(passes, [piece.inputs for piece in passes])
    step.outputs = rejoin(passes, [piece.outputs for piece in passes]).detach()


def _pass(learner: Learner, step: Step, mean: Tensor | None) -> None:
    """Forward and backward; the step's rows count by their share in the mean size of a rank's."""
    counts, rows = (1.0, 1.0) if mean is None else (_size(step.batch) / mean).tolist()
    _forward(learner, step)
    learner.engine.backward(_total(learner, step, counts, rows))


def _size(batch: Batch) -> Tensor:  # (2,) float64
    """The sum of the rows' weights, and their number."""
    counts = len(batch) if batch.weight is None else batch.weight.sum()
    return torch.tensor([float(counts), len(batch)], dtype=torch.float64, device=batch.y.device)


def _prepare(learner: Learner, step: Step) -> None:
    inputs = learner.prepare(step.batch.x)
    step.inputs = inputs if learner.augment is None else learner.augment(inputs, learner.rng)


def _forward(learner: Learner, step: Step) -> None:
    _prepare(learner, step)
    special = learner.slots["forward"]
    if special is not None:
        step.outputs, step.batch = special.forward(step)
    else:
        step.outputs = learner.forward(step.inputs, step.batch.task)


def _total(learner: Learner, step: Step, counts: float = 1.0, rows: float = 1.0) -> Tensor:
    """The sum of the terms: the loss in its share of the weights, penalties in that of the rows."""
    special = learner.slots["loss"]
    base = _base_loss(learner, step.outputs, step.batch) if special is None else special.loss(step)
    total = base if counts == 1 else counts * base
    step.terms["loss"] = total.detach()
    for method in learner.having["penalty"]:
        term = method.penalty(step)
        if term is not None:
            term = term if rows == 1 else rows * term
            step.terms[method.name] = term.detach()
            total = total + term
    if not math.isfinite(total.item()):
        _refuse(learner, step)
    return total


def _base_loss(learner: Learner, outputs: Tensor, batch: Batch) -> Tensor:
    """The mean of the loss over all rows, each by its weight."""
    if batch.weight is None:
        return learner.loss(outputs, batch.y)
    each = learner.loss(outputs, batch.y, reduction="none")
    each = each if each.dim() == 1 else each.flatten(1).mean(1)
    return weighted_mean(each, batch.weight)


def _project(learner: Learner, step: Step) -> None:
    if not learner.having["project"]:
        return
    grads = step.applied
    for method in learner.having["project"]:
        grads = method.project(step, grads)
    for name, grad in grads.items():
        learner.params[name].grad = grad


def _refuse(
    learner: Learner, step: Step, state: str = "the parameters are as before this update"
) -> None:
    """Say which term is not finite."""
    learner.drop_gradients()
    bad = [name for name, term in step.terms.items() if not bool(torch.isfinite(term))]
    name = bad[0] if bad else "the sum of the terms"
    owner = next((m.explain() for m in learner.methods if m.name == name), "the base loss")
    lr = learner.optimiser.torch.param_groups[0]["lr"]
    raise NonFinite(
        f"loss term {name!r} is {step.terms.get(name)} at update {learner.updates} ({owner}; "
        f"learning rate {lr}); {state}. Lower the learning rate or the strength, "
        "clip with Engine(clip=1.0), or look for NaN in the inputs"
    )
