"""What a closed-form classifier knows of its rows: counts, sums and second moments by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, InvalidValue

Kind = Literal["spherical", "shared", "each"]
STATE = ("keys", "count", "sum", "second")
TASK = 1 << 32  # a group's key is its task's id times this, plus its label


class Moments:
    """Sums over all rows ever added, in float64: neither their order nor their batches matter.

    A group is a label or, with `per_task`, a label of a task. Groups are in the order of their
    keys, and new ones may come at any time; the cost of adding rows does not depend on how many
    were added before. No row can be told from the sums but where it is the only one of its group.

    Attributes:
        keys: (groups,) int64.
        count: rows of each group, (groups,) float64.
        sum: of the features of each group, (groups, d) float64.
        second: of the squared features, float64: see `kind`.

    Args:
        kind: what is kept of the spread: "spherical" sum |f|^2, a 0-d tensor; "shared" sum f f^T
            (d, d); "each" the same of each group, (groups, d, d).
        per_task: whether labels are local to a task.

    Raises:
        InvalidValue: an unknown kind.

    Example:
        >>> held = Moments("shared")
        >>> held.add(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([7, 7]))
        >>> held.labels.tolist(), held.means.tolist(), float(held.within()[0, 0])
        ([7], [[2.0, 0.0]], 2.0)
    """

    def __init__(self, kind: Kind, *, per_task: bool = False) -> None:
        if kind not in get_args(Kind):
            raise InvalidValue(f"Moments: kind is {kind!r}; it must be one of {get_args(Kind)}")
        self.kind, self.per_task = kind, per_task
        self.keys = torch.zeros(0, dtype=torch.int64)
        self.count = torch.zeros(0, dtype=torch.float64)
        self.sum = torch.zeros(0, 0, dtype=torch.float64)
        self.second = torch.zeros(_shape(kind, 0, 0), dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.keys)

    # -- learning --------------------------------------------------------------------------------

    def add(self, features: Tensor, y: Tensor, task: Tensor | None = None) -> None:
        """Count rows of this process.

        Args:
            features: (n, d), of any floating dtype.
            y: (n,) int64, from 0.
            task: (n,) int64; asked for with `per_task` alone.

        Raises:
            InvalidValue: `y` is no class label, a task id is missing, or d is not what it was.
        """
        f = features.double()
        found, place = self._keys(y, task).unique(return_inverse=True)
        member = (place == torch.arange(len(found), device=place.device)[:, None]).to(f)
        batch = Moments(self.kind, per_task=self.per_task)
        batch.keys, batch.count, batch.sum = found, member.sum(1), member @ f
        if self.kind == "spherical":
            batch.second = f.square().sum()
        elif self.kind == "shared":
            batch.second = f.T @ f
        else:
            batch.second = f.new_zeros(_shape("each", len(found), f.shape[1]))
            for group, rows in enumerate(member.bool()):
                batch.second[group] = f[rows].T @ f[rows]
        self.merge(batch)

    def merge(self, other: Moments) -> None:
        """Add another's sums to these.

        Raises:
            InvalidValue: its features have another width.
        """
        if not len(other):
            return
        width = self.sum.shape[1]
        if len(self) and width != other.sum.shape[1]:
            raise InvalidValue(
                f"features were {width} wide and are {other.sum.shape[1]} now; sums of them need "
                "a backbone that stays as it is"
            )
        device = other.sum.device
        keys = torch.cat((self.keys.to(device), other.keys)).unique()
        if len(keys) != len(self) or self.sum.device != device:
            held = self._laid_out(keys, other.sum.shape[1])
            self.keys, (self.count, self.sum, self.second) = keys, held
        at = torch.searchsorted(keys, other.keys)
        self.count[at] += other.count
        self.sum[at] += other.sum
        self.second[at if self.kind == "each" else ...] += other.second

    def over(self, engine: Engine) -> Moments:
        """The sums over all ranks, the same on each; itself where the learner is alone."""
        if engine.ranks is None:
            return self
        size = _everyones(engine, [len(self), self.sum.shape[1]])
        groups, width = int(size[:, 0].max()), int(size[:, 1].max())
        labels = self.keys.tolist() + [-1] * (groups - len(self))
        found = _everyones(engine, [part for key in labels for part in divmod(key, TASK)])
        keys = (found[:, 0::2] * TASK + found[:, 1::2]).flatten().unique()
        keys = keys[keys != -1]
        count, total, second = self._laid_out(keys, width)
        means = engine.average({"count": count, "sum": total, "second": second})
        all_rows = Moments(self.kind, per_task=self.per_task)
        all_rows.keys = keys
        all_rows.count = (means["count"] * engine.ranks.size).round()
        all_rows.sum, all_rows.second = (means[k] * engine.ranks.size for k in ("sum", "second"))
        return all_rows

    # -- what is known ---------------------------------------------------------------------------

    @property
    def labels(self) -> Tensor:  # (groups,) int64
        """Each group's label."""
        return self.keys % TASK

    @property
    def width(self) -> int:
        """One more than the largest label; from plain values, so that a graph can hold it."""
        return 1 + max(int(key) % TASK for key in self.keys.tolist())

    @property
    def tasks(self) -> Tensor:  # (groups,) int64
        """Each group's task id; 0 where labels are not local to a task."""
        return self.keys // TASK

    @property
    def rows(self) -> float:
        """How many rows were added."""
        return float(self.count.sum())

    @property
    def classes(self) -> int:
        """Among how many classes an answer chooses, at most."""
        return int(self.tasks.unique(return_counts=True)[1].max()) if len(self) else 0

    @property
    def means(self) -> Tensor:  # (groups, d) float64
        """The mean feature of each group."""
        return self.sum / self.count[:, None]

    @property
    def floor(self) -> float:
        """The least variance that rounding lets one tell from none; 1 where all features are 0."""
        square = self.second if self.kind == "spherical" else self.second.diagonal(0, -2, -1)
        return 1e-12 * float(square.sum()) / max(1.0, self.rows * self.sum.shape[1]) or 1.0

    def within(self) -> Tensor:
        """Sums of squares around each group's own mean, shaped as `second`."""
        spread = self.means
        if self.kind == "spherical":
            return (self.second - (spread * self.sum).sum()).clamp(min=0)
        if self.kind == "shared":
            return self.second - spread.T @ self.sum
        return self.second - spread[:, :, None] * self.sum[:, None, :]

    # -- state -----------------------------------------------------------------------------------

    def seed(self, seed: int) -> None:
        """Sums draw nothing."""

    def state_dict(self) -> dict[str, Any]:
        """The keys and the sums."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            CheckpointMismatch: it holds something else, or sums of another kind.
        """
        if set(state) != set(STATE):
            raise CheckpointMismatch(f"sums are {sorted(STATE)}; the checkpoint has {set(state)}")
        if state["second"].dim() != self.second.dim():
            raise CheckpointMismatch(f"the checkpoint's sums are not of kind {self.kind!r}")
        for name in STATE:
            setattr(self, name, state[name].clone())

    def to(self, device: torch.device | str) -> None:
        """Hold the sums on a device, where features are held against them."""
        for name in STATE:
            setattr(self, name, getattr(self, name).to(device))

    def _keys(self, y: Tensor, task: Tensor | None) -> Tensor:
        if y.dim() != 1 or y.is_floating_point() or (len(y) and int(y.min()) < 0):
            raise InvalidValue(
                f"y has shape {tuple(y.shape)} and dtype {y.dtype}; closed-form classifiers take "
                "class labels from 0, (n,) int64"
            )
        if not self.per_task:
            return y
        if task is None:
            raise InvalidValue("per_task=True needs each row's task id; give batches task=...")
        return task * TASK + y

    def _laid_out(self, keys: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """The sums with a place for each of `keys`, which hold one's own."""
        count = torch.zeros(len(keys), dtype=torch.float64, device=keys.device)
        total = count.new_zeros(len(keys), width)
        second = count.new_zeros(_shape(self.kind, len(keys), width))
        if len(self):
            at = torch.searchsorted(keys, self.keys.to(keys.device))
            count[at], total[at] = self.count.to(count), self.sum.to(count)
            second[at if self.kind == "each" else ...] = self.second.to(count)
        return count, total, second


def _shape(kind: Kind, groups: int, width: int) -> tuple[int, ...]:
    return {"spherical": (), "shared": (width, width), "each": (groups, width, width)}[kind]


def _everyones(engine: Engine, numbers: list[int]) -> Tensor:  # (ranks, len(numbers)) int64
    """Each rank's numbers, each below 2**32, on every rank."""
    assert engine.ranks is not None  # noqa: S101
    size = engine.ranks.size
    mine = torch.zeros(size, len(numbers), dtype=torch.float64, device=engine.device)
    mine[engine.ranks.rank] = torch.tensor(numbers, dtype=torch.float64)
    return (engine.average({"": mine})[""] * size).round().long()
