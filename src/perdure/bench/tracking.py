"""A run of the bench as trackers take it."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from perdure.bench.experiment import Experiment
from perdure.bench.pool import Event
from perdure.bench.result import Record, Result
from perdure.track import Guarded, Metric, Run, picture


def run_of(result: Result) -> Run:
    """Its settings, every measure, accuracy by task and over time, and the matrix as a picture.

    Metrics "after/..." have the number of the task that was just learnt as their step.
    """
    said, matrix = result.experiment.to_dict(), result.matrix
    settings, schedule = said.pop("settings"), said.pop("schedule")
    whole = [Metric(name, value) for name, value in result.measures().items() if value is not None]
    names = [_plain(name) for name in matrix.tasks]
    R = matrix.array
    by_task = [
        Metric(f"after/{names[i]}", float(value), j)
        for (i, j), value in np.ndenumerate(R)
        if not np.isnan(value)
    ]
    seen = [R[: j + 1, j] for j in range(len(R))]
    course = [
        Metric("after/mean of the tasks so far", float(held.mean()), j)
        for j, held in enumerate(seen)
        if not np.isnan(held).any()
    ]
    return Run(
        key=result.experiment.key,
        name=result.experiment.title,
        group=_group(result.experiment),
        parameters={
            **{name: value if value is None else _said(value) for name, value in said.items()},
            **{f"method.{name}": value for name, value in settings.items()},
            **{f"schedule.{name}": value for name, value in schedule.items()},
        },
        metrics=[*whole, *by_task, *course],
        pictures={"accuracy matrix": picture.matrix(R, list(matrix.tasks), list(matrix.tasks))},
        tags=dict(result.environment),
    )


def report_of(records: Sequence[Record], files: Sequence[Path]) -> Run:
    """The report of a grid, as a run beside those that it tells of."""
    keys = "".join(sorted(record.experiment.key for record in records))
    return Run(
        key=hashlib.sha256(f"report {keys}".encode()).hexdigest()[:16],
        name=f"report of {len(records)} runs",
        group=_group(records[0].experiment),
        files=[path for path in files if path.exists()],
    )


def tracked(
    events: Generator[Event, None, None], trackers: Sequence[Guarded]
) -> Generator[Event, None, None]:
    """The events as they come, each finished run sent on; no tracker's failure stops them."""
    with closing(events):
        for event in events:
            if isinstance(event, Result):
                _send(event, trackers)
            yield event


def keep(records: Sequence[Record], files: Sequence[Path], trackers: Sequence[Guarded]) -> None:
    """Send what is not there yet: finished runs, then the report with its files."""
    results = [record for record in records if isinstance(record, Result)]
    for result in results:
        _send(result, trackers)
    for tracker in trackers:
        if results:
            tracker.send(partial(report_of, records, files))


def _send(result: Result, trackers: Sequence[Guarded]) -> None:
    for tracker in trackers:
        tracker.send(partial(run_of, result))


def _group(experiment: Experiment) -> str:
    return f"perdure bench {experiment.stream} {experiment.scenario}"


def _said(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _plain(name: str) -> str:
    """Of the characters that MLflow lets a metric have."""
    return "".join(one if one.isalnum() or one in " ._-" else "-" for one in name)
