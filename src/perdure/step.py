"""What one update knows, handed to every verb of every method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from perdure.batch import Batch

if TYPE_CHECKING:
    from perdure.learner import Learner
    from perdure.method import Method


class Step:
    """One update in progress.

    Attributes:
        learner: who learns.
        incoming: the rows that came from the stream, with all that came with them.
        whole: the same, of all passes where one update is split into several.
        batch: the incoming rows, then the rows that methods recalled; of task ids and extras, those
            that all of them have.
        current: how many leading rows of `batch` came from the stream.
        inputs: what the model was fed, (n, ...): `batch.x` prepared and augmented; the raw rows
            where nothing trains, so that no pass is made.
        outputs: what the model answered, (n, ...).
        terms: the loss by name, each a 0-d tensor: "loss", then one a penalty.
    """

    __slots__ = (
        *("batch", "current", "incoming", "inputs", "learner"),
        *("notes", "outputs", "parts", "terms", "whole"),
    )

    def __init__(self, learner: Learner, batch: Batch) -> None:
        self.learner = learner
        self.whole = self.incoming = self.batch = batch
        self.current = len(batch)
        self.inputs: Tensor = batch.x
        self.outputs: Tensor = batch.x
        self.terms: dict[str, Tensor] = {}
        self.parts: dict[str, tuple[slice, Batch]] = {}
        self.notes: dict[str, Any] = {}

    def join(self, method: Method, recalled: Batch) -> None:
        """Append what `method` recalled, and remember which rows are its own."""
        start = len(self.batch)
        self.parts[method.name] = (slice(start, start + len(recalled)), recalled.seen())
        self.batch = self.batch + recalled.seen()

    def recalled(self, method: Method) -> tuple[Batch, Tensor] | None:
        """The rows that `method` recalled, with their extras, and the model's outputs for them."""
        part = self.parts.get(method.name)
        return None if part is None else (part[1], self.outputs[part[0]])

    def note(self, method: Method, value: Any) -> None:
        """Pass a value on to `method`'s later verbs; it is let go when the update ends.

        Where an update is split into passes, `forward`, `loss` and `penalty` have a step for each
        pass, and all other verbs that of the whole update.
        """
        self.notes[method.name] = value

    def noted(self, method: Method) -> Any:
        """What `method` passed on last; None where it did not."""
        return self.notes.get(method.name)

    def grads(self, loss: Tensor) -> dict[str, Tensor]:
        """Gradients of another loss by parameter name, averaged over ranks; zero where unused."""
        return self.learner.engine.gradients(loss, self.learner.params)

    @property
    def applied(self) -> dict[str, Tensor]:
        """The gradients that the optimiser applied, by name; valid in `constrain` and `settle`."""
        params = self.learner.params
        return {name: p.grad for name, p in params.items() if p.grad is not None}


def split(step: Step, pieces: int) -> Iterator[Step]:
    """Steps over equal shares of the incoming rows and of each method's recalled rows."""
    bounds = [(i / pieces, (i + 1) / pieces) for i in range(pieces)]
    methods = {method.name: method for method in step.learner.methods}
    for low, high in bounds:
        cut = slice(round(low * step.current), round(high * step.current))
        piece = Step(step.learner, step.incoming[cut])
        piece.whole = step.whole
        for name, (_, rows) in step.parts.items():
            share = rows[round(low * len(rows)) : round(high * len(rows))]
            piece.join(methods[name], share)
        yield piece


def rejoin(passes: list[Step], tensors: list[Tensor]) -> Tensor:
    """Rows of all passes in the order of the whole step: incoming, then each method's."""
    parts = [tensor[slice(0, piece.current)] for piece, tensor in zip(passes, tensors, strict=True)]
    for name in passes[0].parts:
        parts += [
            tensor[piece.parts[name][0]] for piece, tensor in zip(passes, tensors, strict=True)
        ]
    return torch.cat(parts)
