"""Streams: tasks in a row, or one unbroken sequence."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.scenario import Scenario
from perdure.streams import Rows, Stream, Task, by_column, permuted, split
from perdure.streams.stream import scenario_named


def rows(n, first=0):
    return Rows(torch.arange(first, first + n)[:, None], torch.zeros(n, dtype=torch.int64))


def test_a_stream_is_iterated_over_by_task(toy):
    """It has a length, its tasks count up from 0, and training rows are those of the task."""
    stream = split(toy(), tasks=3)
    assert 3 == len(stream)
    assert [0, 1, 2] == [task.id for task in stream]
    assert list(stream) == list(stream.tasks)
    assert stream.training_rows(1) is stream.tasks[1].train


def test_the_input_shape_is_that_of_what_the_learner_gets(toy):
    """After the transform."""
    assert (1, 4, 4) == split(toy(), tasks=3).input_shape
    flat = Rows(torch.zeros(3, 2, 2), torch.zeros(3), transform=lambda x: x.flatten(1))
    assert (4,) == Stream("flat", Scenario.DOMAIN, (Task(0, "flat", flat, flat),), 1).input_shape


@given(size=st.integers(1, 17), start=st.integers(0, 12), seed=st.integers(0, 9))
def test_the_sequence_brings_every_training_row_once_task_after_task(size, start, seed):
    """In batches of one size throughout: boundaries do not break them; a start gives the tail."""
    lengths = (7, 12, 5)
    tasks = [Task(t, str(t), rows(n, 100 * t), rows(1)) for t, n in enumerate(lengths)]
    stream = Stream("toy", Scenario.FREE, tuple(tasks), 1)
    batches = list(stream.sequence(size, seed=seed))
    drawn = [row for batch in batches for row in batch.x[:, 0].tolist()]
    first = 0
    for t, n in enumerate(lengths):
        assert list(range(100 * t, 100 * t + n)) == sorted(drawn[first : first + n])
        first += n
    assert {size} >= {len(batch) for batch in batches[:-1]}
    assert all(batch.new == len(batch) for batch in batches)
    tail = list(stream.sequence(size, seed=seed, start=start))
    assert [b.x.tolist() for b in batches[start:]] == [b.x.tolist() for b in tail]


def test_the_sequence_of_a_free_stream_knows_no_tasks(toy):
    """In the other scenarios each row of a batch has its own task id."""
    (free,) = split(toy(), 3, "free").sequence(60)
    assert free.task is None
    (known,) = split(toy(), 3, "class").sequence(60)
    assert [0] * 20 + [1] * 20 + [2] * 20 == known.task.tolist()


def test_the_sequence_keeps_an_order_that_belongs_to_the_stream(toy, ids):
    """Rows by time stay sorted by time."""
    data = toy()
    time = torch.arange(60).flip(0).numpy(), torch.arange(24).numpy() * 2.5
    stream = by_column(data, time, tasks=4, scenario="free")
    assert list(range(59, -1, -1)) == ids(stream.sequence(7, seed=3))


def test_the_sequence_shows_each_task_through_its_own_transform(toy):
    """Permuted rows are permuted as they are when the task is drawn alone."""
    stream = permuted(toy(train=6), tasks=3, scenario="free")
    (batch,) = stream.sequence(18, seed=1)
    for t, task in enumerate(stream):
        alone = {tuple(x.flatten().tolist()) for part in task.train for x in part.x}
        assert alone == {tuple(x.flatten().tolist()) for x in batch.x[6 * t : 6 * t + 6]}


@pytest.mark.parametrize("scenario", ["task", "domain", "class", "free"])
def test_training_rows_carry_their_task_in_every_scenario_but_free(toy, scenario):
    """Test rows alike."""
    for task in split(toy(), 3, scenario):
        for part in (task.train, task.test):
            ids = [None if b.task is None else set(b.task.tolist()) for b in part]
            assert [None if scenario == "free" else {task.id}] == ids


def test_held_out_rows_leave_training_in_the_share_asked_for(toy, ids):
    """Of each class alike; none is in both, none is lost, and test rows are untouched."""
    stream = split(toy(), tasks=3)
    held = stream.holdout(0.3, seed=4)
    for before, after in zip(stream, held, strict=True):
        assert sorted(ids(before.train)) == sorted(ids(after.train) + ids(after.valid))
        assert not set(ids(after.train)) & set(ids(after.valid))
        assert [3, 3] == after.valid.labels().bincount()[list(after.classes)].tolist()
        assert after.test is before.test
        assert {after.id} == set(next(iter(after.valid)).task.tolist())


def test_holding_out_is_repeatable_and_done_once(toy, ids):
    """The seed decides; a second time is refused."""
    stream = split(toy(), tasks=3)
    held, again = stream.holdout(0.3, seed=4), stream.holdout(0.3, seed=4)
    assert ids(held.tasks[0].valid) == ids(again.tasks[0].valid)
    assert ids(held.tasks[0].valid) != ids(stream.holdout(0.3, seed=5).tasks[0].valid)
    with pytest.raises(InvalidValue, match=r"task 0 .* already"):
        held.holdout(0.3)
    with pytest.raises(InvalidValue, match="fraction"):
        stream.holdout(1.0)


def test_held_out_rows_leave_an_order_in_time_alone(toy, ids):
    """The rows that remain are still sorted."""
    time = torch.arange(60).numpy(), torch.arange(24).numpy() * 2.5
    stream = by_column(toy(), time, tasks=2).holdout(0.25)
    drawn = ids(stream.tasks[1].train.batches(5, seed=0, epochs=1))
    assert sorted(drawn) == drawn
    assert stream.tasks[1].train.ordered


def test_a_stream_describes_itself(toy):
    """Name, scenario, shapes, and the rows of each task."""
    text = split(toy(), 3, order=range(6)).holdout(0.1).describe()
    assert [
        "split toy: scenario class, 3 tasks",
        "  input (1, 4, 4), outputs 6",
        "  0  a+b: 18 rows + 2 held out, 8 test",
        "  1  c+d: 18 rows + 2 held out, 8 test",
        "  2  e+f: 18 rows + 2 held out, 8 test",
    ] == text.splitlines()


def test_a_task_without_rows_is_refused():
    """The message says which side is empty."""
    none = rows(3).take(torch.tensor([], dtype=torch.int64))
    with pytest.raises(InvalidValue, match=r"task 4 \(sea\) has 3 rows to learn from and 0"):
        Task(4, "sea", rows(3), none)
    with pytest.raises(InvalidValue, match="0 rows to learn from"):
        Task(0, "sea", none, rows(3))


def test_tasks_must_count_up_from_0():
    """No tasks are no stream, and a gap in the ids would shift results."""
    with pytest.raises(InvalidValue, match="count up from 0"):
        Stream("none", Scenario.TASK, (), 2)
    with pytest.raises(InvalidValue, match=r"\[1\]"):
        Stream("one", Scenario.TASK, (Task(1, "b", rows(1), rows(1)),), 2)


def test_a_scenario_is_known_by_its_name():
    """By string or as it is; another name is refused with those that exist."""
    assert Scenario.DOMAIN is scenario_named("domain") is scenario_named(Scenario.DOMAIN)
    with pytest.raises(InvalidValue, match="'online'; it must be one of task, domain, class, free"):
        scenario_named("online")
