"""From typed text to answers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.advise.answers import answer, duration, options, seconds
from perdure.advise.questions import QUESTIONS, Situation
from perdure.errors import InvalidValue

BY_NAME = {question.name: question for question in QUESTIONS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600), (" 2 H ", 7200), ("0.5s", 0.5)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: float) -> None:
    """Seconds, minutes, hours, days, in any case and with any blanks."""
    assert expected == seconds(text)


@pytest.mark.parametrize("text", ["", "30", "m", "1h30m", "-2h", "2 weeks", "nan s", "1e3s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """A bare number too: nobody could tell its unit."""
    with pytest.raises(InvalidValue, match="90s, 30m, 2h"):
        seconds(text)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0.25, "0.25 s"),
        (59, "59 s"),
        (60, "1 min"),
        (400, "6.67 min"),
        (3600, "1 h"),
        (5400, "1.5 h"),
        (86400, "24 h"),
        (200_000, "2.31 days"),
    ],
)
def test_a_duration_is_said_in_the_largest_unit_that_it_fills(amount: float, expected: str) -> None:
    """With three digits."""
    assert expected == duration(amount)


@pytest.mark.parametrize("text", ["y", "yes", "YES", " Yes "])
def test_yes_is_yes(text: str) -> None:
    """However it is typed."""
    assert answer(BY_NAME["growing"], text) is True


@pytest.mark.parametrize("text", ["n", "no", "No"])
def test_no_is_no(text: str) -> None:
    """However it is typed."""
    assert answer(BY_NAME["growing"], text) is False


@pytest.mark.parametrize("question", QUESTIONS, ids=list(BY_NAME))
def test_nothing_typed_is_unknown(question) -> None:
    """For every kind of question."""
    assert answer(question, "  ") is None


@pytest.mark.parametrize(("text", "expected"), [("12", 12), ("60,000", 60_000), ("1_000", 1000)])
def test_a_number_may_have_separators(text: str, expected: int) -> None:
    """As people write them."""
    assert expected == answer(BY_NAME["rows"], text)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("growing", "maybe", "neither yes nor no"),
        ("rows", "5k", "no whole number"),
        ("rows", "0", "above 0"),
        ("tasks", "-3", "no whole number"),
        ("budget", "soon", "a number and a unit"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_would_be(name: str, text: str, hint: str) -> None:
    """So that the question can be asked again."""
    with pytest.raises(InvalidValue, match=hint):
        answer(BY_NAME[name], text)


def test_a_typed_duration_is_in_seconds() -> None:
    """The same as `seconds` gives."""
    assert 1800.0 == answer(BY_NAME["budget"], "30m")


@given(st.floats(0.001, 1e7))
def test_a_duration_survives_being_written_as_an_option(amount: float) -> None:
    """To ten digits, in a form that is understood."""
    _, text = options(Situation(budget=amount)).split()
    assert seconds(text) == pytest.approx(amount, rel=1e-9)


def test_options_name_what_was_answered_and_nothing_else() -> None:
    """Yes, no, a number, a duration; unknown answers are left out."""
    situation = Situation(past_matters=True, keep_raw=False, new_rows=500, retrain=90.5)
    assert "--past-matters --no-keep-raw --new-rows 500 --retrain 90.5s" == options(situation)
    assert "" == options(Situation())
