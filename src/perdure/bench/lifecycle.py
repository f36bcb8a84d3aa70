"""A learner's life over a long stream: what it knows and what it costs, measured at every batch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perdure import checkpoint
from perdure.bench.build import build
from perdure.bench.experiment import Experiment
from perdure.bench.running import Progress, first_answer, one_thread, unseen
from perdure.errors import CheckpointMismatch, Impossible
from perdure.folding import Position, Schedule, fold
from perdure.learner import Learner
from perdure.measure import Cost, LifeCycle, Meter, Moment
from perdure.streams import Rows, Stream
from perdure.streams.joined import joined

PATIENCE = 5.0  # seconds from one checkpoint to the next


def life(
    experiment: Experiment, folder: str | Path, *, every: int = 1, progress: Progress = unseen
) -> LifeCycle:
    """The life cycle that an experiment describes, resumable, under the method's name.

    Args:
        experiment: such as one of kind "nic".
        folder: for the JSON files of life cycles, one an experiment.
        every: batches from one measurement of accuracy to the next.
        progress: is told how many batches are done.

    Raises:
        Impossible: scenario, model and method cannot work together.
        NonFinite: training diverged.
    """
    stream, learner = build(experiment)
    path = Path(folder) / f"{experiment.method}-{experiment.key}.json"
    return live_through(
        learner,
        stream,
        experiment.schedule,
        path,
        name=experiment.method,
        seed=experiment.seed,
        every=every,
        progress=progress,
    )


def live_through(
    learner: Learner,
    stream: Stream,
    schedule: Schedule,
    path: str | Path,
    *,
    name: str,
    seed: int = 0,
    every: int = 1,
    progress: Progress = unseen,
) -> LifeCycle:
    """Feed a stream to a learner, batch by batch, and measure after each; on one CPU thread.

    A batch is a task of the stream: its updates, and what methods do where it ends. Its cost is all
    that it takes until the learner can answer, so the first answer to one row counts as well:
    methods in closed form solve there. Where a batch is a single update, its seconds include those
    of counting its FLOPs. Measuring accuracy costs nothing.

    Stop it however you like: the same call goes on where the last checkpoint was, to the same bits.
    A life that is over is read and not lived again.

    Args:
        learner: untrained, made in the same way at each call.
        stream: of classes, in a scenario without task ids at inference.
        schedule: rows an update, and passes over each batch.
        path: of the JSON file with all moments; until it is there, a checkpoint lies beside it.
        name: of what learns.
        seed: of the order of rows.
        every: batches from one measurement of accuracy to the next; the last is always measured.
        progress: is told how many batches are done.

    Raises:
        Impossible: the scenario is `task`, or the stream is a regression.
        CheckpointMismatch: the file is of another learner, stream or schedule.
    """
    _need_classes(stream)
    about = {
        "name": name,
        "learner": repr(learner),
        "optimiser": _optimiser(learner),
        "stream": stream.name,
        "batches": len(stream),
        "schedule": asdict(schedule),
        "seed": seed,
        "every": every,
    }
    diary = Diary(Path(path), about)
    moments = diary.resume(learner)
    test = _whole_test(stream)
    with one_thread():
        for index in range(len(moments), len(stream)):
            cost = _learn(learner, stream, schedule, seed, index)
            shown = index % every == 0 or index == len(stream) - 1
            moments.append(_moment(learner, stream, index, test if shown else None, cost))
            diary.note(moments, learner)
            progress(len(moments), len(stream))
    return diary.close(moments)


class Diary:
    """The moments of one life cycle on disk, and a checkpoint to go on from until it is over.

    Args:
        path: of the JSON file.
        about: what it is the life cycle of.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.state = path.with_suffix(".safetensors")
        self.about = dict(about)
        self.noted = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)

    def resume(self, learner: Learner) -> list[Moment]:
        """The moments that need not be lived again; the learner is as it was after the last."""
        if self.path.exists():
            return self._moments(json.loads(self.path.read_text("utf-8")))
        if not self.state.exists():
            return []
        held = checkpoint.load(self.state)
        moments = self._moments(held)
        learner.load_state_dict(held["learner"])
        return moments

    def note(self, moments: list[Moment], learner: Learner) -> None:
        """Leave a checkpoint where the last one is old."""
        if time.monotonic() - self.noted < PATIENCE:
            return
        checkpoint.save(self.state, {**self._said(moments), "learner": learner.state_dict()})
        self.noted = time.monotonic()

    def close(self, moments: list[Moment]) -> LifeCycle:
        """The life is over: its moments are written, and nothing is left to go on with."""
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self._said(moments)) + "\n", "utf-8")
        beside.replace(self.path)
        self.state.unlink(missing_ok=True)
        return LifeCycle(str(self.about["name"]), tuple(moments))

    def _said(self, moments: list[Moment]) -> dict[str, Any]:
        return {"about": self.about, "moments": [asdict(moment) for moment in moments]}

    def _moments(self, held: Mapping[str, Any]) -> list[Moment]:
        if held["about"] != self.about:
            raise CheckpointMismatch(
                f"{self.path} is the life cycle of {held['about']}, and this one is of "
                f"{self.about}; name another file"
            )
        return [Moment.from_dict(moment) for moment in held["moments"]]


