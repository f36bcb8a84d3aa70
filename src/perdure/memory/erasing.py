"""Letting rows go from everything that a learner remembers, and from what was made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.memory.memory import Memory


@runtime_checkable
class Derives(Protocol):
    """A method that keeps something made of the rows in its memory, such as class means."""

    def derive(self, learner: Learner) -> None:
        """Make it anew from the rows that the memory holds now."""
        ...


def memories(learner: Learner) -> dict[str, Memory]:
    """Every memory of the learner's methods, as "method.attribute".

    Example:
        >>> from perdure.memory import DatabaseStorage
        >>> from perdure.methods import ER
        >>> learner = Learner(torch.nn.Linear(4, 2), ER(capacity=100))
        >>> for memory in memories(learner).values():
        ...     memory.move(DatabaseStorage(memory.capacity, ":memory:"))
        >>> memories(learner)
        {'er.memory': Reservoir(capacity=100)}
    """
    return {
        f"{method.name}.{key}": part
        for method in learner.methods
        for key, part in method.parts().items()
        if isinstance(part, Memory)
    }


def forget(learner: Learner, keys: Tensor, column: str = "row") -> int:
    """Erase all rows with these keys from every memory; says how many were held.

    No byte of them is left in the memories or their files. The model's parameters still are what
    those rows made of them.

    Args:
        learner: whose batches came with an extra "row" (n,) int64: each row's key.
        keys: (k,) int64, of rows that may be held or not.
        column: another extra to look for the keys in, such as "subject".

    Raises:
        InvalidValue: a memory holds rows without keys; nothing was erased.

    Example:
        >>> from perdure.methods import ER
        >>> learner = Learner(torch.nn.Linear(4, 2), ER(capacity=100))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> step = learner.observe(rows.with_extras(row=torch.tensor([10, 11, 12, 13])))
        >>> forget(learner, torch.tensor([11, 13, 99]))
        2
    """
    held = {name: named_column(name, one, column) for name, one in memories(learner).items()}
    doomed = {name: torch.isin(column, keys.cpu()) for name, column in held.items()}
    return erase_each(learner, lambda name, memory: memory.erase(doomed[name]))


def erase_each(learner: Learner, erase: Callable[[str, Memory], int]) -> int:
    """Apply `erase` to every memory; then methods make anew what they made of the rows held.

    On several ranks all of them call this, each for the rows that it holds.

    Args:
        learner: whose memories are meant.
        erase: given a memory and its name, erases rows and says how many.
    """
    erased = sum(erase(name, memory) for name, memory in memories(learner).items())
    count = torch.tensor(float(erased), device=learner.engine.device)
    if learner.engine.average({"rows": count})["rows"] > 0:
        for method in learner.methods:
            if isinstance(method, Derives):
                method.derive(learner)
    return erased


def named_column(name: str, memory: Memory, column: str) -> Tensor:
    """An extra of all rows of a memory, empty where it has no rows.

    Raises:
        InvalidValue: its rows have no such extra.
    """
    held = memory.column(column)
    if held is None and len(memory):
        raise InvalidValue(
            f"the {len(memory)} rows of {name} have no extra {column!r}; give every batch that the "
            f'learner observes, and all rows given to consolidate, extras={{"{column}": ...}}'
        )
    return torch.empty(0, dtype=torch.long) if held is None else held
