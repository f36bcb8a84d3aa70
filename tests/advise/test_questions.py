"""Questions and their answers."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.advise.questions import QUESTIONS, Situation
from perdure.errors import InvalidValue

NAMES = [question.name for question in QUESTIONS]
BY_NAME = {question.name: question for question in QUESTIONS}
ANSWERS = {
    "yes or no": st.booleans(),
    "number": st.integers(1, 10**6),
    "duration": st.floats(1, 1e6),
}
SITUATIONS = st.builds(Situation, **{q.name: st.none() | ANSWERS[q.kind] for q in QUESTIONS})


def test_there_is_a_question_for_each_field_in_the_same_order() -> None:
    """None forgotten, none without a place for its answer."""
    assert [field.name for field in fields(Situation)] == NAMES


@pytest.mark.parametrize("question", QUESTIONS, ids=NAMES)
def test_a_question_asks_and_says_why(question) -> None:
    """In whole sentences."""
    assert "?" in question.text
    assert question.why.endswith(".")


@pytest.mark.parametrize("question", QUESTIONS, ids=NAMES)
def test_something_is_assumed_for_every_yes_or_no_and_for_nothing_else(question) -> None:
    """A number that nobody gave is not invented."""
    assert (question.assumed is not None) == (question.kind == "yes or no")


@given(SITUATIONS)
def test_assuming_never_overrules_an_answer_and_leaves_no_yes_or_no_open(
    situation: Situation,
) -> None:
    """And assuming twice is assuming once."""
    full = situation.assumed()
    for question in QUESTIONS:
        told, taken = getattr(situation, question.name), getattr(full, question.name)
        assert taken == (question.assumed if told is None else told)
    assert full == full.assumed()


@given(SITUATIONS, st.sampled_from(QUESTIONS))
def test_an_answer_changes_one_field(situation: Situation, question) -> None:
    """The others stay."""
    other = situation.with_answer(question, None)
    differing = {name for name in NAMES if getattr(situation, name) != getattr(other, name)}
    assert differing <= {question.name}
    assert getattr(other, question.name) is None


@pytest.mark.parametrize("name", ["tasks", "rows", "new_rows", "retrain", "budget"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_quantity_that_is_not_positive_is_refused_by_name(name: str, value: int) -> None:
    """As soon as the situation is made."""
    with pytest.raises(InvalidValue, match=f"{name} is {value}"):
        Situation(**{name: value})


def test_no_is_an_answer() -> None:
    """It is not taken for unknown, nor for a quantity of zero."""
    assert Situation(keep_raw=False).assumed().keep_raw is False


@pytest.mark.parametrize(
    ("situation", "skipped"),
    [
        (Situation(past_matters=False), set(NAMES) - {"past_matters"}),
        (Situation(task_known=True), {"growing", "drifting", "boundaries"}),
        (Situation(keep_raw=False), {"rows", "new_rows", "retrain", "budget"}),
        (Situation(), set()),
    ],
    ids=["the past does not matter", "tasks are known", "no rows may be kept", "nothing is known"],
)
def test_what_no_longer_matters_is_not_asked(situation: Situation, skipped: set[str]) -> None:
    """Each answer saves the questions that hang on it, and no others."""
    assert skipped == {question.name for question in QUESTIONS if not question.asked(situation)}


def test_the_first_question_is_whether_there_is_a_problem_at_all() -> None:
    """Where the past does not matter, one answer is enough."""
    assert "past_matters" == QUESTIONS[0].name
    assert BY_NAME["past_matters"].assumed is True
