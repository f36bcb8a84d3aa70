"""Who is compared: the loop, its first version left alone, fine-tuning, training from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from perdure.learner import Learner
from perdure.live.demo.scenes import Labels, Pixels, Scene
from perdure.live.project import Project, optimizer_of
from perdure.live.update import schedule_of
from perdure.measure.matrix import AccuracyMatrix
from perdure.measure.meter import Meter
from perdure.streams.rows import Rows

DIGITS: Final = np.arange(10, dtype=np.int64)
"""What the outputs of a network stand for that nobody told of new classes one by one."""


@dataclass
class Rival:
    """How somebody did.

    Args:
        name: for people.
        accuracy: a line a scene learnt: accuracy on each scene's test rows.
        flops: of all training.
    """

    name: str
    accuracy: list[list[float]] = field(default_factory=list)
    flops: float = 0.0

    def matrix(self, tasks: Sequence[str]) -> AccuracyMatrix:
        """As `perdure.measure` holds it: a line for each task, a column for each time."""
        return AccuracyMatrix(np.array(self.accuracy).T.tolist(), tuple(tasks))


def of_versions(
    name: str, project: Project, versions: Sequence[int], scenes: Sequence[Scene], flops: float
) -> Rival:
    """What the service answered with, as its files have it.

    Args:
        name: for people.
        project: whose versions they are.
        versions: that served at the end of each scene.
        scenes: to be tested on.
        flops: that they took.
    """
    digits = np.array(project.classes(), np.int64)  # the loop numbers classes as they come
    known = {v: _accuracies(project.load(v), scenes, digits) for v in set(versions)}
    return Rival(name, [known[version] for version in versions], flops)


def fine_tuned(project: Project, scenes: Sequence[Scene]) -> Rival:
    """The same model and passes, trained on what is new alone."""
    rival, learner = Rival("naive fine-tuning"), _bare(project)
    for scene in scenes:
        rival.flops += _train(project, learner, scene.x, scene.y)
        rival.accuracy.append(_accuracies(learner, scenes))
    return rival


def from_scratch(project: Project, scenes: Sequence[Scene]) -> Rival:
    """The same model and passes, trained anew on everything at every step."""
    rival = Rival("from scratch")
    for count in range(1, len(scenes) + 1):
        learner = _bare(project)
        x = np.concatenate([scene.x for scene in scenes[:count]])
        y = np.concatenate([scene.y for scene in scenes[:count]])
        rival.flops += _train(project, learner, x, y)
        rival.accuracy.append(_accuracies(learner, scenes))
    return rival


def _bare(project: Project) -> Learner:
    torch.manual_seed(project.settings.seed)  # new outputs of a growing head are drawn at random
    return Learner(
        project.model(),
        optimizer=optimizer_of(project.settings.learner),
        seed=project.settings.seed,
    )


def _train(project: Project, learner: Learner, x: Pixels, y: Labels) -> float:
    """Learn rows as an update does; the FLOPs that it took."""
    schedule = schedule_of(project.settings)
    drawn = Rows(torch.from_numpy(x), torch.from_numpy(y)).batches(
        schedule.batch_size, seed=learner.updates, epochs=schedule.epochs, steps=schedule.steps
    )
    with Meter(learner) as meter:
        for batch in drawn:
            meter.observe(batch)
    return meter.cost.flops


def _accuracies(learner: Learner, scenes: Sequence[Scene], digits: Labels = DIGITS) -> list[float]:
    return [_accuracy(learner, scene, digits) for scene in scenes]


def _accuracy(learner: Learner, scene: Scene, digits: Labels) -> float:
    out: Tensor = learner.predict(torch.from_numpy(scene.test_x))  # (n, classes)
    return float((digits[out.argmax(1).numpy()] == scene.test_y).mean())
