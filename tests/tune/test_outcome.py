"""Who is stopped, who is on the front, and who wins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.tune import Candidate, Measured, Outcome, choose, front
from perdure.tune.outcome import WITHIN, hopeless

numbers = st.integers(0, 5)
points = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=12)


def at(accuracy: float, forgetting: float = 0.0, flops: int = 10, span: int = 0) -> Measured:
    return Measured(span, accuracy, forgetting, None, flops, 0.0, 0)


def ended(number: int, accuracy: float, forgetting: float = 0.0, flops: int = 10) -> Outcome:
    candidate = Candidate("naive", {}, 0.1 + number)
    return Outcome(number, candidate, "done", (at(accuracy, forgetting, flops),))


@given(points)
def test_the_front_is_what_nobody_beats(held: list[tuple[int, int, int]]) -> None:
    """Against the definition, pair by pair: each trial is on it or beaten by one that is."""
    outcomes = [ended(n, a / 5, f / 5, c) for n, (a, f, c) in enumerate(held)]
    found = front(outcomes)
    for one in outcomes:
        beaten = [p for p in found if p.last.beats(one.last)]
        assert (one in found) != bool(beaten)
    accuracies = [one.last.accuracy for one in found]
    assert sorted(accuracies, reverse=True) == accuracies


def test_the_same_candidate_is_on_the_front_once() -> None:
    """However often it was tried; and none that was stopped."""
    one = ended(0, 0.5)
    assert [one] == front([one, replace(one, number=3), replace(ended(1, 0.9), state="pruned")])


@given(points, st.sampled_from(["accuracy", "forgetting", "cost"]))
def test_the_winner_is_on_the_front_or_near_its_top(
    held: list[tuple[int, int, int]], prefer: str
) -> None:
    """Nobody within reach has more of what is preferred."""
    outcomes = [ended(n, a / 500, f / 5, c) for n, (a, f, c) in enumerate(held)]
    winner = choose(outcomes, prefer)
    top = max(one.last.accuracy for one in outcomes)
    near = [one.last for one in outcomes if one.last.accuracy >= top - WITHIN]
    if prefer == "accuracy":
        assert top == winner.last.accuracy
    elif prefer == "cost":
        assert min(one.flops for one in near) == winner.last.flops
    else:
        assert min(one.forgetting for one in near) == winner.last.forgetting


def test_a_budget_bounds_the_winner() -> None:
    """And one that nobody keeps is said, with the least that was spent."""
    outcomes = [ended(0, 0.9, flops=100), ended(1, 0.5, flops=10)]
    assert outcomes[1] == choose(outcomes, budget=50)
    with pytest.raises(InvalidValue, match="the cheapest took 10"):
        choose(outcomes, budget=5)
    with pytest.raises(InvalidValue, match="no trial went to the end: it broke"):
        choose([replace(outcomes[0], state="failed", reason="it broke")])


def test_a_trial_below_the_median_that_another_beats_is_stopped() -> None:
    """Not in its first span, not among too few, not where it is cheaper than all the better."""
    others = [[at(0.5), at(a, 0.1, 100, 1)] for a in (0.5, 0.6, 0.7, 0.8)]
    bad = [at(0.1), at(0.3, 0.2, 100, 1)]
    assert hopeless(bad, others)
    assert not hopeless(bad[:1], others)
    assert not hopeless(bad, others[:3])
    assert not hopeless([at(0.1), at(0.3, 0.2, 50, 1)], others)
    assert not hopeless([at(0.1), at(0.66, 0.2, 100, 1)], others)
    assert not hopeless([*bad, at(0.1, 0.9, 900, 2)], others)


def test_outcomes_are_plain_values() -> None:
    """And come back from them."""
    one = replace(ended(3, 0.5, 0.1), state="failed", reason="why")
    assert one == Outcome.from_dict(one.to_dict())


def test_the_front_by_hand() -> None:
    """Five trials of (accuracy, forgetting, FLOPs), three of which nobody beats."""
    best, cheap, calm, worse, dear = (
        ended(0, 0.9, 0.3, 100),
        ended(1, 0.6, 0.3, 10),
        ended(2, 0.7, 0.1, 100),
        ended(3, 0.85, 0.3, 100),  # as calm and as cheap as the best, and less accurate
        ended(4, 0.6, 0.3, 11),  # as good as the cheap one, and dearer
    )
    assert [best, calm, cheap] == front([worse, cheap, dear, best, calm])


def test_equals_stand_on_the_front_together() -> None:
    """To beat is to be better in something."""
    one, two = ended(0, 0.5, 0.2, 10), ended(1, 0.5, 0.2, 10)
    assert not one.last.beats(two.last)
    assert [one, two] == front([two, one])


@given(points)
def test_beating_is_an_order(held: list[tuple[int, int, int]]) -> None:
    """Nobody beats itself or its better, and who beats a better one beats the worse one too."""
    courses = [at(a / 5, f / 5, c) for a, f, c in held]
    for a in courses:
        assert not a.beats(a)
        for b in courses:
            assert not (a.beats(b) and b.beats(a))
            for c in courses:
                assert not (a.beats(b) and b.beats(c)) or a.beats(c)


@given(points)
def test_the_front_does_not_hang_on_the_order_of_trials(held: list[tuple[int, int, int]]) -> None:
    """Nor on trials that it leaves out."""
    outcomes = [ended(n, a / 5, f / 5, c) for n, (a, f, c) in enumerate(held)]
    found = front(outcomes)
    assert found == front(outcomes[::-1]) == front(found)


@pytest.mark.parametrize(("prefer", "number"), [("accuracy", 0), ("forgetting", 2), ("cost", 1)])
def test_what_is_preferred_by_hand(prefer: str, number: int) -> None:
    """Within two points of 0.90: 0.885 costs least, 0.88 forgets least; 0.87 is out of reach."""
    outcomes = [
        ended(0, 0.90, 0.30, 100),
        ended(1, 0.885, 0.25, 20),
        ended(2, 0.8801, 0.05, 60),
        ended(3, 0.87, 0.00, 1),
    ]
    assert number == choose(outcomes, prefer).number


def test_ties_go_to_less_forgetting_then_to_less_cost_then_to_the_first() -> None:
    """So that the winner does not hang on the order in which trials ended."""
    outcomes = [
        ended(5, 0.9, 0.2, 10),
        ended(4, 0.9, 0.1, 30),
        ended(3, 0.9, 0.1, 20),
        ended(2, 0.9, 0.1, 20),
    ]
    for prefer in ("accuracy", "forgetting"):
        assert 2 == choose(outcomes, prefer).number
    assert 5 == choose(outcomes, "cost").number


@given(points, st.integers(0, 5))
def test_a_budget_is_never_broken(held: list[tuple[int, int, int]], limit: int) -> None:
    """Within it, the rule is the same as among those alone that keep it."""
    outcomes = [ended(n, a / 500, f / 5, c) for n, (a, f, c) in enumerate(held)]
    able = [one for one in outcomes if one.last.flops <= limit]
    for prefer in ("accuracy", "forgetting", "cost"):
        if able:
            assert choose(able, prefer) == choose(outcomes, prefer, budget=limit)
        else:
            with pytest.raises(InvalidValue, match="no trial stayed within"):
                choose(outcomes, prefer, budget=limit)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=4, max_size=9))
def test_nothing_on_the_front_so_far_is_stopped(held: list[tuple[int, int, int]]) -> None:
    """Whoever stops is beaten, at that span, by one that came as far."""
    courses = [[at(0.5), at(a / 5, f / 5, c, 1)] for a, f, c in held]
    for i, course in enumerate(courses):
        others = courses[:i] + courses[i + 1 :]
        if hopeless(course, others):
            assert any(other[1].beats(course[1]) for other in others)
