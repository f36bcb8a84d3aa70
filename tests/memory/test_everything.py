"""The memory without a bound."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import Batch
from perdure.memory.everything import Everything, gathered


@given(st.lists(st.integers(0, 30), max_size=8))
def test_all_rows_are_held_in_the_order_in_which_they_came(sizes) -> None:
    """Whatever the sizes of the batches, empty ones included."""
    memory, batches = Everything(), list(numbered(sizes))
    for batch in batches:
        memory.add(batch)
    total = sum(sizes)
    held = memory.rows()
    assert len(memory) == total
    assert (held is None) == (total == 0)
    if held is not None:
        assert held.x.tolist() == list(range(total))
        assert held.new == 0
        assert torch.equal(gathered(batches).x, held.x)


def test_labels_and_task_ids_come_back_with_their_rows() -> None:
    """And raw inputs in the dtype in which they came."""
    memory = Everything()
    batch = Batch(torch.tensor([[7], [9]], dtype=torch.uint8), torch.tensor([1, 0]), task=3)
    memory.add(batch)
    held = memory.rows()
    assert torch.equal(batch.x, held.x)
    assert held.y.tolist() == [1, 0]
    assert held.task.tolist() == [3, 3]


def test_no_batches_gather_to_nothing() -> None:
    """There is no row whose shape could be taken."""
    assert gathered([]) is None


def test_its_state_restores_rows_and_draws() -> None:
    """A memory loaded from another's state draws what that one draws."""
    first, second = Everything(), Everything()
    for batch in numbered([5, 9]):
        first.add(batch)
    first.sample(3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.sample(20).x, second.sample(20).x)


def test_rows_can_be_erased() -> None:
    """What is erased is gone, and what comes later follows what is left."""
    memory = Everything()
    for batch in numbered([6]):
        memory.add(batch)
    assert memory.erase(torch.tensor([0, 3])) == 2
    memory.add(Batch(torch.tensor([99]), torch.tensor([0])))
    assert memory.rows().x.tolist() == [1, 2, 4, 5, 99]


def test_it_prints_as_its_constructor() -> None:
    """It has no settings."""
    assert repr(Everything()) == "Everything()"


def numbered(sizes):
    start = 0
    for size in sizes:
        x = torch.arange(start, start + size)
        yield Batch(x, x % 2)
        start += size