def _optimiser(learner: Learner) -> str:
    """Its class and learning rate, also where there is nothing to train yet."""
    made = learner.optimiser.torch
    return f"{type(made).__name__}(lr={made.defaults.get('lr')})"


def _need_classes(stream: Stream) -> None:
    if stream.scenario.task_at_inference:
        raise Impossible(
            "a life cycle is measured on all classes after every batch, and in scenario 'task' the "
            "tasks to come have no outputs yet; use 'class', 'domain' or 'free'"
        )
    if stream.tasks[0].train.y.is_floating_point():
        raise Impossible(f"a life cycle is measured by accuracy, and {stream.name} has no classes")


def _learn(learner: Learner, stream: Stream, schedule: Schedule, seed: int, index: int) -> Cost:
    """Of one batch, and of the first answer after it."""
    meter = Meter(learner)
    with meter:
        for position in fold(meter, stream, schedule, seed=seed, start=Position(index)):
            if position.closed:
                break
    first_answer(meter, stream.training_rows(index), stream.scenario)
    return meter.cost


def _moment(learner: Learner, stream: Stream, index: int, test: Rows | None, cost: Cost) -> Moment:
    labels = torch.cat([task.train.labels() for task in stream.tasks[: index + 1]]).cpu()
    seen = labels.unique()
    accuracy, known = (None, None) if test is None else _accuracies(learner, test, seen)
    held = tensor_bytes(learner.state_dict())
    return Moment(len(labels), len(seen), accuracy, known, held, cost)


def _accuracies(learner: Learner, test: Rows, seen: Tensor) -> tuple[float, float | None]:
    """On all rows, and on those of the classes (k,) seen; None where there are no such rows."""
    hits = []
    for batch in test:
        out = learner.predict(batch.x)
        answered = out.argmax(1).cpu() if out.shape[1] else torch.full((len(batch),), -1)
        hits.append(answered == batch.y.cpu())
    hit = torch.cat(hits).double()  # (m,)
    known = hit[torch.isin(test.labels().cpu(), seen)]
    return float(hit.mean()), float(known.mean()) if len(known) else None


def _whole_test(stream: Stream) -> Rows:
    """All rows to measure on, each once: held-out ones where there are any."""
    shown = (task.test if task.valid is None else task.valid for task in stream)
    parts = list({id(rows): rows for rows in shown if len(rows)}.values())
    return joined(parts) if len(parts) > 1 else parts[0]


def tensor_bytes(state: object) -> int:
    """Bytes of all tensors in mappings and lists."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(map(tensor_bytes, state.values()))
    return sum(map(tensor_bytes, state)) if isinstance(state, list | tuple) else 0
