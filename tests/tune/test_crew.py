"""Who simulates, here or elsewhere, says the same and stops where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.tune.toy import SPANS, Toy, measured

from perdure.tune import Candidate, Measured
from perdure.tune.crew import Elsewhere, Here, Worker, ready

ER = Candidate("er", {"capacity": 50}, 0.01)
BROKEN = Candidate("ewc", {"strength": 1.0}, 0.01)


@dataclass(frozen=True)
class Odd(Toy):
    """Fails in its second span as a library might."""

    def simulate(self, candidate: Candidate) -> Iterator[Measured]:
        yield measured(candidate, 0)
        raise ZeroDivisionError("by a class without rows")


@pytest.fixture
def toy(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.syspath_prepend(root)  # where a new process finds the toy
    notes = tmp_path / "notes"
    notes.mkdir()
    return Toy(str(notes))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Elsewhere]:
    """One process for all tests that leave it alive: starting takes longer than simulating."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        worker = Elsewhere(Toy(str(tmp_path_factory.mktemp("notes"))))
        yield worker
        worker.end()


def heard(worker: Worker, candidate: Candidate, spans: int) -> list[object]:
    """All that a worker says of a simulation that is to stop after so many spans."""
    worker.begin(candidate)
    said: list[object] = []
    while isinstance(now := worker.said(), Measured):
        said.append(now)
        worker.answer(goes_on := len(said) < spans)
        if not goes_on:
            return said
    return [*said, now]


@pytest.fixture(params=["here", "elsewhere"])
def worker(request: pytest.FixtureRequest, toy: Toy) -> Worker:
    return Here(toy) if request.param == "here" else request.getfixturevalue("elsewhere")


def test_a_worker_says_each_span_and_then_the_end(worker: Worker) -> None:
    """The same numbers wherever it works."""
    course = [measured(ER, span) for span in range(SPANS)]
    assert [*course, None] == heard(worker, ER, SPANS + 1)


def test_a_worker_that_was_stopped_takes_the_next_simulation(worker: Worker) -> None:
    """Nothing of the stopped one is said later."""
    slow = replace(ER, lr=0.001)
    assert [measured(slow, 0), measured(slow, 1)] == heard(worker, slow, 2)
    assert [measured(ER, 0)] == heard(worker, ER, 1)
    assert SPANS + 1 == len(heard(worker, ER, SPANS + 1))


def test_a_reason_stands_for_a_simulation_that_failed(worker: Worker) -> None:
    """And the worker lives on."""
    assert ["the loss is infinite"] == heard(worker, BROKEN, SPANS)
    assert [measured(ER, 0)] == heard(worker, ER, 1)


def test_what_nobody_foresaw_is_named_by_its_kind(toy: Toy) -> None:
    """After the spans that went well."""
    said = heard(Here(Odd(toy.notes)), ER, SPANS)
    assert [measured(ER, 0), "ZeroDivisionError: by a class without rows"] == said


def test_whoever_has_something_to_say_is_ready(toy: Toy, elsewhere: Elsewhere) -> None:
    """In this process, the one that there is."""
    here = Here(toy)
    assert here is ready([here])
    elsewhere.begin(ER)
    assert elsewhere is ready([elsewhere])
    elsewhere.said()
    elsewhere.answer(False)
