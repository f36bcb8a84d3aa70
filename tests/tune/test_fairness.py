"""Every candidate makes the same updates on the same rows, and nobody's test rows are looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from tests.live import tiny
from torch import Tensor

from perdure import methods
from perdure.bench import Experiment, build, presets
from perdure.folding import Schedule
from perdure.learner import Learner
from perdure.live import evaluation
from perdure.live.project import Project
from perdure.live.rows import Row
from perdure.method import Method
from perdure.step import Step
from perdure.streams import Data
from perdure.tune import Budget, Candidate, LabSource, search
from perdure.tune.replay import ReplaySource, _parts

CLASSES, ROWS = 6, 30
LEARNT, ANSWERED = "learnt", "answered"


@dataclass
class Ledger:
    """Which rows were learnt, update by update, and which were answered."""

    updates: list[list[int]] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)

    @property
    def learnt(self) -> Counter[int]:
        return Counter(number for update in self.updates for number in update)


LEDGER = Ledger()


class Witness(Method):
    """Learns as naive fine-tuning does, and notes each row that it is shown by its number."""

    def settle(self, step: Step) -> None:
        LEDGER.updates.append(numbers(step.incoming.x))

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        LEDGER.answered.update(numbers(x))
        return out


def numbers(x: Tensor) -> list[int]:
    """A row's number is its first value."""
    return [round(value) for value in x.flatten(1)[:, 0].tolist()]


def counted() -> Data:
    """Rows 0 to 179 to learn from, rows 1000 to 1059 to measure on; a class is their last value."""
    sides: list[Tensor] = []
    for start, rows in ((0, ROWS), (1000, 10)):
        y = torch.arange(CLASSES).repeat_interleave(rows)
        number = torch.arange(start, start + len(y)).float()
        sides += [torch.stack([number, torch.ones(len(y)), y.float()], 1), y]
    return Data("counted", *sides, tuple("abcdef"))


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Empty, with the witness among the methods and the counted rows for every data set."""
    LEDGER.updates.clear()
    LEDGER.answered.clear()
    monkeypatch.setitem(presets.PRESETS, "witness", presets.Preset(Witness, "baseline"))
    monkeypatch.setattr(build, "loaded", lambda name, encoder: counted())
    return LEDGER


SMALL = Experiment("digits", tasks=3, hidden=(4,), schedule=Schedule(8, steps=5), lr=1e-4)


def simulated(source: LabSource | ReplaySource, candidate: Candidate) -> Ledger:
    """What one simulation saw."""
    LEDGER.updates.clear()
    LEDGER.answered.clear()
    for _ in source.simulate(candidate):
        pass
    return Ledger([*LEDGER.updates], LEDGER.answered.copy())


def test_no_test_row_of_the_lab_is_ever_shown(ledger: Ledger) -> None:
    """Neither learnt nor answered, by none of the trials of a whole search."""
    source = LabSource(SMALL, ("witness",))
    simulated(source, source.space().usual("witness"))
    assert ledger.updates
    assert ledger.answered
    assert max(ledger.learnt) < CLASSES * ROWS
    assert max(ledger.answered) < CLASSES * ROWS


def test_what_is_answered_was_held_out_of_learning(ledger: Ledger) -> None:
    """A tenth of the training rows, on which every span is measured, is never learnt."""
    whole = replace(SMALL, schedule=Schedule(8, epochs=2))
    source = LabSource(whole, ("witness",))
    simulated(source, source.space().usual("witness"))
    assert not set(ledger.learnt) & set(ledger.answered)
    assert CLASSES * ROWS == len(set(ledger.learnt) | set(ledger.answered))
    assert CLASSES * ROWS // 10 == pytest.approx(len(ledger.answered), abs=CLASSES)
    assert {2} == set(ledger.learnt.values())


def test_every_trial_learns_the_same_rows_in_the_same_order(ledger: Ledger) -> None:
    """At any learning rate, after any other draws: as many updates, each of the same rows."""
    source = LabSource(SMALL, ("witness",))
    usual = source.space().usual("witness")
    first = simulated(source, usual)
    torch.rand(11)
    second = simulated(source, replace(usual, lr=1e-3))
    assert 3 * 5 == len(first.updates)
    assert first.updates == second.updates
    assert first.answered == second.answered


def test_a_whole_search_gives_every_trial_its_updates(ledger: Ledger, tmp_path: Path) -> None:
    """None is stopped early for being slow: a trial that ended made every update it may make."""
    source = LabSource(SMALL, ("witness",))
    outcomes = search(source, tmp_path, Budget(3))
    assert 3 == len(outcomes)
    made = sum(5 * len(one.course) for one in outcomes)
    assert made == len(ledger.updates)
    assert 1 == len({one.last.flops for one in outcomes if one.state == "done"})


def test_seeds_of_comparisons_are_not_those_of_tuning(ledger: Ledger) -> None:
    """The order of classes and the first weights are others, whatever seed the experiment has."""
    source = LabSource(SMALL, ("witness",))
    usual = source.space().usual("witness")
    runs = [simulated(LabSource(replace(SMALL, seed=seed), ("witness",)), usual) for seed in (0, 1)]
    assert runs[0].updates == runs[1].updates
    assert source.question() == LabSource(replace(SMALL, seed=1), ("witness",)).question()


# -- a live project ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a project that has learnt three times, of rows whose first value is their number."""
    path = tmp_path_factory.mktemp("live") / "state"
    with tiny.project(path) as project:
        for part in range(3):
            rows = [numbered(number) for number in range(40 * part + 1, 40 * part + 41)]
            project.log.append(rows).result()
            tiny.updated(project)
    return path


def numbered(number: int) -> Row:
    """In thousandths, as large numbers would let learning diverge."""
    made = tiny.row(number)
    made.features[0] = number / 1000
    return made


def seen(ledger: Ledger, source: ReplaySource, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(methods, "Witness", Live, raising=False)
    monkeypatch.setattr(methods, "__all__", [*methods.__all__, "Witness"])
    _parts.cache_clear()
    found = simulated(source, Candidate("witness", {}, 0.01))
    _parts.cache_clear()
    return found


class Live(Witness):
    """Reads numbers in thousandths."""

    def settle(self, step: Step) -> None:
        LEDGER.updates.append(numbers(1000 * step.incoming.x))

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        LEDGER.answered.update(numbers(1000 * x))
        return out


def test_no_row_that_a_project_holds_out_is_ever_shown(
    ledger: Ledger, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gate judges by stays unseen: counted, row by row."""
    with Project(directory) as project:
        source = ReplaySource.of(project, ("naive",))
        held = set(numbers(1000 * evaluation.read(project).x))
    shown = seen(ledger, source, monkeypatch)
    assert 10 < len(held) < 60
    assert not held & (set(shown.learnt) | set(shown.answered))
    assert 120 - len(held) == len(set(shown.learnt) | set(shown.answered))


def test_a_replay_answers_what_it_learns_before_and_never_after(
    ledger: Ledger, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learnt row is answered once, when its span has come; a held-out one again every span.

    One held-out row of each span is asked once more: what an answer costs is part of learning.
    """
    with Project(directory) as project:
        source = ReplaySource.of(project, ("naive",))
    shown = seen(ledger, source, monkeypatch)
    assert {1} == {shown.answered[number] for number in shown.learnt}
    again = {number: times for number, times in shown.answered.items() if times > 1}
    assert set(again) == set(shown.answered) - set(shown.learnt)
    assert {2, 3, 4, 5} == set(again.values())
