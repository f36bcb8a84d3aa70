"""Run an experiment: fold its stream into its learner, and measure on the way."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

import perdure
from perdure.bench.build import build
from perdure.bench.experiment import Experiment
from perdure.bench.result import Curve, Result
from perdure.errors import Impossible, UnseenTask
from perdure.folding import Position, fold
from perdure.learner import Learner
from perdure.measure import AccuracyMatrix, Cost, Meter
from perdure.scenario import Scenario
from perdure.streams import Rows, Stream, Task

WATCHED = frozenset(digit * 10**power for power in range(6) for digit in (1, 2, 5))
"""Updates of a task after which its accuracy is measured: 1, 2, 5, 10, 20, 50, 100, ..."""

Progress = Callable[[int, int], object]
"""Called after every batch with how many are done, and how many there will be."""


def unseen(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Stage:
    """What was measured up to the end of one task; the first comes before any training.

    Attributes:
        task: index of the task that ended, -1 before the first.
        accuracies: of every task of the stream; None where the model cannot answer yet.
        curve: accuracy on the task that ended, after so many of its updates.
        cost: of all training so far.
    """

    task: int
    accuracies: tuple[float | None, ...]
    curve: Curve
    cost: Cost


def run(experiment: Experiment, progress: Progress = unseen) -> Result:
    """Do what `experiment` says, on one CPU thread, and return all that was measured.

    Accuracies are those on the test rows, or on the held-out rows where `experiment.holdout` is
    set. What a method spends at a boundary, and on its first answer after it, counts as well.

    Raises:
        Impossible: scenario, model and method cannot work together, or the kind is "nic".
        DataUnavailable: the data set is neither here nor downloadable.
        NonFinite: training diverged.

    Example:
        >>> from perdure.folding import Schedule
        >>> result = run(Experiment("digits", method="naive", schedule=Schedule(steps=5)))
        >>> len(result.matrix.tasks), result.cost.updates
        (5, 25)
    """
    if experiment.kind == "nic":
        raise Impossible(
            "all batches of kind 'nic' share one test set, so that a matrix of tasks says nothing; "
            "run it with `perdure lifecycle`, which draws curves over batches"
        )
    with one_thread():
        stream, learner = build(experiment)
        return collected(experiment, stream, list(stages(experiment, stream, learner, progress)))


def collected(experiment: Experiment, stream: Stream, found: Sequence[Stage]) -> Result:
    """The result of a run, from all its stages."""
    before, *ended = found
    matrix = AccuracyMatrix.from_columns(
        [stage.accuracies for stage in ended],
        [task.name for task in stream],
        before.accuracies,
    )
    curves = tuple(stage.curve for stage in ended)
    return Result(experiment, matrix, ended[-1].cost, curves, environment())


def stages(
    experiment: Experiment,
    stream: Stream,
    learner: Learner,
    progress: Progress = unseen,
) -> Iterator[Stage]:
    """Measure every task before training, then train on one task after another and measure again.

    Measuring costs nothing: the meter runs only while the learner learns, and for one answer after
    each task.
    """
    shown = [_shown(task) for task in stream]
    accuracies = tuple(evaluate(learner, rows, stream.scenario) for rows in shown)
    meter = Meter(learner)
    yield Stage(-1, accuracies, (), meter.cost)
    counted = _Count(experiment, stream, progress)
    positions = fold(meter, stream, experiment.schedule, seed=experiment.seed)
    curve: Curve = ((0, accuracies[0]),)
    while True:
        with meter:
            position = _next_watched(positions, counted)
        if position is None:
            return
        if not position.closed:
            now = evaluate(learner, shown[position.task], stream.scenario)
            curve = (*curve, (position.batch, now))
            continue
        asked = shown[position.task] or stream.training_rows(position.task)  # some hold none out
        first_answer(meter, asked, stream.scenario)
        accuracies = tuple(evaluate(learner, rows, stream.scenario) for rows in shown)
        curve = (*curve, (position.batch, accuracies[position.task]))
        yield Stage(position.task, accuracies, curve, meter.cost)
        curve = ((0, accuracies[(position.task + 1) % len(shown)]),)


def evaluate(learner: Learner, rows: Rows, scenario: Scenario) -> float | None:
    """Accuracy on the rows, which may use their task ids in scenario `task` alone.

    None where there are no rows, or the model has no part yet for their task, or no outputs at all.

    Raises:
        Impossible: the rows have targets of a regression.
    """
    if rows.y.is_floating_point():
        raise Impossible(
            f"accuracy is of labels, and these rows have targets of {rows.y.dtype}: measure a "
            "regression by its own loss"
        )
    hits = 0
    for batch in rows:
        task = batch.task if scenario.task_at_inference else None
        try:
            outputs = learner.predict(batch.x, task)
        except UnseenTask:
            return None
        if not outputs.shape[1]:
            return None
        hits += int((outputs.argmax(1).to(batch.y.device) == batch.y).sum())
    return hits / len(rows) if len(rows) else None


def first_answer(meter: Meter, rows: Rows, scenario: Scenario) -> None:
    """Charge the meter for an answer to one of these rows, of a task that was just learnt.

    What learns in closed form solves there, and would look nearly free without it.
    """
    one = rows.batch(torch.tensor([0]), new=False)
    with meter:
        meter.predict(one.x, one.task if scenario.task_at_inference else None)


def environment() -> dict[str, str]:
    """The versions and the machine that a run's numbers hang on."""
    return {
        "perdure": perdure.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": "1",
    }


class _Count:
    """Batches done and to be done, `of` each task and in all."""

    def __init__(self, experiment: Experiment, stream: Stream, progress: Progress) -> None:
        rows = [len(stream.training_rows(index)) for index in range(len(stream))]
        self.of = list(map(experiment.schedule.updates, rows))
        self.total = sum(self.of)
        self.done = 0
        self.progress = progress

    def add(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _next_watched(positions: Iterator[Position], counted: _Count) -> Position | None:
    """Learn until something is to be measured; None at the end of the stream.

    A task's last update is not watched: what is measured right after it stands for it.
    """
    for position in positions:
        if position.closed:
            return position
        counted.add()
        if position.batch in WATCHED and position.batch < counted.of[position.task]:
            return position
    return None


def _shown(task: Task) -> Rows:
    return task.test if task.valid is None else task.valid


@contextmanager
def one_thread() -> Iterator[None]:
    """Small models run fastest on one thread, and seconds compare only at equal threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
