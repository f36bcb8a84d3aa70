"""The accuracy matrix and what is read off it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perdure.errors import InvalidValue
from perdure.measure import AccuracyMatrix

WORKED = [[0.97, 0.94, 0.91], [None, 0.95, 0.93], [None, None, 0.96]]
BASELINE = [0.10, 0.12, 0.08]
FULL = np.array([[0.97, 0.94, 0.91], [0.40, 0.95, 0.93], [0.20, 0.30, 0.96]])

fractions = st.floats(0, 1, width=64)
squares = st.integers(1, 6).flatmap(
    lambda size: arrays(np.float64, (size, size), elements=fractions)
)
holed = st.integers(1, 6).flatmap(
    lambda size: arrays(np.float64, (size, size), elements=fractions | st.just(math.nan))
)


def by_definition(R, baseline, reference):
    """The published formulas with indices from one, in plain loops: a second implementation."""
    T = len(R)

    def r(i, j):
        return R[i - 1][j - 1]

    past = [max(r(i, j) for j in range(1, T)) - r(i, T) for i in range(1, T)]
    drops = [r(i, i) - r(i, j) for i in range(1, T) for j in range(i + 1, T + 1)]
    incremental = [sum(r(i, j) for i in range(1, j + 1)) / j for j in range(1, T + 1)]
    later = range(2, T + 1)
    return {
        "accuracy": sum(r(i, T) for i in range(1, T + 1)) / T,
        "average incremental accuracy": sum(incremental) / T,
        "learning accuracy": sum(r(i, i) for i in range(1, T + 1)) / T,
        "backward transfer": sum(r(i, T) - r(i, i) for i in range(1, T)) / (T - 1),
        "forward transfer": sum(r(i, i - 1) - baseline[i - 1] for i in later) / (T - 1),
        "forgetting": sum(past) / (T - 1),
        "maximum forgetting": max(past),
        "maximum drop": max(drops),
        "intransigence": sum(reference[i - 1] - r(i, i) for i in range(1, T + 1)) / T,
    }


def test_the_worked_example_has_backward_transfer_of_minus_four_points():
    """((.91 - .97) + (.93 - .95)) / 2 = -0.04, which is also printed as -0.0350 elsewhere."""
    matrix = AccuracyMatrix(WORKED)
    assert matrix.bwt() == pytest.approx(-0.04, abs=1e-15)
    assert f"{matrix.bwt():.4f}" == "-0.0400"


def test_the_worked_example_has_no_forward_transfer():
    """No cell below the diagonal was measured, so there is nothing to average, baseline or not."""
    assert AccuracyMatrix(WORKED).fwt() is None
    assert AccuracyMatrix(WORKED, baseline=BASELINE).fwt() is None


def test_the_worked_example_by_hand():
    """Every other measure of it, each worked out from its formula."""
    matrix = AccuracyMatrix(WORKED, reference=[0.98, 0.97, 0.97])
    assert matrix.accuracy() == pytest.approx((0.91 + 0.93 + 0.96) / 3)
    assert matrix.average_incremental_accuracy() == pytest.approx(
        (0.97 + (0.94 + 0.95) / 2 + (0.91 + 0.93 + 0.96) / 3) / 3
    )
    assert matrix.learning_accuracy() == pytest.approx(0.96)
    assert matrix.forgetting() == pytest.approx(0.04)
    assert matrix.max_forgetting() == pytest.approx(0.06)
    assert matrix.max_drop() == pytest.approx(0.06)
    assert matrix.intransigence() == pytest.approx(0.04 / 3)
    assert matrix.final() == {"t0": 0.91, "t1": 0.93, "t2": 0.96}


def test_forward_transfer_is_zero_shot_accuracy_above_the_random_baseline():
    """((.40 - .12) + (.30 - .08)) / 2, task by task in head_start."""
    matrix = AccuracyMatrix(FULL, baseline=BASELINE)
    assert matrix.head_start() == pytest.approx({"t1": 0.28, "t2": 0.22})
    assert matrix.fwt() == pytest.approx(0.25)


def test_forward_transfer_needs_a_baseline():
    """Zero-shot accuracy alone says nothing about transfer."""
    assert AccuracyMatrix(FULL).fwt() is None
    assert AccuracyMatrix(FULL).head_start() == {"t1": None, "t2": None}


def test_intransigence_needs_a_reference():
    """Without a jointly trained model there is nothing to fall short of."""
    assert AccuracyMatrix(FULL).intransigence() is None


def test_forgetting_is_from_the_best_past_and_not_from_the_diagonal():
    """A task that rose from .80 to .90 and ended at .85 forgot .05, while its BWT is +.05."""
    matrix = AccuracyMatrix([[0.80, 0.90, 0.85], [None, 0.7, 0.7], [None, None, 0.6]])
    assert matrix.forgetting_by_task() == pytest.approx({"t0": 0.05, "t1": 0.0})
    assert matrix.bwt() == pytest.approx(0.025)


def test_the_largest_drop_counts_what_was_recovered_since():
    """Accuracy .9, .3, .9 ends without forgetting, but it fell by .6 on the way."""
    matrix = AccuracyMatrix([[0.9, 0.3, 0.9], [None, 0.8, 0.8], [None, None, 0.7]])
    assert matrix.max_drop() == pytest.approx(0.6)
    assert matrix.max_forgetting() == pytest.approx(0.0)


def test_one_task_has_nothing_to_transfer_to_or_to_forget():
    """Means over no tasks are not measured, rather than zero."""
    measures = AccuracyMatrix([[0.9]], baseline=[0.1], reference=[0.95]).measures()
    none = {name for name, value in measures.items() if value is None}
    expected = {
        "backward transfer",
        "forward transfer",
        "forgetting",
        "maximum forgetting",
        "maximum drop",
    }
    assert none == expected


def test_nothing_measured_gives_no_number():
    """An empty matrix has no measure at all."""
    empty = AccuracyMatrix([[None] * 3] * 3, baseline=[None] * 3, reference=[None] * 3)
    assert set(empty.measures().values()) == {None}
    assert set(empty.final().values()) == {None}


def test_a_run_that_stopped_early_has_measures_until_then():
    """After two of three tasks the whole is not measured and the first two are."""
    matrix = AccuracyMatrix.from_columns([[0.9], [0.7, 0.8]], tasks=["a", "b", "c"])
    assert matrix.accuracy() is None
    assert matrix.until(2).accuracy() == pytest.approx(0.75)
    assert matrix.until(2).tasks == ("a", "b")
    assert matrix.until(1) == AccuracyMatrix([[0.9]], ["a"])


def test_columns_and_rows_describe_the_same_matrix():
    """A column holds the accuracies of all tasks so far after one training."""
    columns = [[0.97], [0.94, 0.95], [0.91, 0.93, 0.96]]
    assert AccuracyMatrix.from_columns(columns) == AccuracyMatrix(WORKED)


@given(squares, st.randoms())
def test_measures_agree_with_the_formulas_in_plain_loops(R, random):
    """Any fully measured matrix of two tasks or more, against a second implementation."""
    if len(R) < 2:
        R = np.pad(R, (0, 1))
    baseline, reference = ([random.random() for _ in R] for _ in range(2))
    found = AccuracyMatrix(R, baseline=baseline, reference=reference).measures()
    assert found == pytest.approx(by_definition(R, baseline, reference), abs=1e-12)


@given(holed)
def test_measures_stay_within_their_bounds_or_are_absent(R):
    """Accuracies lie in [0, 1] and differences in [-1, 1], and never is one NaN."""
    matrix = AccuracyMatrix(R, baseline=R[0], reference=R[-1])
    for name, value in matrix.measures().items():
        low = 0 if name.endswith("accuracy") else -1
        assert value is None or low <= value <= 1 + 1e-12


@given(holed)
def test_a_measure_is_absent_exactly_when_its_formula_names_a_hole(R):
    """Accuracy needs the last column; backward transfer also the diagonal of the tasks before."""
    matrix = AccuracyMatrix(R)
    assert (matrix.accuracy() is None) == bool(np.isnan(R[:, -1]).any())
    assert (matrix.learning_accuracy() is None) == bool(np.isnan(np.diag(R)).any())
    needed = np.concatenate([np.diag(R)[:-1], R[:-1, -1]])
    assert (matrix.bwt() is None) == (len(R) == 1 or bool(np.isnan(needed).any()))


@given(squares, st.randoms())
def test_order_of_the_tasks_before_the_last_does_not_matter(R, random):
    """Permuting them, as rows and columns alike, leaves what compares the end with the past."""
    order = [*random.sample(range(len(R) - 1), len(R) - 1), len(R) - 1]
    reference = np.linspace(0, 1, len(R))
    here = AccuracyMatrix(R, reference=reference)
    there = AccuracyMatrix(R[np.ix_(order, order)], reference=reference[order])
    for measure in ("accuracy", "learning_accuracy", "bwt", "forgetting", "intransigence"):
        assert getattr(there, measure)() == pytest.approx(getattr(here, measure)(), abs=1e-12)
    assert there.max_forgetting() == here.max_forgetting()


@given(squares)
def test_forgetting_is_at_least_the_negative_of_backward_transfer(R):
    """The best past accuracy is no worse than the one right after training."""
    matrix = AccuracyMatrix(R)
    if len(R) > 1:
        assert matrix.forgetting() >= -matrix.bwt() - 1e-12
        assert matrix.max_forgetting() >= matrix.forgetting() - 1e-12


@given(fractions, st.integers(2, 5))
def test_a_constant_matrix_has_neither_transfer_nor_forgetting(value, size):
    """Nothing moved, so every difference is zero, which here was measured."""
    matrix = AccuracyMatrix(
        np.full((size, size), value), baseline=[value] * size, reference=[value] * size
    )
    measures = matrix.measures()
    assert measures["accuracy"] == pytest.approx(value)
    assert [v for k, v in measures.items() if not k.endswith("accuracy")] == [0.0] * 6


@given(holed)
def test_plain_values_bring_the_matrix_back(R):
    """Through JSON text, with None for holes and no NaN; equal matrices hash alike."""
    matrix = AccuracyMatrix(R, baseline=R[:, 0])
    text = json.dumps(matrix.to_dict(), allow_nan=False)
    again = AccuracyMatrix.from_dict(json.loads(text))
    assert again == matrix
    assert hash(again) == hash(matrix)


def test_the_array_is_a_copy_with_nan_for_holes():
    """Writing into it leaves the frozen matrix as it was."""
    matrix = AccuracyMatrix(WORKED)
    matrix.array[:] = 0
    assert matrix == AccuracyMatrix(WORKED)
    assert np.isnan(matrix.array).sum() == 3


def test_print_shows_the_triangle_and_says_what_was_not_measured():
    """The table as a whole, to the character."""
    assert str(AccuracyMatrix(WORKED, ["one", "two", "three"])).splitlines() == [
        "after     one     two   three",
        "one    0.9700  0.9400  0.9100",
        "two         -  0.9500  0.9300",
        "three       -       -  0.9600",
        "",
        "accuracy                      0.9333",
        "average incremental accuracy  0.9494",
        "learning accuracy             0.9600",
        "backward transfer             -0.0400",
        "forward transfer              not measured",
        "forgetting                    0.0400",
        "maximum forgetting            0.0600",
        "maximum drop                  0.0600",
        "intransigence                 not measured",
    ]


def test_print_shows_baseline_and_reference_as_columns():
    """Before any training on the left, joint training on the right."""
    lines = str(AccuracyMatrix(FULL, baseline=BASELINE, reference=[0.9, 0.9, 0.9])).splitlines()
    assert lines[0].split() == ["after", "before", "t0", "t1", "t2", "joint"]
    assert lines[1].split() == ["t0", "0.1000", "0.9700", "0.9400", "0.9100", "0.9000"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"values": [[0.5, 0.5]]}, "square"),
        ({"values": []}, "square"),
        ({"values": [[97.0]]}, "divide percentages by 100"),
        ({"values": [[-0.1]]}, "fraction"),
        ({"values": [[0.5]], "tasks": ["a", "b"]}, "different names"),
        ({"values": [[0.5, 0.5]] * 2, "tasks": ["a", "a"]}, "different names"),
        ({"values": [[0.5]], "baseline": [0.1, 0.1]}, "baseline has 2"),
        ({"values": [[0.5]], "reference": []}, "reference has 0"),
    ],
)
def test_what_is_no_accuracy_matrix_is_refused(arguments, says):
    """With what is wrong with it, at construction."""
    with pytest.raises(InvalidValue, match=says):
        AccuracyMatrix(**arguments)


def test_more_columns_than_tasks_are_refused():
    """And so is a time before the first task or after the last."""
    with pytest.raises(InvalidValue, match="no room"):
        AccuracyMatrix.from_columns([[0.5], [0.5]], tasks=["a"])
    with pytest.raises(InvalidValue, match="count is 0"):
        AccuracyMatrix(WORKED).until(0)
    with pytest.raises(InvalidValue, match="count is 4"):
        AccuracyMatrix(WORKED).until(4)
