"""A grid of runs: resumable, over processes, with a durable row for each."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import product
from pathlib import Path

from perdure.bench import presets
from perdure.bench.experiment import Experiment
from perdure.bench.pool import Event, Progressed, spread
from perdure.bench.result import NoResult, Record
from perdure.bench.results import Results


def grid(
    base: Experiment,
    methods: Sequence[str],
    scenarios: Sequence[str],
    seeds: Iterable[int],
    settings: Mapping[str, presets.Settings] | None = None,
) -> list[Experiment]:
    """Every method in every scenario with every seed, all with the data and the budget of `base`.

    Args:
        base: what all runs share.
        methods: names that `perdure methods` lists.
        scenarios: "task", "domain", "class" or "free".
        seeds: of the runs.
        settings: arguments by the method's name, in place of the preset's.

    Raises:
        InvalidValue: an unknown name.
    """
    given = {presets.canonical(name): values for name, values in (settings or {}).items()}
    names = dict.fromkeys(presets.canonical(name) for name in methods)
    return [
        replace(base, method=name, scenario=scenario, seed=seed, settings=given.get(name, {}))
        for scenario, name, seed in product(dict.fromkeys(scenarios), names, dict.fromkeys(seeds))
    ]


def run_grid(
    experiments: Iterable[Experiment],
    folder: str | Path,
    workers: int | None = None,
) -> Generator[Event, None, None]:
    """Do what `folder` does not hold yet; yield progress, and each record once it is on disk.

    A run that failed before is done again. Stop it however you like and call it again: finished
    runs are not repeated. At the end, `finished` reads what all the runs gave.

    Args:
        experiments: what to do.
        folder: where `results.csv` is, or will be.
        workers: processes at a time; None takes as many as there are cores.

    Raises:
        InvalidValue: another process writes to the folder.
    """
    results = Results(folder)
    with results.locked(), ExitStack() as stack:
        left = pending(experiments, folder)
        for event in stack.enter_context(closing(spread(left, workers or cores()))):
            if not isinstance(event, Progressed):
                results.append(event)
            yield event


def pending(experiments: Iterable[Experiment], folder: str | Path) -> list[Experiment]:
    """Those that the folder has no result of, each once; failed ones are among them."""
    held = Results(folder).read()
    left = {experiment.key: experiment for experiment in experiments}
    return [left[key] for key in left if key not in held or _failed(held[key])]


def finished(experiments: Iterable[Experiment], folder: str | Path) -> list[Record]:
    """The folder's records of these runs, in their order."""
    held = Results(folder).read()
    return [held[key] for key in dict.fromkeys(e.key for e in experiments) if key in held]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _failed(record: Record) -> bool:
    return isinstance(record, NoResult) and record.status == "failed"
