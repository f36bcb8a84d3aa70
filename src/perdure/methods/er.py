from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from perdure.batch import Batch
from perdure.errors import InvalidValue, check_range
from perdure.learner import Learner
from perdure.memory import Balanced, Herding, Memory, Reservoir
from perdure.method import Method, Needs
from perdure.step import Step

Policy = Literal["reservoir", "balanced", "herding"]
Write = Literal["step", "boundary"]


class ER(Method):
    """Learn rows drawn from a memory of the past beside the incoming ones.

        loss = (1 - share) * mean over incoming rows + share * mean over recalled rows

    Source: Chaudhry et al. 2019, "On tiny episodic memories", algorithm 1,
        https://arxiv.org/abs/1902.10486; the shares of "tasks" are those of van de Ven, Tuytelaars
        & Tolias 2022, https://doi.org/10.1038/s42256-022-00568-3.
    Differs: rows are drawn with replacement; a memory of no more than `rows` is recalled whole, as
        both programs do. With ten rows a class that is worth one to two points in class.
    Needs: nothing; but the task's rows for "boundary", boundaries for "tasks", features to herd.
    Keeps: `capacity` raw rows.

    Args:
        capacity: rows of the memory, >= 1.
        rows: rows to recall at each update, at most, >= 1; None is as many as come in.
        policy: which rows stay: "reservoir" is a uniform sample of all, "balanced" gives each label
            of each task its share, "herding" keeps those nearest to the mean feature of theirs.
        mix: share of the recalled rows in the loss. "rows": each row counts the same; "tasks":
            1 - 1/k in the k-th task, none in the first; a number in [0, 1): that share.
        write: "step" writes new rows at each update, "boundary" a task's rows when it ends.
        quota: rows a label of a task at most, >= 1, for "balanced" and "herding"; None: no limit.

    Raises:
        InvalidValue: an argument out of range, or two that exclude each other.

    Example:
        >>> from perdure import Learner
        >>> learner = Learner(torch.nn.Linear(4, 2), ER(capacity=100))
        >>> rows = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))
        >>> [len(learner.observe(rows).batch) for _ in range(2)]
        [4, 8]
    """

    keeps = ("memory",)

    def __init__(
        self,
        capacity: int = 500,
        rows: int | None = None,
        policy: Policy = "reservoir",
        mix: Literal["rows", "tasks"] | float = "rows",
        write: Write = "step",
        quota: int | None = None,
    ) -> None:
        check_range("ER", "rows", 1 if rows is None else rows, 1, float("inf"))
        if policy not in get_args(Policy) or write not in get_args(Write):
            raise InvalidValue(f"ER: no policy={policy!r} with write={write!r}; see its docstring")
        if not (mix in ("rows", "tasks") if isinstance(mix, str) else 0 <= mix < 1):
            raise InvalidValue(f"ER: mix is {mix!r}; it must be 'rows', 'tasks' or lie in [0, 1)")
        if policy == "herding" and write == "step":
            raise InvalidValue("ER: herding looks at a whole task; give write='boundary' with it")
        if policy == "reservoir" and quota is not None:
            raise InvalidValue("ER: a reservoir has no quota; give policy='balanced' with it")
        self.capacity, self.rows, self.policy = capacity, rows, policy
        self.mix, self.write, self.quota = mix, write, quota
        ends, herding, uniform = write == "boundary", policy == "herding", policy == "reservoir"
        grouped = Herding(capacity, quota) if herding else Balanced(capacity, "group", quota)
        self.memory: Memory = Reservoir(capacity) if uniform else grouped
        task_ends = ends or mix == "tasks"
        self.needs = Needs(task_ends, ends, raw_rows=True, features=herding, labels=not uniform)

    def recall(self, step: Step) -> Batch | None:
        """Rows of the past, weighted so that they have their share of the mean."""
        share = 1 - 1 / (step.learner.consolidations + 1) if self.mix == "tasks" else self.mix
        if not share:
            return None
        rows, memory = self.rows or step.current, self.memory
        drawn = memory.sample(rows) if len(memory) > rows else memory.rows()
        if drawn is None or isinstance(share, str):
            return drawn
        incoming = float(step.incoming.weights().sum())
        return drawn.weighted(share / (1 - share) * incoming / len(drawn))

    def settle(self, step: Step) -> None:
        """Remember the rows seen for the first time."""
        if self.write == "step":
            self.memory.add(step.incoming.fresh())

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Remember rows of the task that ended."""
        if self.write == "boundary":
            self.memory.add_all(data, learner.features)
