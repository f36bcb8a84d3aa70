"""One update: fold the log's new examples into a challenger, resumable at any batch.

What an update does depends on its parent's state and on the rows alone, in the order of their
labels: the same rows give the same challenger bit for bit, however often it was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure import checkpoint
from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.folding import Schedule
from perdure.learner import Learner
from perdure.live.fairness import fair
from perdure.live.freezing import frozen
from perdure.live.jobs import Job
from perdure.live.log import Examples
from perdure.live.project import Project
from perdure.live.refusals import Conflict
from perdure.live.registry import Version
from perdure.live.settings import Settings
from perdure.measure.cost import Cost
from perdure.measure.meter import Meter
from perdure.memory import retention
from perdure.memory.erasing import forget
from perdure.streams.rows import Rows

Report = Callable[[int, int], None]
CLOSING = 1024  # rows a batch, where a task is closed


def unheard(done: int, total: int) -> None:
    """The report that nobody listens to."""


@dataclass(frozen=True)
class Stretch:
    """Examples to learn: after < seq <= upto, on top of a parent, None for an untrained learner."""

    parent: int | None
    after: int
    upto: int


@dataclass(frozen=True)
class Place:
    """Where in an update a fold stands.

    Args:
        group: of rows of one task.
        batch: batches of it learnt so far.
        done: batches of the whole update learnt so far.
    """

    group: int = 0
    batch: int = 0
    done: int = 0


@dataclass(frozen=True)
class Challenger:
    """What an update made.

    Args:
        learner: after the last row.
        cost: of learning it; what was lost by an interruption is not in it.
        rows: examples that it learnt.
        left_out: examples of sources that had more than their share, and revised labels.
    """

    learner: Learner
    cost: Cost
    rows: int
    left_out: int


def plan(project: Project, job: Job) -> Job:
    """Fix what a job will learn: what came since its parent, or the newest rows of the log.

    Raises:
        Conflict: the mode is to observe, or the project is frozen and the job has not begun.
    """
    _check_learns(project, job)
    found = stretch(project)
    return project.jobs.start(job.id, found.parent, found.after, found.upto)


def stretch(project: Project) -> Stretch:
    """What an update would learn now.

    From scratch it is the newest rows: the oldest ones would be the same every time.
    """
    parent, most = _parent(project), project.settings.update.max_rows
    if parent is None and project.settings.update.start == "scratch":
        return Stretch(None, project.log.before(most), project.log.head())
    after = 0 if parent is None else parent.upto
    return Stretch(None if parent is None else parent.version, after, project.log.upto(after, most))


def fold(project: Project, job: Job, report: Report = unheard) -> Challenger:
    """Learn the job's examples; goes on from the last checkpoint of an interrupted run.

    Args:
        project: its log, and its registry for the parent.
        job: planned.
        report: is told the batches learnt and their total, once a second at most.

    Raises:
        InvalidValue: there is nothing to learn.
    """
    if job.after is None or job.upto is None:
        raise InvalidValue(f"job {job.id} has no plan; call plan(project, job) first")
    found = project.log.examples(job.after, job.upto)
    fair = fair_rows(newest_labels(found), project.settings.abuse.max_source_share)
    if not len(fair):
        raise InvalidValue(
            f"there are no labelled rows to learn after seq {job.after}; ingest some first"
        )
    if job.parent is None:
        torch.manual_seed(project.settings.seed)  # a version brings its own, as part of its state
    learner = project.learner() if job.parent is None else project.load(job.parent)
    parts = groups(fair.batch, project.settings)
    order = project.settings.seed * 1_000_003 + learner.updates
    start, spent = _resumed(learner, job, path_of(project, job))
    if start == Place():
        forget(learner, fair.batch.extras["row"][torch.from_numpy(fair.revisions > 0)])
    total = sum(schedule_of(project.settings).updates(len(part)) for part in parts)
    saved = said = time.monotonic()
    with Meter(learner) as meter:
        closes = _closes(project.settings, job)
        for place in learn(meter, fair.batch, parts, project.settings, order, start, closes=closes):
            now = time.monotonic()
            if now - saved >= project.settings.update.checkpoint_seconds:
                _save(learner, job, place, spent + meter.cost, path_of(project, job))
                saved = now
            if now - said >= 1.0 or place.done == total:
                report(place.done, total)
                said = now
    _retain(project.settings, learner, fair.batch)
    return Challenger(learner, spent + meter.cost, len(fair), len(found) - len(fair))


def newest_labels(found: Examples) -> Examples:
    """Without labels that another one among them revises: no row is learnt with two."""
    last = {row: place for place, row in enumerate(found.batch.extras["row"].tolist())}
    return _among(found, np.array(sorted(last.values()), dtype=np.int64))


def fair_rows(found: Examples, share: float) -> Examples:
    """Without what sources have beyond their share of the rows that stay: see `fairness`."""
    kept = fair(found.batch.extras["row"].numpy(), found.batch.extras["source"].numpy(), share)
    return _among(found, kept.nonzero()[0])


def groups(batch: Batch, settings: Settings) -> list[Tensor]:
    """Rows (index) of each task, in the order in which tasks first appear; else one group."""
    if batch.task is None or settings.learner.boundaries not in ("task", "update"):
        return [torch.arange(len(batch))]
    tasks = dict.fromkeys(batch.task.tolist())
    return [(batch.task == task).nonzero()[:, 0] for task in tasks]


def schedule_of(settings: Settings) -> Schedule:
    """Batch size, and passes or updates, as the settings say."""
    said = settings.learner
    return Schedule(said.batch_size, epochs=said.epochs, steps=said.steps)


def learn(
    learner: Meter,
    batch: Batch,
    parts: list[Tensor],
    settings: Settings,
    order: int,
    start: Place = Place(),
    *,
    closes: bool,
) -> Iterator[Place]:
    """Yield the place after each batch, and after each group when it has been closed.

    Args:
        learner: learns, measured.
        batch: all rows of the update.
        parts: rows (index) of each group, see `groups`.
        settings: batch size and passes.
        order: seed of the order of rows.
        start: go on from here.
        closes: whether a task ends after each group.
    """
    place, schedule = start, schedule_of(settings)
    for number in range(start.group, len(parts)):
        part = parts[number]
        draws = Rows(part, batch.y[part]).batches(
            schedule.batch_size,
            seed=order + number,
            epochs=schedule.epochs,
            steps=schedule.steps,
            start=place.batch,
        )
        for draw in draws:
            learner.observe(replace(_picked(batch, draw.x), new=draw.new))
            place = Place(number, place.batch + 1, place.done + 1)
            yield place
        if closes:
            learner.consolidate([batch[rows] for rows in part.split(CLOSING)])
        place = Place(number + 1, 0, place.done)
        yield place


def path_of(project: Project, job: Job) -> Path:
    """The checkpoint of a job in progress."""
    return project.directory / "work" / checkpoint_name(job.id)


def checkpoint_name(job: int) -> str:
    """What the checkpoint of a job is called."""
    return f"{job}.safetensors"


def _check_learns(project: Project, job: Job) -> None:
    if project.settings.update.mode == "observe":
        raise Conflict("the mode is observe: it scores and learns nothing; see [update] mode")
    held = frozen(project.database)
    if held is not None and job.state == "queued":
        raise Conflict(f"frozen by {held.actor}: {held.reason}; `perdure unfreeze` goes on")


def _parent(project: Project) -> Version | None:
    if project.settings.update.start == "scratch":
        return None
    champion, last = project.registry.champion(), project.registry.last()
    if not project.settings.retention.raw and last is not None and last.state == "undecided":
        return last  # the rows that it learnt are gone: what it knows of them is all there is
    return champion


def _among(found: Examples, where: NDArray[np.int64]) -> Examples:
    return replace(
        found,
        batch=_picked(found.batch, torch.from_numpy(where)),
        seqs=found.seqs[where],
        positions=found.positions[where],
        revisions=found.revisions[where],
        sources=tuple(found.sources[i] for i in where),
    )


def _picked(batch: Batch, index: Tensor) -> Batch:
    return replace(batch[index], new=len(index))


def _closes(settings: Settings, job: Job) -> bool:
    said = settings.learner.boundaries
    return said in ("update", "task") or (said == "drift" and bool(job.progress.get("drift")))


def _retain(settings: Settings, learner: Learner, batch: Batch) -> None:
    retention.retain(
        learner,
        now=float(batch.extras["time"].max()),
        days=settings.retention.memory_days,
        rows_per_subject=settings.retention.memory_rows_per_subject,
    )


def _save(learner: Learner, job: Job, place: Place, cost: Cost, path: Path) -> None:
    state = {
        "plan": _plan(job),
        "learner": learner.state_dict(),
        "place": asdict(place),
        "cost": asdict(cost),
    }
    checkpoint.save(path, state)


def _resumed(learner: Learner, job: Job, path: Path) -> tuple[Place, Cost]:
    held = checkpoint.load(path) if path.exists() else {}
    if held.get("plan") != _plan(job):  # a rebuild folds several stretches, one after the other
        return Place(), Cost()
    learner.load_state_dict(held["learner"])
    return Place(**held["place"]), Cost(**held["cost"])


def _plan(job: Job) -> list[int | None]:
    return [job.parent, job.after, job.upto]
