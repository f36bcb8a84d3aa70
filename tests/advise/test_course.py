"""Retrain, fine-tune or learn continually: the decision and its arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perdure.advise.course import Course, course_of
from perdure.advise.questions import Situation

MINUTE = 60.0
COSTS = Situation(rows=60_000, new_rows=5_000, retrain=12 * MINUTE, budget=30 * MINUTE)


def test_where_the_past_does_not_matter_fine_tuning_is_right_whatever_else_is_so() -> None:
    """Even if retraining would fit."""
    course, reasons = course_of(replace(COSTS, past_matters=False))
    assert Course.FINE_TUNE is course
    assert "forgetting it costs nothing" in reasons[0]


def test_where_nothing_changes_there_is_nothing_to_forget() -> None:
    """Neither inputs nor classes."""
    course, reasons = course_of(Situation(growing=False, drifting=False))
    assert Course.FINE_TUNE is course
    assert "more of the same" in reasons[0]


@pytest.mark.parametrize(
    "situation",
    [
        Situation(growing=False),
        Situation(drifting=False),
        Situation(growing=False, drifting=True),
        Situation(growing=False, drifting=False, task_known=True),
    ],
)
def test_that_nothing_changes_is_never_assumed(situation: Situation) -> None:
    """It must have been said of both, and tasks that are told apart are a change."""
    assert Course.CONTINUAL is course_of(situation)[0]


def test_one_task_is_trained_as_usual() -> None:
    """Without a past there is nothing continual."""
    course, reasons = course_of(Situation(tasks=1))
    assert Course.RETRAIN is course
    assert "train once" in reasons[0]


def test_exactly_zero_forgetting_rules_out_retraining_where_something_can_promise_it() -> None:
    """With the task id; without it nothing can, and the budget decides."""
    wish = replace(COSTS, zero_forgetting=True)
    assert Course.CONTINUAL is course_of(replace(wish, task_known=True))[0]
    assert Course.RETRAIN is course_of(replace(wish, task_known=False))[0]


def test_what_may_not_be_kept_cannot_be_trained_on_again() -> None:
    """However short a training would be."""
    course, reasons = course_of(replace(COSTS, keep_raw=False))
    assert Course.CONTINUAL is course
    assert "none may be kept" in reasons[0]


def test_retraining_that_fits_to_the_end_is_the_advice() -> None:
    """60,000 + 10 x 5,000 = 110,000 rows; 12 min x 110 / 60 = 22 min, of 30."""
    course, reasons = course_of(replace(COSTS, tasks=10))
    assert Course.RETRAIN is course
    assert "takes 12 min on today's rows, and one update may take 30 min: it fits" in reasons[0]
    assert "after all 10 updates it still does: 60,000 + 10 x 5,000 rows take 22 min" in reasons[0]


def test_retraining_that_fits_for_a_while_says_for_how_long() -> None:
    """12 (60 + 5 k) / 60 <= 30 gives k <= 18; then 60,000 + 18 x 5,000 rows take 30 min."""
    for tasks in (None, 100):
        course, reasons = course_of(replace(COSTS, tasks=tasks))
        assert Course.RETRAIN is course
        assert "for 18 updates (60,000 + 18 x 5,000 rows take 30 min)" in reasons[0]
        assert "from then on, learn continually" in reasons[0]


def test_retraining_that_fits_only_today_is_not_the_advice() -> None:
    """Of 12 min today, one update makes 13, and 12.5 are allowed."""
    course, reasons = course_of(replace(COSTS, budget=12.5 * MINUTE))
    assert Course.CONTINUAL is course
    assert (
        "with the next update it no longer does: 60,000 + 1 x 5,000 rows take 13 min" in reasons[0]
    )


def test_retraining_that_does_not_fit_says_what_an_update_saves() -> None:
    """2 x 5,000 rows in place of 65,000 are 6.5 times fewer; 12 min x 10 / 60 = 2 min."""
    course, reasons = course_of(replace(COSTS, budget=10 * MINUTE))
    assert Course.CONTINUAL is course
    assert "takes 12 min on today's rows, and one update may take 10 min" in reasons[0]
    assert "2 x 5,000 rows a pass, retraining 60,000 + 5,000: 6.5 times as many" in reasons[1]
    assert reasons[1].endswith("it takes about 2 min")


def test_an_update_that_does_not_fit_either_is_said_to() -> None:
    """2 min where one is allowed."""
    _, reasons = course_of(replace(COSTS, budget=MINUTE))
    assert "2 min: still too long" in reasons[1]


def test_where_an_update_brings_as_much_as_there_is_nothing_is_saved() -> None:
    """Replay reads 2 x 60,000 rows, retraining as many."""
    _, reasons = course_of(replace(COSTS, new_rows=60_000, budget=MINUTE))
    assert "nothing to save yet" in reasons[1]


@pytest.mark.parametrize("unknown", ["retrain", "budget"])
def test_where_a_duration_is_unknown_the_advice_says_what_to_time(unknown: str) -> None:
    """And still compares what is read, which needs no durations."""
    course, reasons = course_of(replace(COSTS, **{unknown: None}))
    assert Course.CONTINUAL is course
    assert "time one training; where it fits and all rows may be kept, retrain" in reasons[0]
    assert "6.5 times as many" in reasons[1]


def test_where_the_growth_is_unknown_retraining_that_fits_today_is_the_advice() -> None:
    """To be timed again now and then."""
    course, reasons = course_of(Situation(retrain=MINUTE, budget=MINUTE))
    assert Course.RETRAIN is course
    assert "time it again now and then" in reasons[0]


QUANTITY = st.integers(1, 10**7)


@given(
    st.floats(1, 1e5), st.floats(1, 1e5), st.none() | QUANTITY, st.none() | QUANTITY, st.booleans()
)
def test_retraining_is_the_advice_where_it_fits_now_and_after_the_next_update(
    retrain: float, budget: float, rows: int | None, new: int | None, told: bool
) -> None:
    """Against the condition itself, left alone where rounding decides."""
    known = rows is not None and new is not None
    after = retrain * (rows + new) / rows if known else retrain
    assume(abs(after - budget) > 1e-6 * budget)
    situation = Situation(
        keep_raw=True if told else None, rows=rows, new_rows=new, retrain=retrain, budget=budget
    )
    fits = retrain <= budget and after <= budget
    assert (Course.RETRAIN if fits else Course.CONTINUAL) is course_of(situation)[0]


@given(st.floats(1, 1e5), st.floats(1, 1e5), QUANTITY, QUANTITY, st.none() | st.integers(2, 1000))
def test_there_is_always_a_reason(
    retrain: float, budget: float, rows: int, new: int, tasks: int | None
) -> None:
    """None of them empty, whatever the numbers."""
    situation = Situation(rows=rows, new_rows=new, retrain=retrain, budget=budget, tasks=tasks)
    _, reasons = course_of(situation)
    assert reasons
    assert all(reasons)
