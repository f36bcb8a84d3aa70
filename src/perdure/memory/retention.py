"""How much is kept, and for how long: bounds by bytes, age and subject."""

from __future__ import annotations

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.learner import Learner
from perdure.memory.erasing import erase_each, memories, named_column
from perdure.memory.memory import Memory
from perdure.memory.storage import columns_of, layout_of, row_bytes

DAY = 86_400.0
KNOWN = 16
"""Bytes that a policy may know of each row beside it: a key and a group."""


def retain(
    learner: Learner,
    *,
    now: float,
    days: float | None = None,
    rows_per_subject: int | None = None,
) -> int:
    """Erase from every memory what is too old or too much of one subject; says how many rows.

    Args:
        learner: whose batches came with extras "time" (n,) float64, seconds, and "subject" (n,)
            int64, as far as they are asked for.
        now: seconds, on the clock of "time".
        days: rows older than that go, and the memories fill up again with rows that come.
        rows_per_subject: of each subject so many rows stay, its newest ones.

    Raises:
        InvalidValue: a bound out of range, or a memory's rows lack an extra; nothing was erased.
    """
    check_range("retain", "days", 0.0 if days is None else days, 0, float("inf"))
    check_range(
        "retain",
        "rows_per_subject",
        1 if rows_per_subject is None else rows_per_subject,
        1,
        float("inf"),
    )
    wanted = ["time"] * (days is not None or rows_per_subject is not None)
    wanted += ["subject"] * (rows_per_subject is not None)
    for name, memory in memories(learner).items():
        for column in wanted:
            named_column(name, memory, column)

    def erase(name: str, memory: Memory) -> int:
        erased = 0
        if days is not None:
            erased += memory.expire(older(named_column(name, memory, "time"), now - days * DAY))
        if rows_per_subject is not None:
            subject = named_column(name, memory, "subject")
            time = named_column(name, memory, "time")
            erased += memory.erase(beyond(rows_per_subject, subject, time))
        return erased

    return erase_each(learner, erase) if wanted else 0


def older(time: Tensor, than: float) -> Tensor:  # (n,) -> (n,) bool
    """Which rows are from before `than`."""
    return time < than


def beyond(rows: int, subject: Tensor, time: Tensor) -> Tensor:  # (n,), (n,) -> (n,) bool
    """Which rows are not among the newest of their subject; of equal times the later is newer.

    Example:
        >>> beyond(2, torch.tensor([7, 7, 8, 7]), torch.tensor([3.0, 1.0, 0.0, 2.0]))
        tensor([False,  True, False, False])
    """
    newest = (len(time) - 1 - time.flip(0).argsort(descending=True, stable=True)).long()
    order = newest[subject[newest].argsort(stable=True)]  # by subject, and its newest first
    _, sizes = subject.unique(return_counts=True)
    rank = torch.arange(len(order)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    dropped = torch.zeros(len(subject), dtype=torch.bool)
    dropped[order[rank >= rows]] = True
    return dropped


def capacity_within(bytes: int, rows: Batch) -> int:  # noqa: A002
    """The capacity of a memory that takes so many bytes at most, and the policy's own with them.

    Args:
        bytes: of rows and of what is known of each.
        rows: at least one of those to be held, with all extras, such as the outputs that DER adds.

    Raises:
        InvalidValue: not one row fits.

    Example:
        >>> image = torch.zeros(1, 28, 28, dtype=torch.uint8)
        >>> capacity_within(1_000_000, Batch(image, torch.tensor([0])))
        1237
    """
    each = row_bytes(layout_of(columns_of(rows))) + KNOWN
    if bytes < each:
        raise InvalidValue(f"a row takes {each} bytes, so that none fits into {bytes}; allow more")
    return bytes // each
