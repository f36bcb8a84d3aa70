"""A search tries what is known first, stops what is hopeless, and goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tune.toy import SPANS, Toy

from perdure.errors import Impossible, InvalidValue
from perdure.tune import Budget, Candidate, Outcome, choose, search

KEEPS = {"capacity": 100, "mix": "rows"}


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    notes = tmp_path / "notes"
    notes.mkdir()
    return Toy(str(notes))


def keys(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(one.state, one.candidate.key) for one in outcomes]


def begun(toy: Toy) -> int:
    return len([*Path(toy.notes).iterdir()])


def test_what_is_known_comes_first_and_goes_to_the_end(toy: Toy, tmp_path: Path) -> None:
    """What is in use, then each method as it comes, whatever the others reached."""
    mine = Candidate("er", {"capacity": 25, "mix": "tasks"}, 0.0003)
    outcomes = search(toy, tmp_path / "out", Budget(6), first=[mine])
    assert mine == outcomes[0].candidate
    assert [toy.space().usual("naive"), toy.space().usual("er")] == [
        one.candidate for one in outcomes[1:3]
    ]
    assert ["done"] * 3 == [one.state for one in outcomes[:3]]
    assert [SPANS] * 3 == [len(one.course) for one in outcomes[:3]]


def test_a_search_finds_what_is_best(toy: Toy, tmp_path: Path) -> None:
    """A full memory and a learning rate near the best one; hopeless trials stop early."""
    outcomes = search(toy, tmp_path / "out", Budget(25))
    best = choose(outcomes).candidate
    assert ("er", 100) == (best.method, best.settings["capacity"])
    assert 0.004 < best.lr < 0.025
    stopped = [one for one in outcomes if one.state == "pruned"]
    assert stopped
    assert all(2 <= len(one.course) < SPANS for one in stopped)


def test_a_search_goes_on_where_it_was(toy: Toy, tmp_path: Path) -> None:
    """In two goes or in one, the trials are the same, and none is made twice."""
    search(toy, tmp_path / "two", Budget(5))
    then = search(toy, tmp_path / "two", Budget(9))
    count = begun(toy)
    assert keys(then) == keys(search(toy, tmp_path / "two", Budget(9)))
    assert count == begun(toy)
    assert keys(then) == keys(search(toy, tmp_path / "one", Budget(9)))


def test_a_killed_search_tries_again_what_it_was_at(toy: Toy, tmp_path: Path, root: Path) -> None:
    """SIGKILL in the middle of a trial loses that trial's work and nothing else."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.tune.toy import Toy\n"
        "from perdure.tune import Budget, search\n"
        "search(Toy(sys.argv[1], dies=4), Path(sys.argv[2]), Budget(6))\n"
    )
    command = [sys.executable, "-c", code, toy.notes, str(tmp_path / "out")]
    assert -9 == subprocess.run(command, cwd=root, check=False).returncode
    before = [path.read_text() for path in sorted(Path(toy.notes).iterdir())]
    outcomes = search(toy, tmp_path / "out", Budget(6))
    tried = [one.candidate.key for one in outcomes]
    assert before[:3] == tried[:3]
    assert before[3] == tried[3]
    assert ["done"] * 4 == [one.state for one in outcomes[:4]]
    assert [path.read_text() for path in Path(toy.notes).iterdir()].count(before[3]) == 2


def test_processes_find_the_same_kind_of_thing(
    toy: Toy, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many trials; a process that dies fails its trial, and another takes its place."""
    monkeypatch.syspath_prepend(root)  # where a new process finds the toy
    outcomes = search(replace(toy, dies=2), tmp_path / "out", Budget(8, workers=2))
    assert 8 == len(outcomes)
    failed = [one for one in outcomes if one.state == "failed"]
    assert ["its process died with exit code -9; try fewer workers"] == [f.reason for f in failed]
    assert 0.6 < choose(outcomes).last.accuracy


def test_a_search_begins_with_the_best_of_earlier_ones(toy: Toy, tmp_path: Path) -> None:
    """Of the same model line alone, in its own folder and in those that are named."""
    best = choose(search(toy, tmp_path / "old", Budget(20))).candidate
    other = replace(toy, methods=("er", "naive"))
    warm = search(other, tmp_path / "new", Budget(8), earlier=[tmp_path / "old"])
    assert best in [one.candidate for one in warm[2:8]]
    assert "done" == next(one for one in warm if one.candidate == best).state
    strange = replace(other, name="strange")
    cold = search(strange, tmp_path / "new", Budget(8), earlier=[tmp_path / "old"])
    assert best not in [one.candidate for one in cold]
    again = search(replace(toy, methods=("er",)), tmp_path / "new", Budget(8))
    assert best in [one.candidate for one in again]


def test_the_same_candidate_is_not_simulated_twice(toy: Toy, tmp_path: Path) -> None:
    """It would come out the same."""
    outcomes = search(toy, tmp_path / "out", Budget(4), first=[toy.space().usual("er")])
    assert len(outcomes) == begun(toy) == len({one.candidate.key for one in outcomes})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_tiny_space_is_tried_once_and_no_more(
    toy: Toy, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """NCM has two metrics, one of them its default, and no learning rate: two simulations."""
    monkeypatch.syspath_prepend(root)  # where a new process finds the toy
    source = replace(toy, methods=("ncm",))
    outcomes = search(source, tmp_path / "out", Budget(12, workers=workers))
    assert (12, 2) == (len(outcomes), begun(toy))
    assert 2 == len({one.candidate.key for one in outcomes})


def test_what_fails_is_told_and_the_others_go_on(toy: Toy, tmp_path: Path) -> None:
    """A method that cannot work is left out before the first trial."""
    source = replace(toy, methods=("ewc", "packnet", "naive"))
    outcomes = search(source, tmp_path / "out", Budget(6))
    assert {"ewc", "naive"} == {one.candidate.method for one in outcomes}
    failed = [one for one in outcomes if one.state == "failed"]
    assert {"the loss is infinite"} == {one.reason for one in failed}
    with pytest.raises(Impossible, match="packnet needs task ids"):
        search(replace(toy, methods=("packnet",)), tmp_path / "out")


def test_time_may_be_up(toy: Toy, tmp_path: Path) -> None:
    """No trial begins after it; what is left is done another time."""
    assert [] == search(toy, tmp_path / "out", Budget(6, minutes=0.0))
    assert 6 == len(search(toy, tmp_path / "out", Budget(6)))


def test_numbers_out_of_range_are_refused() -> None:
    """Each by its name."""
    for name in ("trials", "workers"):
        with pytest.raises(InvalidValue, match=name):
            Budget(**{name: 0})
