"""How large a model is, how much of it still learns, and what each task added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class ByTask(Protocol):
    """A module that knows which of its parameters serve one task alone."""

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """The parameters of each task, by its id."""
        ...


@dataclass(frozen=True)
class Capacity:
    """What a model holds; it prints as a table.

    Attributes:
        parameters: numbers that can be learned, in all.
        trainable: those of them that still learn.
        bytes: what all parameters take, at their own precision.
        tasks: the same of what serves one task alone, by task id; empty where nothing does.
    """

    parameters: int
    trainable: int
    bytes: int
    tasks: Mapping[int, Capacity] = field(default_factory=dict)

    @property
    def frozen(self) -> int:
        """Parameters that no longer learn."""
        return self.parameters - self.trainable

    def __str__(self) -> str:
        head = ("part", "parameters", "trainable", "frozen", "bytes")
        parts = {f"task {task}": part for task, part in self.tasks.items()} | {"all": self}
        rows = [
            (name, *(f"{n:,}" for n in (one.parameters, one.trainable, one.frozen, one.bytes)))
            for name, one in parts.items()
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        return "\n".join(
            f"{row[0]:<{widths[0]}}  "
            + "  ".join(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))
            for row in (head, *rows)
        )


def capacity(model: nn.Module) -> Capacity:
    """Count the parameters of `model`, shared ones once, in all and by task.

    Example:
        >>> print(capacity(nn.Linear(400, 10)))
        part  parameters  trainable  frozen   bytes
        all        4,010      4,010       0  16,040
    """
    tasks: defaultdict[int, list[nn.Parameter]] = defaultdict(list)
    for module in model.modules():
        if isinstance(module, ByTask):
            for task, parameters in module.by_task().items():
                tasks[task] += parameters
    return _counted(model.parameters(), {task: _counted(tasks[task]) for task in sorted(tasks)})


def _counted(
    parameters: Iterable[nn.Parameter], tasks: Mapping[int, Capacity] | None = None
) -> Capacity:
    held = list(parameters)
    return Capacity(
        sum(p.numel() for p in held),
        sum(p.numel() for p in held if p.requires_grad),
        sum(p.numel() * p.element_size() for p in held),
        tasks or {},
    )
