"""Projects that are learnt from in a moment, and answers made up to order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from perdure.batch import Batch
from perdure.live.aliases import serve
from perdure.live.answers import Answers, HeldOut
from perdure.live.project import Project
from perdure.live.registry import Version
from perdure.live.rows import Row

SETTINGS = """
name = "colours"
seed = 3

[schema]
kind = "tensor"
shape = [2]
classes = ["red", "green", "blue"]
tasks = {tasks}

[learner]
methods = []
lr = 0.05

[evaluation]
share = 0.5
capacity = {capacity}
max_spans = {max_spans}
slices = ["class", "source", "task"]
"""
MODEL = """
from torch import nn

def build(schema, classes):
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, classes))
"""
TASK_MODEL = """
from torch import nn
from perdure.nets import Classifier, MultiHead

def build(schema, classes):
    return Classifier(nn.Sequential(nn.Linear(2, 8), nn.ReLU()), MultiHead(8))
"""
CENTRES = {"red": (2.0, 0.0), "green": (-2.0, 0.0), "blue": (0.0, 3.0)}


class Line:
    """A project and what is done to it: rows sent, versions made, one of them serving.

    Args:
        directory: where it is made.
        model: the model's file.
        said: settings of the template.
    """

    def __init__(self, directory: Path, model: str = MODEL, **said: object) -> None:
        directory.mkdir()
        defaults = {"tasks": "false", "capacity": 60, "max_spans": 4}
        (directory / "perdure.toml").write_text(SETTINGS.format(**{**defaults, **said}), "utf-8")
        (directory / "model.py").write_text(model, "utf-8")
        self.project = Project(directory)

    def rows(self, first: int, count: int, **said: object) -> list[Row]:
        """Rows by number, always the same: colours in turn, each around its centre."""
        made = []
        for number in range(first, first + count):
            label = list(CENTRES)[number % 3]
            noise = np.random.default_rng(number).normal(scale=0.5, size=2)
            x = (noise + CENTRES[label]).astype(np.float32)
            made.append(Row(**{"id": f"row-{number}", "features": x, "label": label, **said}))
        return made

    def send(self, rows: list[Row]) -> int:
        """Append them; the seq of the last."""
        self.project.log.append(rows).result()
        return self.project.log.head()

    def make(self, steps: int = 60, wrong: bool = False, parent: int | None = None) -> Version:
        """A version that learnt the log's rows for so many updates, with wrong labels if asked."""
        project = self.project
        learner = project.learner() if parent is None else project.load(parent)
        batch = project.log.examples(0, project.log.head()).batch
        y = (batch.y + 1) % 3 if wrong else batch.y
        for _ in range(steps):
            learner.observe(Batch(batch.x, y, batch.task))
        return self.keep(learner.state_dict(), parent)

    def keep(self, state: dict, parent: int | None = None) -> Version:
        """A state as a version."""
        project = self.project
        job = project.jobs.ask("update", "a test", "tester")
        project.jobs.start(job.id, parent, 0, project.log.head())
        number = project.registry.create(
            state, parent=parent, job=job.id, after=0, upto=project.log.head(), note={}
        )
        self.end(job.id)
        return project.registry.get(number)

    def end(self, job: int) -> None:
        """End a job, so that the next can begin."""
        self.project.database.transact(
            lambda c: c.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (job,))
        )

    def serve(self, made: Version) -> Version:
        """Let a version be the champion."""
        self.project.database.transact(lambda c: serve(c, made.version, "tester", "a test"))
        return made


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    """Make projects, closed in the end."""
    made: list[Line] = []

    def new(model: str = MODEL, **said: object) -> Line:
        made.append(Line(tmp_path / f"project-{len(made)}", model, **said))
        return made[-1]

    yield new
    for one in made:
        one.project.close()


@pytest.fixture
def task_model() -> str:
    """The file of a model with a head a task."""
    return TASK_MODEL


@pytest.fixture
def pair() -> Callable[..., tuple[Answers, Answers]]:
    """Answers of a champion (1) and a challenger (2), from counts or chances."""
    return made_up


def made_up(
    spans: list[tuple[int, int, int]], *, right: float = 0.9, slices: int = 0, anchor: tuple = ()
) -> tuple[Answers, Answers]:
    """Both answers to spans of (rows, lost, gained); the others are right in both, or wrong.

    Args:
        spans: rows, rows lost and rows gained of each.
        right: share of the rows that do not change which both have right.
        slices: how many classes to tell apart, row by row in turn.
        anchor: right before, right after, and rows of the anchor.
    """
    before, after, span = [], [], []
    for number, (rows, lost, gained) in enumerate(spans, 1):
        same = np.arange(rows - lost - gained) < right * (rows - lost - gained)
        before += [True] * lost + [False] * gained + same.tolist()
        after += [False] * lost + [True] * gained + same.tolist()
        span += [number] * rows
    if anchor:
        before += [i < anchor[0] for i in range(anchor[2])]
        after += [i < anchor[1] for i in range(anchor[2])]
        span += [-1] * anchor[2]
    n = len(span)
    y = np.arange(n) % max(slices, 1)
    masks = {f"class:{k}": y == k for k in range(slices)}
    held = HeldOut(np.arange(n), y, np.array(span), np.arange(n), masks)
    return (
        Answers(1, held, np.where(before, y, -1)),
        Answers(2, held, np.where(after, y, -1)),
    )
