"""What versions would have answered to rows that nobody asked them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from perdure.errors import UnseenTask
from perdure.learner import Learner
from perdure.live.project import Project
from perdure.live.shift import needs_task
from perdure.model import HasFeatures

ROWS, FEWEST = 256, 4
"""Rows that a learner is asked at a time: of fewer than four, BLAS gives other last bits."""
Answer = tuple[int, int, float]
"""Version, label (-1 where it could not answer) and confidence."""


@dataclass(frozen=True)
class Asked:
    """A row that nobody asked for.

    Attributes:
        seq: of its example.
        learnt: whether versions learn from it, once they are past `seq`.
        task: its id, or None.
        place: (segment, slot) of its features.
    """

    seq: int
    learnt: bool
    task: int | None
    place: tuple[int, int]


class Versions:
    """The learners of versions that have served, in memory while they are needed."""

    def __init__(self) -> None:
        self._learners: dict[tuple[int, int], Learner] = {}
        self._used: set[tuple[int, int]] = set()
        self._upto: dict[int, tuple[int, int]] = {}
        self._offers: bool | None = None

    def refresh(self, project: Project) -> None:
        """Look again at which versions there are; let go of those not used since the last time."""
        found = project.database.read(
            "SELECT version, upto, redactions FROM served JOIN versions USING (version)"
            " WHERE state != 'removed' AND rolled_back = 0 ORDER BY until IS NULL DESC, id DESC"
        )
        self._upto = {row["version"]: (row["upto"], row["redactions"]) for row in found}
        present = {(version, redactions) for version, (_, redactions) in self._upto.items()}
        kept = self._used & present
        self._learners = {key: held for key, held in self._learners.items() if key in kept}
        self._used = set()

    def answers(self, project: Project, rows: Sequence[Asked]) -> list[Answer | None]:
        """One answer a row, by the latest version that has not learnt it; None where none is."""
        found: list[Answer | None] = [None] * len(rows)
        by_version: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            version = self._innocent(row)
            if version is not None:
                by_version.setdefault(version, []).append(index)
        for version, indices in by_version.items():
            given = self._ask(project, version, [rows[i] for i in indices])
            for index, answer in zip(indices, given, strict=True):
                found[index] = answer
        return found

    def encoder(self, project: Project, last: int | None) -> int:
        """The version whose features to watch: `last` while it is there, or else the champion.

        Returns:
            Its number; 0 for the inputs as they are, where the model offers no features.
        """
        if last in self._upto:
            return last or 0
        if self._offers is None:
            self._offers = isinstance(project.model(), HasFeatures)
        return next(iter(self._upto), 0) if self._offers else 0

    def features(self, project: Project, version: int, x: Tensor, rows: int) -> Tensor:  # (n, d)
        """Features of raw inputs by a version, `rows` at a time; the inputs themselves for 0."""
        if not version:
            return x.flatten(1).float()
        learner = self._learner(project, version)
        return torch.cat([learner.features(part).cpu().flatten(1) for part in x.split(rows)])

    def _innocent(self, row: Asked) -> int | None:
        fit = (v for v, (upto, _) in self._upto.items() if upto < row.seq or not row.learnt)
        return next(fit, None)

    def _learner(self, project: Project, version: int) -> Learner:
        key = (version, self._upto[version][1])
        if key not in self._learners:
            self._learners[key] = project.load(version)
        self._used.add(key)
        return self._learners[key]

    def _ask(self, project: Project, version: int, rows: Sequence[Asked]) -> list[Answer]:
        learner = self._learner(project, version)
        classes = len(project.classes())
        x = project.schema.decode(project.segments.read(row.place for row in rows))
        found: list[Answer] = [(version, -1, 0.0)] * len(rows)
        for task in dict.fromkeys(row.task for row in rows) if needs_task(learner) else [None]:
            mine = [i for i, row in enumerate(rows) if not needs_task(learner) or row.task == task]
            if task is None and needs_task(learner):
                continue
            for part in torch.tensor(mine).split(ROWS):
                given = _answered(learner, x[part], task, classes)
                for index, (label, confidence) in zip(part.tolist(), given, strict=True):
                    found[index] = (version, label, confidence)
        return found


def _answered(
    learner: Learner, x: Tensor, task: int | None, classes: int
) -> list[tuple[int, float]]:
    """Label and confidence of each row; -1 and 0 where the learner has no answer."""
    rows = torch.arange(max(len(x), FEWEST)).clamp(max=len(x) - 1)
    try:
        outputs = learner.predict(x[rows], task)[: len(x), :classes].double().cpu()
    except UnseenTask:
        return [(-1, 0.0)] * len(x)
    if not outputs.shape[1]:
        return [(-1, 0.0)] * len(x)
    finite = outputs.isfinite().all(1)
    confidence, label = outputs.softmax(1).max(1)
    return list(
        zip(
            torch.where(finite, label, -1).tolist(),
            torch.where(finite, confidence, 0.0).tolist(),
            strict=True,
        )
    )
