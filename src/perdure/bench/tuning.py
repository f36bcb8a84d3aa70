"""What tuning chose, as `perdure tune` writes it and a comparison reads it: `tuned.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perdure.bench import presets
from perdure.bench.experiment import Experiment
from perdure.errors import InvalidValue


@dataclass(frozen=True)
class Choice:
    """What tuning chose for a method in a scenario.

    Attributes:
        method: its name.
        scenario: what was known at inference.
        settings: the best arguments of the method.
        lr: the best learning rate.
        accuracy: on rows held out of the training data.
        trials: how many settings were tried.
    """

    method: str
    scenario: str
    settings: presets.Settings
    lr: float
    accuracy: float
    trials: int


def write_choices(choices: Iterable[Choice], path: str | Path) -> None:
    """Write `tuned.json`."""
    text = json.dumps([vars(choice) for choice in choices], indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")


def read_choices(path: str | Path) -> list[Choice]:
    """What `write_choices` wrote.

    Raises:
        InvalidValue: the file is not there, or is no such file.
    """
    try:
        return [Choice(**held) for held in json.loads(Path(path).read_text("utf-8"))]
    except FileNotFoundError:
        raise InvalidValue(f"{path} is not there; `perdure tune` writes one") from None
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"{path} is not what `perdure tune` writes: {error}") from error


def tuned(experiments: Sequence[Experiment], choices: Sequence[Choice]) -> list[Experiment]:
    """The experiments with what was chosen for their method and scenario.

    Settings that an experiment gives itself stay.

    Raises:
        InvalidValue: nothing was chosen for one of them.
    """
    by_name = {(choice.method, choice.scenario): choice for choice in choices}
    made = []
    for experiment in experiments:
        choice = by_name.get((experiment.method, experiment.scenario))
        if choice is None:
            raise InvalidValue(
                f"nothing was tuned for {experiment.method} in scenario {experiment.scenario}; "
                f"run `perdure tune --methods {experiment.method} --each`, or leave it out"
            )
        settings = {**choice.settings, **experiment.settings}
        made.append(replace(experiment, settings=settings, lr=choice.lr))
    return made
