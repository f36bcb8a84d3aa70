"""What may be tried is what presets name, around what is in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bench.presets import PRESETS, make
from perdure.tune import STAYS, Candidate, Space


class Dice:
    """Draws by a list of numbers in [0, 1), and holds what it was asked."""

    def __init__(self, rolls: Sequence[float]) -> None:
        self.rolls = [*rolls]
        self.drawn: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.drawn.setdefault(name, choices[int(self.rolls.pop() * len(choices))])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert log
        return self.drawn.setdefault(name, low * (high / low) ** self.rolls.pop())


rolls = st.lists(st.floats(0, 0.999), min_size=8, max_size=8)


@given(rolls)
def test_what_is_drawn_can_be_asked_for(held: list[float]) -> None:
    """`params` tells a trial what it would have drawn for the candidate."""
    space = Space(("er", "ewc", "der++", "naive", "lwf"), "class", 1e-3, 80)
    dice = Dice(held)
    candidate = space.drawn(dice)
    assert dice.drawn == pytest.approx(space.params(candidate))


@given(rolls, st.sampled_from([name for name in PRESETS if name != "frozen"]))
def test_every_method_can_be_made_from_what_is_drawn(held: list[float], method: str) -> None:
    """Within the ranges that its constructor takes, with the memory that is allowed."""
    candidate = Space((method,), "class", 1e-3, 60).drawn(Dice(held))
    make(method, candidate.settings)
    sizes = [size for name, size in candidate.settings.items() if name.endswith("capacity")]
    assert all(size <= 60 for size in sizes)
    assert 1e-4 <= candidate.lr <= 1e-2


def test_what_is_in_use_is_asked_for_as_near_as_can_be() -> None:
    """A value outside the range takes its end; one that is unknown, the nearest."""
    space = Space(("ewc", "er"), "class", 1e-3, 100)
    told = space.params(Candidate("ewc", {"strength": 1e12}, 5.0))
    assert max(PRESETS["ewc"].search["strength"]) == told["ewc.strength"]
    assert 1e-2 == told["lr"]
    assert 50 == space.params(Candidate("er", {"capacity": 41}, 1e-3))["er.capacity"]


def test_methods_that_stay_have_a_learning_rate_alone() -> None:
    """Whatever they are."""
    space = Space((STAYS,), "class", 1e-3)
    dice = Dice([0.5, 0.5])
    assert Candidate(STAYS, {}, pytest.approx(1e-3)) == space.drawn(dice)
    assert {"method", "lr"} == set(dice.drawn)


def test_a_candidate_is_told_in_one_line() -> None:
    """Its key differs where anything does, and is the same for the same values in any order."""
    one = Candidate("er", {"mix": "rows", "capacity": 5}, 0.001234)
    assert "er, mix=rows, capacity=5, lr=0.0012" == str(one)
    assert one.key == Candidate("er", {"capacity": 5, "mix": "rows"}, 0.001234).key
    assert one.key != Candidate("er", {"mix": "rows", "capacity": 5}, 0.0012).key


def test_what_learns_the_same_has_one_key() -> None:
    """Defaults may be written out or left out; in closed form no learning rate is used."""
    assert Candidate("er", {}, 0.1).key == Candidate("er", {"mix": "rows"}, 0.1).key
    assert Candidate("er", {}, 0.1).key != Candidate("er", {"mix": "tasks"}, 0.1).key
    assert Candidate("ncm", {}, 0.1).key == Candidate("ncm", {"metric": "euclidean"}, 0.2).key
    assert Candidate("bic", {}, 0.1).key != Candidate("bic", {"er.capacity": 7}, 0.1).key
