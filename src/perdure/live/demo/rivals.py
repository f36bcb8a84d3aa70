"""What the loop is compared with: naive fine-tuning, and retraining from scratch at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from perdure.learner import Learner
from perdure.live.demo.scenes import Scene
from perdure.live.project import Project, optimizer_of
from perdure.live.update import schedule_of
from perdure.measure.cost import Cost
from perdure.measure.matrix import AccuracyMatrix
from perdure.measure.meter import Meter
from perdure.streams.rows import Rows


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


def fine_tuned(project: Project, scenes: Sequence[Scene]) -> Rival:
    """The same model and budget, trained on what is new alone."""
    rival, learner = Rival("naive fine-tuning"), _bare(project)
    for scene in scenes:
        rival.flops += _train(project, learner, scene.x, scene.y).flops
        rival.accuracy.append([_accuracy(learner, held) for held in scenes])
    return rival


def from_scratch(project: Project, scenes: Sequence[Scene]) -> Rival:
    """The same model, trained anew on everything at every step."""
    rival = Rival("retrained from scratch")
    for count in range(1, len(scenes) + 1):
        learner = _bare(project)
        x = np.concatenate([scene.x for scene in scenes[:count]])
        y = np.concatenate([scene.y for scene in scenes[:count]])
        rival.flops += _train(project, learner, x, y).flops
        rival.accuracy.append([_accuracy(learner, held) for held in scenes])
    return rival


def _bare(project: Project) -> Learner:
    return Learner(
        project.model(),
        optimizer=optimizer_of(project.settings.learner),
        seed=project.settings.seed,
    )


def _train(project: Project, learner: Learner, x: np.ndarray, y: np.ndarray) -> Cost:
    schedule = schedule_of(project.settings)
    drawn = Rows(torch.from_numpy(x), torch.from_numpy(y)).batches(
        schedule.batch_size, seed=learner.updates, epochs=schedule.epochs, steps=schedule.steps
    )
    with Meter(learner) as meter:
        for batch in drawn:
            meter.observe(batch)
    return meter.cost


def _accuracy(learner: Learner, scene: Scene) -> float:
    out: Tensor = learner.predict(torch.from_numpy(scene.test_x))
    return float((out.argmax(1).numpy() == scene.test_y).mean())
