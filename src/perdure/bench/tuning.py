"""Choose settings on rows held out of the training data; test rows are never looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from perdure.bench import presets
from perdure.bench.experiment import Experiment
from perdure.bench.grids import pending, run_grid
from perdure.bench.pool import Event
from perdure.bench.result import Record, Result
from perdure.bench.results import Results

HELD_OUT = 0.1
SEED = 1000  # no seed that a comparison uses, so that order and weights are others too
RATES = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Choice:
    """What tuning chose for a method in a scenario.

    Attributes:
        method: its name.
        scenario: what was known at inference.
        settings: the best arguments of the method.
        lr: the best learning rate.
        accuracy: on the held-out rows, None where no trial finished.
        trials: how many settings were tried.
    """

    method: str
    scenario: str
    settings: presets.Settings
    lr: float
    accuracy: float | None
    trials: int


def tune(
    experiments: Sequence[Experiment],
    folder: str | Path,
    workers: int | None,
    follow: Callable[[Generator[Event, None, None], int], object],
) -> list[Choice]:
    """Try the values that each preset names, then three learning rates at the best of them.

    Each trial has the schedule of the experiment itself, learns on nine tenths of the training
    rows and is measured on the others. Trials are in `tuning/results.csv`, so that tuning resumes,
    and the choices in `tuned.json`.

    Args:
        experiments: one for each method and scenario; settings that they give are not tuned.
        folder: of the results.
        workers: processes at a time.
        follow: shows the progress of trials, given the events and how many there will be.
    """
    where = Path(folder) / "tuning"
    best = [replace(e, seed=SEED, holdout=HELD_OUT) for e in experiments]
    tried: list[set[str]] = [set() for _ in best]
    for widen in (by_settings, by_rate):
        trials = [widen(experiment) for experiment in best]
        every = [trial for group in trials for trial in group]
        follow(run_grid(every, where, workers), len(pending(every, where)))
        held = Results(where).read()
        best = [_best(group, held) for group in trials]
        for keys, group in zip(tried, trials, strict=True):
            keys |= {trial.key for trial in group}
    chosen = [
        Choice(e.method, e.scenario, e.resolved, e.lr, _accuracy(e, held), len(keys))
        for e, keys in zip(best, tried, strict=True)
    ]
    text = json.dumps([vars(choice) for choice in chosen], indent=2)
    (Path(folder) / "tuned.json").write_text(text + "\n", encoding="utf-8")
    return chosen


def by_settings(experiment: Experiment) -> list[Experiment]:
    """The experiment with every combination of the values that its preset names."""
    search = presets.find(experiment.method).search
    open_ = {name: values for name, values in search.items() if name not in experiment.settings}
    drawn = [dict(zip(open_, values, strict=True)) for values in product(*open_.values())]
    return [replace(experiment, settings={**experiment.settings, **one}) for one in drawn]


def by_rate(experiment: Experiment) -> list[Experiment]:
    """The experiment at a lower, its own and a higher learning rate."""
    return [replace(experiment, lr=experiment.lr * rate) for rate in RATES]


def tuned(experiments: Sequence[Experiment], choices: Sequence[Choice]) -> list[Experiment]:
    """The experiments with what was chosen for their method and scenario."""
    by_name = {(choice.method, choice.scenario): choice for choice in choices}
    made = []
    for experiment in experiments:
        choice = by_name[experiment.method, experiment.scenario]
        made.append(replace(experiment, settings=choice.settings, lr=choice.lr))
    return made


def _best(trials: Sequence[Experiment], held: Mapping[str, Record]) -> Experiment:
    """The first of the most accurate trials; of those that failed, the first."""
    return max(trials, key=lambda trial: _accuracy(trial, held) or 0.0)


def _accuracy(trial: Experiment, held: Mapping[str, Record]) -> float | None:
    record = held[trial.key]
    return record.matrix.accuracy() if isinstance(record, Result) else None
