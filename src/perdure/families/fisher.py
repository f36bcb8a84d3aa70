"""How much each parameter matters to what the model knows, and how far it has moved since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.families.rowwise import RowSums, Size, Terms
from perdure.learner import Learner
from perdure.tree import Tree

Labels = Literal["model", "true", "sampled"]
PIECE = 256  # rows of one forward pass
# Documented under these names, for all that they begin with an underscore.
_sub, _mul = torch._foreach_sub, torch._foreach_mul  # noqa: SLF001


def fisher(
    learner: Learner,
    data: Iterable[Batch],
    labels: Labels = "model",
    rows: int | None = None,
    rng: Generator | None = None,
) -> Tree:
    """The diagonal of the Fisher information by parameter name, in evaluation mode and float32.

        "model":    mean_i sum_c p_ic (d log p_ic / d theta)^2
        "sampled":  mean_i (d log p_ic / d theta)^2,  c drawn from p_i
        "true":     mean_i (d loss(outputs_i, y_i) / d theta)^2

    Squares are of single rows, never of a batch's mean. "model" is the Fisher information itself,
    at a backward pass for each class that has any probability; "sampled" estimates it from one;
    "true", the "empirical" Fisher, is something else, and the only one for regression.

    Args:
        learner: its model, loss and engine; the model is left in evaluation mode.
        data: the rows; iterated over twice where `rows` is given.
        labels: whose labels the gradients are taken at.
        rows: use so many rows, spread evenly over the data; None is all.
        rng: draws the labels of "sampled".

    Raises:
        InvalidValue: an unknown `labels`, outputs other than (n, classes), or no rows.
    """
    terms: dict[str, Callable[[Tensor, Tensor], Terms]] = {
        "model": lambda outputs, _: _Classes(outputs),
        "sampled": lambda outputs, _: [_drawn_class(outputs, rng)],
        "true": lambda outputs, y: [_loss_slope(learner, outputs, y)],
    }
    check_labels("fisher", labels)
    return importance(learner, data, terms[labels], rows=rows)


def check_labels(owner: str, labels: str) -> None:
    """Raise `InvalidValue` unless `labels` is one of `Labels`."""
    if labels not in get_args(Labels):
        known = ", ".join(map(repr, get_args(Labels)))
        raise InvalidValue(f"{owner}: labels is {labels!r}; it must be one of {known}")


def importance(
    learner: Learner,
    data: Iterable[Batch],
    terms: Callable[[Tensor, Tensor], Terms],
    size: Size = torch.square,
    rows: int | None = None,
) -> Tree:
    """mean_i sum_v size(v_i^T d outputs_i / d theta) by name, v over `terms(outputs, y)`.

    The mean is over the rows of all ranks.

    Args:
        learner: its model and engine; the model is left in evaluation mode.
        data: the rows; iterated over twice where `rows` is given.
        terms: gradients at the outputs (n, ...), from detached outputs (n, ...) and y (n, ...).
        size: `torch.square` or `torch.abs`.
        rows: use so many rows, spread evenly over the data; None is all.

    Raises:
        InvalidValue: the learner has learned, and there are no rows.
    """
    learner.model.eval()
    row_sums = RowSums(learner.model, learner.params, terms, size)
    sums, count = tree.zeros(learner.params), 0
    for batch in map(learner.engine.place, _spread(data, rows)):
        count += len(batch)
        for start in range(0, len(batch), PIECE):
            piece = batch[start : start + PIECE]
            for name, total in row_sums(learner.prepare(piece.x), piece.y, piece.task).items():
                sums[name] += total
    # No parameter has an empty name. Averaged beside the sums, each rank weighs as its rows do.
    sums[""] = torch.tensor(float(count), device=learner.engine.device)
    sums = learner.engine.average(sums)
    mean = float(sums.pop(""))
    if not mean and learner.updates:
        raise InvalidValue(
            f"there are no rows to measure on after {learner.updates} updates; consolidate(data) "
            "needs the task's rows, in an iterable that can be iterated over more than once"
        )
    return tree.apply(lambda total: total / (mean or 1.0), sums)


def distance(
    params: Mapping[str, Tensor], anchor: Mapping[str, Tensor], weight: Mapping[str, Tensor]
) -> Tensor:
    """sum_i weight_i (theta_i - anchor_i)^2 over the names in `weight`, as a 0-d tensor.

    A parameter that has no weight, because it grew later, is free. Value and gradient are found
    together, in fewer passes over memory than autograd would make.
    """
    names = [name for name in weight if name in params]
    if not names:
        return torch.zeros(())
    total: Tensor = _Distance.apply(  # type: ignore[no-untyped-call]
        [anchor[name] for name in names],
        [weight[name] for name in names],
        *[params[name] for name in names],
    )
    return total


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: list[Tensor], weight: list[Tensor], *params: Tensor) -> Tensor:
        moved = _sub(params, anchor)
        ctx.pull = _mul(moved, weight)
        pairs = zip(ctx.pull, moved, strict=True)
        return torch.stack([torch.dot(a.flatten(), b.flatten()) for a, b in pairs]).sum()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_mul(ctx.pull, 2 * upstream[0])


class _Classes:
    """sqrt(p_c) d log p_c / d outputs for each class c: their squares sum to the expectation."""

    def __init__(self, outputs: Tensor) -> None:
        self.p = _probabilities(outputs)
        self.possible = self.p.amax(0).nonzero().flatten().tolist()  # a masked class has p = 0

    def __iter__(self) -> Iterator[Tensor]:  # each (n, classes)
        for c in self.possible:
            slope = -self.p
            slope[:, c] += 1
            yield slope * self.p[:, c : c + 1].sqrt()


def _drawn_class(outputs: Tensor, rng: Generator | None) -> Tensor:  # (n, classes)
    """d log p_c / d outputs for one class c a row, drawn from p."""
    p = _probabilities(outputs)
    c = torch.multinomial(p.cpu(), 1, generator=rng).to(p.device)  # (n, 1)
    return torch.zeros_like(p).scatter_(1, c, 1.0) - p


def _loss_slope(learner: Learner, outputs: Tensor, y: Tensor) -> Tensor:  # (n, ...)
    """d loss_i / d outputs_i, where a row with several targets has the mean of their losses."""
    with torch.enable_grad():
        outputs = outputs.requires_grad_()
        each = learner.loss(outputs, y, reduction="none")
        if each.dim() > 1:
            each = each.flatten(1).mean(1)
        return torch.autograd.grad(each.sum(), outputs)[0]


def _probabilities(outputs: Tensor) -> Tensor:  # (n, classes)
    if outputs.dim() != 2:
        raise InvalidValue(
            f"the outputs have shape {tuple(outputs.shape)}, and the Fisher information of a "
            'classifier is of outputs (n, classes); use labels="true"'
        )
    return outputs.softmax(1)


def _spread(data: Iterable[Batch], rows: int | None) -> Iterator[Batch]:
    """All rows, or so many at even distances."""
    if rows is None:
        yield from data
        return
    total, start = sum(len(batch) for batch in data), 0
    for batch in data:
        place = torch.arange(start, start + len(batch) + 1) * min(rows, total) // total
        yield batch[(place[1:] > place[:-1]).to(batch.y.device)]
        start += len(batch)
