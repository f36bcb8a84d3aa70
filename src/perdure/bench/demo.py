"""The whole idea in under a minute: four learners live through the same stream of digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from perdure.bench.build import build
from perdure.bench.experiment import Experiment
from perdure.bench.grids import grid
from perdure.bench.result import Result
from perdure.bench.running import Stage, collected, one_thread, stages
from perdure.folding import Schedule
from perdure.measure import Cost, savings
from perdure.streams import Stream

LEARNERS = {
    "frozen": "deployed once",
    "naive": "fine-tuned",
    "der++": "perdure",
    "joint": "retrained",
}
"""Methods of the demo, and what they are called in its story."""

MEMORY = 200
SCHEDULE = Schedule(batch_size=32, steps=100)


def experiments(seeds: int) -> list[Experiment]:
    """Digits in pairs, then all of them noisy, then inverted; seed after seed."""
    base = Experiment(
        data="digits",
        kind="shifting",
        order=tuple(range(10)),
        hidden=(128, 128),
        schedule=SCHEDULE,
    )
    return grid(base, list(LEARNERS), ["class"], range(seeds), {"der++": {"capacity": MEMORY}})


@dataclass(frozen=True)
class Scene:
    """What one task did to the learners.

    Attributes:
        task: its index; -1 is before the first.
        name: of the task.
        accuracy: by method: mean over seeds and over the tasks so far, this one included.
    """

    task: int
    name: str
    accuracy: dict[str, float]


class Play:
    """All runs of the demo, in step: every learner ends a task before any begins the next.

    Args:
        runs: what to run.
    """

    def __init__(self, runs: Sequence[Experiment]) -> None:
        self.runs = list(runs)
        self.built = [build(run) for run in self.runs]
        self.found: list[list[Stage]] = [[] for _ in self.runs]

    @property
    def stream(self) -> Stream:
        """What all runs learn from."""
        return self.built[0][0]

    def scenes(self) -> Iterator[Scene | Experiment]:
        """Each run's experiment when it has ended a task, and a scene when all of them have."""
        parts = [
            stages(run, stream, learner)
            for run, (stream, learner) in zip(self.runs, self.built, strict=True)
        ]
        for task in range(-1, len(self.stream)):
            for run, part, found in zip(self.runs, parts, self.found, strict=True):
                with one_thread():
                    found.append(next(part))
                yield run
            yield self._scene(task)

    def results(self) -> list[Result]:
        """What the runs gave, once all scenes are over."""
        return [
            collected(run, stream, found)
            for run, (stream, _), found in zip(self.runs, self.built, self.found, strict=True)
        ]

    def _scene(self, task: int) -> Scene:
        by_method: dict[str, list[float]] = {}
        for run, found in zip(self.runs, self.found, strict=True):
            seen = [a for a in found[-1].accuracies[: max(task, 0) + 1] if a is not None]
            by_method.setdefault(run.method, []).append(fmean(seen))
        name = self.stream.tasks[task].name if task >= 0 else "before training"
        return Scene(task, name, {method: fmean(each) for method, each in by_method.items()})


def conclusion(results: Sequence[Result]) -> str:
    """Two sentences, from the numbers alone."""
    accuracy = {name: _mean(results, name, "accuracy") for name in LEARNERS}
    ours, joint = accuracy["der++"], accuracy["joint"]
    spared = savings(_cost(results, "der++"), _cost(results, "joint"), ours, joint)
    first = (
        f"At the end perdure answers {ours:.1%} of all that it ever learned, fine-tuning "
        f"{accuracy['naive']:.1%}, the model that was deployed once {accuracy['frozen']:.1%} and "
        f"retraining from scratch {joint:.1%}."
    )
    gap = 100 * (ours - joint)
    side = "above" if gap > 0 else "below"
    flops = spared.flops or 0.0
    cost = f"{flops:.1f} times less" if flops >= 1 else f"{1 / flops:.1f} times more"
    second = (
        f"It computes {cost} than retraining does and keeps {MEMORY} rows where retraining keeps "
        f"all of them, and it stands {abs(gap):.1f} points {side} it."
    )
    return f"{first} {second}"


def _mean(results: Sequence[Result], method: str, measure: str) -> float:
    values = [r.measures()[measure] for r in results if r.experiment.method == method]
    return fmean(value for value in values if value is not None)


def _cost(results: Sequence[Result], method: str) -> Cost:
    return sum((r.cost for r in results if r.experiment.method == method), Cost())
