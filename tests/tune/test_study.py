"""Trials on the disk: what is drawn, what is known, and what a crash leaves of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.tune.toy import SPANS, Toy, measured

from perdure.tune import Candidate, Outcome
from perdure.tune.study import FILE, Study, Trial


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(str(tmp_path / "notes"))


def opened(toy: Toy, folder: Path, seed: int = 0) -> Study:
    return Study(folder, toy, toy.space(), seed)


def to_the_end(trial: Trial) -> Outcome:
    """Simulate it by the toy's formula."""
    trial.course += [measured(trial.candidate, span) for span in range(SPANS)]
    return trial.done()


def drawn(study: Study, count: int) -> list[str]:
    return [to_the_end(study.ask()).candidate.key for _ in range(count)]


def test_what_is_drawn_follows_from_the_seed_and_the_trials(toy: Toy, tmp_path: Path) -> None:
    """Another folder draws the same, another seed does not; nor does one question twice."""
    first, same, other = (
        drawn(opened(toy, tmp_path / name, seed), 6)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == same
    assert first != other
    assert 6 == len(set(first))


def test_a_study_that_is_opened_again_draws_what_it_would_have_drawn(
    toy: Toy, tmp_path: Path
) -> None:
    """Closed after any number of trials, as a process that ends closes it."""
    whole = drawn(opened(toy, tmp_path / "whole"), 7)
    parts: list[str] = []
    for count in (1, 3, 0, 2, 1):
        parts += drawn(opened(toy, tmp_path / "parts"), count)
    assert whole == parts


def test_outcomes_come_back_as_they_were_told(toy: Toy, tmp_path: Path) -> None:
    """Done, stopped and failed ones, with their courses and reasons, in their order."""
    study = opened(toy, tmp_path)
    one, two, three = (study.ask() for _ in range(3))
    two.course.append(measured(two.candidate, 0))
    told = [three.failed("the loss is infinite"), to_the_end(one), two.pruned()]
    found = opened(toy, tmp_path).outcomes()
    assert sorted(told, key=lambda outcome: outcome.number) == found == study.outcomes()
    assert ["done", "pruned", "failed"] == [outcome.state for outcome in found]


def test_a_trial_that_was_left_behind_is_asked_for_again(toy: Toy, tmp_path: Path) -> None:
    """The very candidate, before anything is drawn; it then goes to the end."""
    study = opened(toy, tmp_path)
    drawn(study, 2)
    lost = [study.ask().candidate.key for _ in range(2)]
    again = opened(toy, tmp_path)
    trials = [again.ask() for _ in range(2)]
    assert lost == [trial.candidate.key for trial in trials]
    assert all(trial.asked for trial in trials)
    assert not again.ask().asked


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_a_torn_journal_is_read_up_to_its_last_whole_line(
    toy: Toy, tmp_path: Path, kept: float
) -> None:
    """As power loss leaves it: ended trials before the tear are there, and work goes on."""
    study = opened(toy, tmp_path)
    drawn(study, 4)
    path = tmp_path / FILE
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    torn = opened(toy, tmp_path)
    found = torn.outcomes()
    assert found == study.outcomes()[: len(found)]
    assert len(found) < 4
    to_the_end(torn.ask())
    assert len(found) + 1 == len(opened(toy, tmp_path).outcomes())


def test_a_lock_that_a_killed_process_left_stops_nobody(toy: Toy, tmp_path: Path) -> None:
    """The folder is locked by the search itself, so that nobody can hold the journal's own lock."""
    drawn(opened(toy, tmp_path), 1)
    lock = tmp_path / f"{FILE}.lock"
    lock.symlink_to(tmp_path / FILE)
    assert 1 == len(opened(toy, tmp_path).outcomes())
    assert not lock.is_symlink()


def test_the_same_candidate_is_known_unless_it_failed(toy: Toy, tmp_path: Path) -> None:
    """What failed, by a full disk say, is tried again."""
    study = opened(toy, tmp_path)
    good, bad = study.ask(), study.ask()
    told = to_the_end(good)
    bad.failed("its process died")
    assert told == study.known(good.candidate)
    assert study.known(bad.candidate) is None
    assert study.known(Candidate("naive", {}, 123.0)) is None


def test_a_repeated_trial_counts_and_costs_nothing(toy: Toy, tmp_path: Path) -> None:
    """It has the course of the first, under a number of its own."""
    study = opened(toy, tmp_path)
    usual = toy.space().usual("er")
    study.begin([usual], [])
    known = to_the_end(study.ask())
    again = study.ask().repeats(known)
    assert (known.course, "done") == (again.course, again.state)
    assert [0, 1] == [outcome.number for outcome in study.outcomes()]


def test_first_candidates_are_asked_for_once(toy: Toy, tmp_path: Path) -> None:
    """However often a search begins, and as they were said, also outside the space's range."""
    wild = Candidate("er", {"capacity": 7, "mix": "rows"}, 99.0)
    for _ in range(2):
        opened(toy, tmp_path).begin([wild], [])
    study = opened(toy, tmp_path)
    trials = [study.ask() for _ in range(2)]
    assert wild == trials[0].candidate
    assert [True, False] == [trial.asked for trial in trials]


def test_a_warm_start_takes_the_front_of_the_same_line_alone(toy: Toy, tmp_path: Path) -> None:
    """Neither what was beaten, nor another line's, nor methods that may not be tried here."""
    first = [
        Candidate("naive", {}, 0.01),
        Candidate("naive", {}, 0.3),  # as dear as the one above, and worse
        Candidate("er", {"capacity": 100, "mix": "rows"}, 0.01),
    ]
    for name, line in (("mine", "toy"), ("strange", "strange")):
        study = opened(replace(toy, name=line), tmp_path / name)
        study.begin(first, [])
        for _ in first:
            to_the_end(study.ask())
    folders = [tmp_path / "mine", tmp_path / "strange", tmp_path / "nothing"]
    only = replace(toy, methods=("naive",))
    warm = opened(only, tmp_path / "new")
    assert 1 == warm.begin([], folders)
    assert first[0] == warm.ask().candidate
    both = opened(toy, tmp_path / "both")
    assert 2 == both.begin([], folders)
    assert {first[0].key, first[2].key} == {both.ask().candidate.key for _ in range(2)}
    assert 2 == both.begin([], folders)  # as it was told the first time


def test_questions_share_a_folder_and_nothing_else(toy: Toy, tmp_path: Path) -> None:
    """Other methods, another seed: trials of their own, in one journal."""
    other = replace(toy, methods=("naive",))
    drawn(opened(toy, tmp_path), 2)
    assert [] == opened(other, tmp_path).outcomes() == opened(toy, tmp_path, 5).outcomes()
    drawn(opened(other, tmp_path), 1)
    assert 2 == len(opened(toy, tmp_path).outcomes())
    assert [FILE] == [path.name for path in tmp_path.iterdir()]
