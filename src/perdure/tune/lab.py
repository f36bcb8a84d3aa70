"""The past of a stream of the lab: training rows, and rows held out of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from perdure.bench import presets
from perdure.bench.build import build
from perdure.bench.experiment import Experiment
from perdure.bench.running import one_thread, stages
from perdure.tune.candidate import Candidate, Space
from perdure.tune.outcome import Measured
from perdure.tune.source import Column, stands

HELD_OUT = 0.1
SEED = 1000  # no seed that a comparison uses, so that order and weights are others too
SEARCHED = ("method", "settings", "lr")


@dataclass(frozen=True)
class LabSource:
    """Tasks one after the other, each measured on a tenth of its training rows; no test rows.

    Every candidate makes the updates that the experiment's schedule says, in the same order.

    Args:
        experiment: data, scenario, network, schedule and present learning rate.
        methods: to choose among.
        capacity: the most rows that a memory may have.
    """

    experiment: Experiment
    methods: tuple[str, ...]
    capacity: int = presets.CAPACITY

    def title(self) -> str:
        """The stream and the scenario."""
        return f"{self.experiment.stream}, scenario {self.experiment.scenario}"

    def space(self) -> Space:
        """The methods, around the experiment's learning rate."""
        names = tuple(dict.fromkeys(presets.canonical(name) for name in self.methods))
        return Space(names, self.experiment.scenario, self.experiment.lr, self.capacity)

    def check(self, candidate: Candidate) -> None:
        """Raise `Impossible` where scenario, network and method cannot work together."""
        build(self._trial(candidate))

    def simulate(self, candidate: Candidate) -> Iterator[Measured]:
        """Learn a task, then measure it and all before it."""
        trial = self._trial(candidate)
        with one_thread():
            stream, learner = build(trial)
            columns: list[Column] = []
            before: Column = ()
            for stage in stages(trial, stream, learner):
                if stage.task >= 0:
                    columns.append(stage.accuracies)
                    yield stands(columns, before[stage.task], stage.cost)
                before = stage.accuracies

    def line(self) -> dict[str, Any]:
        """Data, how its tasks are made, and network."""
        said = self.experiment.to_dict()
        return {name: said[name] for name in ("data", "kind", "scenario", "network", "hidden")}

    def question(self) -> dict[str, Any]:
        """All but what is searched."""
        said = replace(self.experiment, seed=SEED, holdout=HELD_OUT).to_dict()
        return {name: value for name, value in said.items() if name not in SEARCHED}

    def _trial(self, candidate: Candidate) -> Experiment:
        return replace(
            self.experiment,
            method=candidate.method,
            settings=candidate.settings,
            lr=candidate.lr,
            seed=SEED,
            holdout=HELD_OUT,
        )
