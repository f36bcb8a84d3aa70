"""What adapters have in common: parts beside a frozen module, and which of them answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue


class Adapter(nn.Module, ABC):
    """Small parts beside a frozen `base`; those from `start` up to `stop` answer.

    Parts are appended by `begin`, which the methods call, and never by a batch: a module cannot
    know whether a batch begins a task. An old part keeps its tensors bit for bit.

    Args:
        base: what is adapted.
    """

    span: Tensor  # (start, stop, 0)

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        # A buffer, so that a teacher's snapshot answers by the parts that it had; of no entries, so
        # that its shape can be read without waiting for a device.
        self.register_buffer("span", torch.empty(0, 0, 0), persistent=False)

    @abstractmethod
    def part(self, place: int) -> list[nn.Parameter]:
        """The parameters of one part."""

    @abstractmethod
    def append(self) -> None:
        """Add a part that learns."""

    @abstractmethod
    def count(self) -> int:
        """How many parts there are."""

    @property
    def answering(self) -> range:
        """The places of the parts that answer."""
        return range(*self.span.shape[:2])

    def answer(self, start: int, stop: int) -> None:
        """Let the parts from `start` up to `stop` answer; none where they are equal."""
        self.span = self.span.new_empty(start, stop, 0)

    def begin(self, *, alone: bool) -> None:
        """Freeze all parts and append one, which answers alone or together with all of them."""
        for parameter in (p for place in range(self.count()) for p in self.part(place)):
            parameter.requires_grad_(False)
            parameter.grad = None
        self.append()
        self.answer(self.count() - 1 if alone else 0, self.count())

    def grow(self, batch: Batch) -> bool:
        """Add nothing."""
        return False

    def plan(self) -> list[int]:
        """The first part that answers, and how many parts there are."""
        return [self.answering.start, self.count()]

    def rebuild(self, plan: list[int]) -> None:
        """Append the parts that are not here yet.

        Raises:
            CheckpointMismatch: there are more parts here than in the checkpoint.
        """
        start, count = plan
        if self.count() > count:
            raise CheckpointMismatch(
                f"the checkpoint has {count} parts in an adapter that has {self.count()} here; "
                "load into a model that was just made"
            )
        while self.count() < count:
            self.append()
        self.answer(start, count)

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """The parameters of each part, by its place."""
        return {place: self.part(place) for place in range(self.count())}


def adapters(model: nn.Module) -> dict[str, Adapter]:
    """The adapters inside `model` by name, each once."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Adapter)}


@contextmanager
def answering(model: nn.Module, start: int, stop: int) -> Iterator[None]:
    """Within it the parts from `start` up to `stop` answer; none where they are equal."""
    held = [(adapter, adapter.answering) for adapter in adapters(model).values()]
    try:
        for adapter, _ in held:
            adapter.answer(start, stop)
        yield
    finally:
        for adapter, before in held:
            adapter.answer(before.start, before.stop)


class Still(nn.Module):
    """A normalisation that keeps its running statistics, since what is adapted is frozen.

    Args:
        base: the normalisation.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base.eval()

    def train(self, mode: bool = True) -> Self:
        """Set the module's own mode; `base` stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Normalised by the running statistics."""
        out: Tensor = self.base(x)
        return out


def strip(model: nn.Module) -> nn.Module:
    """Take all adapters away: what was adapted comes back bit for bit, under its own names.

    Its parameters stay frozen: `requires_grad_(True)` lets them learn again.

    Args:
        model: any module with adapters inside; or an adapter itself, whose base is returned.

    Raises:
        InvalidValue: there is no adapter.
    """
    if isinstance(model, Adapter):
        return model.base.train(model.training)
    if not adapters(model):
        raise InvalidValue(f"{type(model).__name__} has no adapters to take away")
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, (Adapter, Still)):
            model.set_submodule(name, module.base.train(module.training))
    return model
