"""Gradual: tasks that fade into each other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams import Data, Rows, Stream, Task, by_column, gradual, permuted, split


def stream_of(lengths, scenario=Scenario.CLASS):
    """Task t has rows 1000 t, 1000 t + 1, ... with label t."""
    tasks = []
    for t, n in enumerate(lengths):
        x = torch.arange(1000 * t, 1000 * t + n)[:, None]
        id_ = None if scenario is Scenario.FREE else t
        rows = Rows(x, torch.full((n,), t), task=id_)
        tasks.append(Task(t, str(t), rows, rows, classes=(t,)))
    return Stream("toy", scenario, tuple(tasks), len(lengths))


def origins(stream):
    """The task that each row of the sequence was made for."""
    return torch.cat([batch.y for batch in stream.sequence(64)])


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    width=st.floats(0.01, 1),
    seed=st.integers(0, 9),
)
def test_every_row_still_comes_exactly_once(lengths, width, seed):
    """And each task keeps its number of rows."""
    stream = stream_of(lengths)
    blurred = gradual(stream, width, seed=seed)
    rows = [row for batch in blurred.sequence(7) for row in batch.x[:, 0].tolist()]
    assert sorted(x for task in stream for b in task.train for x in b.x[:, 0].tolist()) == sorted(
        rows
    )
    assert lengths == [len(task.train) for task in blurred]


@pytest.mark.parametrize("width", [0.2, 0.5, 1.0])
def test_the_share_of_the_next_task_rises_in_a_straight_line(width):
    """Over 1,000 rows of width at a boundary, each tenth has its share to within one percent."""
    rows = round(1000 / width)
    order = origins(gradual(stream_of([rows, rows]), width)).double()
    ramp = order[rows - 500 : rows + 500].view(10, 100).mean(1)
    assert torch.allclose(torch.linspace(0.05, 0.95, 10, dtype=torch.float64), ramp, atol=0.011)
    assert 0 == float(order[: rows - 500].sum())
    assert 1 == float(order[rows + 500 :].mean())


def test_the_smaller_neighbour_decides_how_wide_the_ramp_is():
    """At width 1, half of the smaller task lies on either side of the boundary."""
    order = origins(gradual(stream_of([400, 100]), 1.0))
    assert 0 == int(order[:350].sum())
    assert 0 < int(order[350:400].sum()) < 25
    assert 1 == int(order[450:].double().mean())


def test_a_task_in_the_middle_meets_both_neighbours():
    """And ramps do not overlap even at width 1: tasks 0 and 2 never share a stretch."""
    order = origins(gradual(stream_of([100, 100, 100]), 1.0))
    assert 2 not in order[:150]
    assert 0 not in order[150:]


def test_rows_keep_label_task_and_transform():
    """A permuted row is permuted as before, under its own task id."""
    x = torch.rand(40, 1, 2, 2)
    y = torch.arange(40) % 2
    stream = permuted(Data("toy", x, y, x, y, ("a", "b")), 2)
    blurred = gradual(stream, 1.0)
    (first, second) = (next(iter(task.train)) for task in blurred)
    assert {0, 1} == set(first.task.tolist()) == set(second.task.tolist())
    for part in (first, second):
        for shown, task, label in zip(part.x, part.task.tolist(), part.y.tolist(), strict=True):
            change = stream.tasks[task].train.transform
            whole = x if change is None else change(x)
            matches = (whole == shown).flatten(1).all(1).nonzero().flatten()
            assert label in y[matches].tolist()


def test_each_pass_keeps_the_order_in_which_the_tasks_fade():
    """Shuffling a task would lose the ramp."""
    rows = gradual(stream_of([50, 50]), 0.8).tasks[0].train
    batches = list(rows.batches(10, seed=3, epochs=2))
    first, second = ([b.x.tolist() for b in half] for half in (batches[:5], batches[5:]))
    assert first == second
    assert [0.0, 0.0, 0.0] == [float(b.y.double().mean()) for b in batches[:3]]
    assert 0 < float(batches[4].y.double().mean())


def test_a_free_stream_stays_without_task_ids_and_is_not_shuffled_but_by_the_seed(toy):
    """Other seeds, other orders; test rows are the same objects."""
    stream = split(toy(), 3, "free", order=range(6))
    blurred = gradual(stream)
    assert all(batch.task is None for batch in blurred.sequence(8))
    assert all(a.test is b.test for a, b in zip(stream, blurred, strict=True))
    drawn = [b.x.tolist() for b in blurred.sequence(60)]
    assert drawn == [b.x.tolist() for b in gradual(stream).sequence(60)]
    assert drawn != [b.x.tolist() for b in gradual(stream, seed=1).sequence(60)]
    assert ("gradual split toy", Scenario.FREE) == (blurred.name, blurred.scenario)


def test_an_order_in_time_is_kept_outside_the_ramps(toy, ids):
    """Only rows near a boundary change places."""
    time = torch.arange(60).numpy(), torch.arange(24).numpy() * 2.5
    blurred = gradual(by_column(toy(), time, tasks=2), 0.2)
    drawn = ids(blurred.sequence(60))
    assert list(range(27)) == drawn[:27]
    assert list(range(33, 60)) == drawn[33:]
    assert list(range(60)) == sorted(drawn)


@pytest.mark.parametrize("width", [0, -0.5, 1.2])
def test_a_width_out_of_range_is_refused(width):
    """Beyond 1, two ramps would overlap."""
    with pytest.raises(InvalidValue, match=r"it must lie in \(0, 1\]"):
        gradual(stream_of([5, 5]), width)


def test_a_data_set_must_become_a_stream_first():
    """The message shows the call that does it."""
    with pytest.raises(InvalidValue, match=r"gradual\(split\('digits'\), width=0.5\)"):
        gradual("digits")
