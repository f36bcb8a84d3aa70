"""Outputs of tasks stand in the columns of their labels, whatever came in which order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue, UnseenTask
from perdure.nets.blocks import MASKED
from perdure.nets.columns import TaskColumns

blocks = st.lists(
    st.tuples(st.integers(0, 4), st.sets(st.integers(0, 6), min_size=1, max_size=3)),
    min_size=1,
    max_size=6,
)


def columns(*held: tuple[int, list[int]]) -> TaskColumns:
    made = TaskColumns("Net")
    for task, labels in held:
        made.add(task, labels)
    return made


def rows(task: list[int], y: list[int]) -> Batch:
    return Batch(torch.zeros(len(y), 1), torch.tensor(y), torch.tensor(task))


def placed(held: TaskColumns, outputs: Tensor, task: list[int]) -> list[list[float]]:
    return held(outputs, torch.tensor(task)).tolist()


def test_each_row_has_its_own_task_s_outputs() -> None:
    """By hand: three outputs of task 5, then one of task 2, in the columns of their labels."""
    held = columns((5, [1, 3, 0]), (2, [3]))
    outputs = torch.tensor([[10.0, 11, 12, 13], [20.0, 21, 22, 23]])
    five = [12.0, 10.0, MASKED, 11.0]
    assert [five, [MASKED, MASKED, MASKED, 23.0]] == placed(held, outputs, [5, 2])


def test_a_task_that_comes_again_adds_to_its_columns() -> None:
    """The outputs that it had stay where they were."""
    held = columns((0, [0]), (1, [0]), (0, [2]))
    outputs = torch.tensor([[1.0, 2, 3]])
    assert [[1.0, MASKED, 3.0]] == placed(held, outputs, [0])
    assert [[2.0, MASKED, MASKED]] == placed(held, outputs, [1])


@given(blocks, st.data())
def test_columns_agree_with_looking_each_output_up(
    grown: list[tuple[int, set[int]]], data: st.DataObject
) -> None:
    """Against a dictionary: the number of an output is its place among all that were added."""
    held, where = TaskColumns("Net"), {}
    for task, labels in grown:
        new = sorted(labels - {label for t, label in where if t == task})
        if new:
            held.add(task, new)
        for label in new:
            where[task, label] = len(where)
    tasks = data.draw(st.lists(st.sampled_from([t for t, _ in grown]), min_size=1, max_size=5))
    width = 1 + max(label for _, label in where)
    outputs = torch.arange(len(tasks) * len(where)).float().reshape(len(tasks), -1)
    wanted = torch.full((len(tasks), width), MASKED)
    for i, task in enumerate(tasks):
        for label in range(width):
            if (task, label) in where:
                wanted[i, label] = outputs[i, where[task, label]]
    assert torch.equal(wanted, held(outputs, torch.tensor(tasks)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12))
def test_what_is_unseen_is_told_by_task_and_then_seen(pairs: list[tuple[int, int]]) -> None:
    """Each pair of task and label once, ascending; after it was added, none is."""
    held = columns((0, [0]), (1, [2]))
    batch = rows([task for task, _ in pairs], [label for _, label in pairs])
    new = held.unseen(batch)
    told = [(task, label) for task, labels in new.items() for label in labels]
    assert sorted(set(pairs) - {(0, 0), (1, 2)}) == told
    for task, labels in new.items():
        held.add(task, labels)
    assert {} == held.unseen(batch)
    assert set(held.labels) == set(held.present(batch.task)) | {0, 1}


def test_a_snapshot_answers_in_the_columns_that_it_knew() -> None:
    """A teacher's buffers know nothing of a later task: its rows are masked throughout."""
    held = columns((0, [0, 1]))
    before = {name: tensor.clone() for name, tensor in held.named_buffers()}
    held.add(3, [2])
    outputs = torch.tensor([[1.0, 2.0]] * 2)
    task = torch.tensor([0, 3])
    found = torch.func.functional_call(held, before, (outputs, task))
    assert [[1.0, 2.0], [MASKED, MASKED]] == found.tolist()


def test_gradients_reach_the_row_s_own_outputs_alone() -> None:
    """What is masked is a constant."""
    held = columns((0, [0]), (1, [0, 1]))
    outputs = torch.ones(2, 3, requires_grad=True)
    held(outputs, torch.tensor([0, 1])).sum().backward()
    assert [[1, 0, 0], [0, 1, 1]] == outputs.grad.tolist()


def test_what_cannot_be_placed_is_refused() -> None:
    """Rows without a task, of a task that nobody taught, or with ids that count nothing."""
    held = columns((0, [0]), (4, [1]))
    with pytest.raises(InvalidValue, match="Net needs the task id of each row and got none"):
        held.present(None)
    with pytest.raises(UnseenTask, match=r"no outputs for task 2, 3; it knows tasks 0, 4"):
        held.present(torch.tensor([3, 0, 2]))
    with pytest.raises(UnseenTask, match=r"knows tasks \(none yet\)"):
        columns().present(torch.tensor([0]))
    with pytest.raises(InvalidValue, match="task id is -1"):
        held.add(-1, [0])
    with pytest.raises(InvalidValue, match="label is -2"):
        held.unseen(rows([0], [-2]))
    with pytest.raises(InvalidValue, match="one integer a row"):
        held.present(torch.tensor([0.0]))
