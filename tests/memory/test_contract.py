"""One contract for every storage under every policy: a plain list, or a memory in RAM, says it."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import Batch, checkpoint
from perdure.errors import InvalidValue
from perdure.memory import (
    Balanced,
    Capped,
    Everything,
    Herding,
    RamStorage,
    Reservoir,
    capacity_within,
)
from perdure.testing import assert_same_state

CAPACITY = 12
POLICIES = {
    "reservoir": lambda: Reservoir(CAPACITY),
    "balanced": lambda: Balanced(CAPACITY, quota=5),
    "capped": lambda: Capped(CAPACITY, share=0.4),
    "herding": lambda: Herding(CAPACITY),
    "everything": Everything,
}
STORAGES = ["ram", "mapped", "database"]
every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=list(POLICIES))
histories = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)

# -- a storage is a list -------------------------------------------------------------------------

events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.integers(0, 10**6), min_size=1, max_size=8)),
        st.tuples(st.just("keep"), st.lists(st.integers(0, 10**6), max_size=8)),
        st.tuples(st.just("widen"), st.just([])),
        st.tuples(st.sampled_from(["save", "move"]), st.just([])),
    ),
    max_size=10,
)


@histories
@given(events)
def test_any_history_of_a_storage_is_that_of_a_list(make_storage, storages, history) -> None:
    """Overwritten, appended, kept, widened, saved and loaded: rows, columns, state and size."""
    storage, model = make_storage(CAPACITY), []
    number, width = 0, 1
    for event, draws in history:
        if event == "write":
            slots = [place(draw, model, number + i) for i, draw in enumerate(draws)]
            batch = numbered(range(number, number + len(draws)), width)
            storage.write(torch.tensor(slots), batch, torch.arange(len(draws)))
            number += len(draws)
        elif event == "keep":
            kept = list(dict.fromkeys(draw % len(model) for draw in draws if model))
            storage.keep(torch.tensor(kept, dtype=torch.long))
            model = [model[slot] for slot in kept]
        elif event == "widen":
            width += 1
        else:
            other = make_storage if event == "save" else storages["ram"]
            again = other(CAPACITY)
            again.load_state_dict(storage.state_dict())
            storage = make_storage(CAPACITY)
            storage.load_state_dict(again.state_dict())
        check_is(storage, model)


def place(draw: int, model: list[int], number: int) -> int:
    """A slot filled already, or the next one; writes the row there in the model."""
    slot = draw % (min(len(model), CAPACITY - 1) + 1)
    model[slot : slot + 1] = [number]
    return slot


def numbered(numbers, width: int = 1) -> Batch:
    """Rows in several dtypes, each of which tells its number."""
    n = torch.tensor(list(numbers), dtype=torch.long)
    x = (n[:, None] + torch.arange(6)).to(torch.uint8).view(-1, 2, 3)
    logits = n[:, None].expand(-1, width).float()
    return Batch(x, n, n % 3, {"logits": logits, "time": n.double() / 7})


def check_is(storage, model: list[int]) -> None:
    """The storage holds these rows in this order, and takes no more room than they may."""
    assert len(storage) == len(model)
    if not storage.state_dict():
        return
    order = torch.tensor([*range(len(model)), *range(len(model))][::-2], dtype=torch.long)
    for read, expected in (
        (storage.read(torch.arange(len(model))), numbered(model)),
        (storage.read(order), numbered([model[slot] for slot in order.tolist()])),
    ):
        assert (read.x.dtype, read.new) == (torch.uint8, 0)
        for name in ("x", "y", "task"):
            assert torch.equal(getattr(expected, name), getattr(read, name))
        assert torch.equal(expected.extras["time"], read.extras["time"])
        assert torch.equal(expected.extras["logits"], read.extras["logits"][:, :1])
    state = storage.state_dict()
    for name, column in state.items():
        assert torch.equal(column.nan_to_num(), storage.column(name).nan_to_num())
    assert storage.bytes() <= CAPACITY * sum(c[:0].element_size() * row(c) for c in state.values())


def row(column: torch.Tensor) -> int:
    return column[:1].numel() if len(column) else column.shape[1:].numel()


# -- a memory does not know where its rows lie ---------------------------------------------------

memory_events = st.lists(
    st.tuples(st.sampled_from(["add", "erase", "expire", "draw", "move"]), st.integers(0, 30)),
    min_size=1,
    max_size=10,
)


@every_policy
@settings(histories, max_examples=8)
@given(memory_events)
def test_any_history_of_a_memory_is_that_of_one_in_ram(make_storage, make, history) -> None:
    """Rows, draws and state, bit for bit, moved from storage to storage on the way."""
    ram, memory, number = make(), make(), 0
    memory.move(make_storage(memory.capacity))
    for event, count in history:
        if event == "add":
            rows = of_sources(range(number, number + count))
            number += count
            ram.add(rows)
            memory.add(rows)
        elif event in ("erase", "expire"):
            doomed = torch.arange(len(ram)) % 5 < count % 5
            erased = [getattr(one, event)(doomed) for one in (ram, memory)]
            assert erased == [int(doomed.sum())] * 2
        elif event == "draw" and len(ram):
            assert torch.equal(ram.sample(count).x, memory.sample(count).x)
        elif event == "move":
            memory.move(make_storage(memory.capacity))
        assert_same_state(ram.state_dict(), memory.state_dict(), f"after {event}")
        assert ram.group_counts() == memory.group_counts()


@every_policy
@pytest.mark.parametrize(("written", "read"), [*product(STORAGES, STORAGES)], ids="-".join)
def test_what_one_storage_wrote_any_other_loads(storages, make, written, read, tmp_path) -> None:
    """From a file: the two go on bit for bit alike, and write what a memory in RAM writes."""
    ram, ours, theirs = make(), make(), make()
    ours.move(storages[written](ours.capacity))
    theirs.move(storages[read](theirs.capacity))
    for memory in (ram, ours):
        memory.add(of_sources(range(100)))
    checkpoint.save(tmp_path / "memory.safetensors", ours.state_dict())
    theirs.load_state_dict(checkpoint.load(tmp_path / "memory.safetensors"))
    assert_same_state(ram.state_dict(), theirs.state_dict(), f"{written} to {read}")
    for memory in (ours, theirs):
        memory.erase(torch.tensor([0, 3]))
        memory.add(of_sources(range(100, 150)))
    assert_same_state(ours.state_dict(), theirs.state_dict(), f"{written} to {read}, later")


@every_policy
def test_a_memory_takes_no_more_bytes_than_it_was_given(make_storage, make) -> None:
    """1,000 rows through a memory of as many rows as fit into 2,000 bytes."""
    rows = of_sources(range(50))
    held = Batch(rows.x, rows.y, rows.task, {"source": rows.extras["source"]})
    memory = make()
    if not isinstance(memory, Everything):
        memory.capacity = memory.storage.capacity = capacity_within(2000, held)
        memory.move(make_storage(memory.capacity))
        for start in range(0, 1000, 50):
            memory.add(of_sources(range(start, start + 50)))
            assert memory.bytes() <= 2000


def test_where_the_rows_lie_is_no_part_of_the_memory_s_name(make_storage) -> None:
    """`repr` is the policy's call, whatever the storage."""
    memory = Reservoir(5)
    memory.move(make_storage(5))
    assert repr(memory) == "Reservoir(capacity=5)"


@pytest.mark.parametrize(("rows", "capacity"), [(0, 4), (0, 6), (1, 5)])
def test_a_memory_moves_only_to_an_empty_storage_of_its_size(make_storage, rows, capacity) -> None:
    """Another capacity or foreign rows are refused, and the memory stays where it was."""
    memory, storage = Reservoir(5), make_storage(capacity)
    memory.add(numbered(range(3)))
    storage.write(torch.arange(rows), numbered(range(rows)), torch.arange(rows))
    with pytest.raises(InvalidValue, match="capacity=5 and no row"):
        memory.move(storage)
    assert isinstance(memory.storage, RamStorage)
    assert [0, 1, 2] == memory.rows().y.tolist()


# -- nothing is left -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mapped", "database"])
def test_no_byte_of_a_row_let_go_is_left_in_the_files(storages, files, kind) -> None:
    """Rows overwritten, widened, erased or moved away; small ones, several to a page."""
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        memory = Reservoir(400)
        memory.seed(seed)
        memory.move(storages[kind](400))
        for start in range(0, 1200, 100):
            logits = torch.zeros(100, 1 + start // 100)
            memory.add(planted(range(start, start + 100)).with_extras(logits=logits))
        held = set(memory.column("y").tolist())
        assert found(files(), held) == held
        memory.erase(torch.randperm(400, generator=generator)[:150])
        left = set(memory.column("y").tolist())
        assert found(files(), range(1200)) == left
        memory.move(RamStorage(400))
        assert found(files(), range(1200)) == set()
        assert left == set(memory.rows().y.tolist())


@pytest.mark.parametrize("kind", ["mapped", "database"])
def test_erasing_nothing_still_clears_away_what_was_overwritten(storages, files, kind) -> None:
    """The rows of someone who asks to be forgotten may all have been dropped before."""
    memory = Reservoir(10)
    memory.move(storages[kind](10))
    memory.add(planted(range(200)))
    memory.add(planted(range(200, 400)))
    assert 0 == memory.erase(torch.zeros(10, dtype=torch.bool))
    assert found(files(), range(400)) == set(memory.column("y").tolist())


def planted(numbers) -> Batch:
    """Rows of 90 bytes of which 13 say the number, plainly enough to be looked for."""
    x = [list(canary(number)) + [7] * (60 + number % 17) + [0] * 17 for number in numbers]
    return Batch(torch.tensor([r[:90] for r in x], dtype=torch.uint8), torch.tensor(list(numbers)))


def canary(number: int) -> bytes:
    return b"canary%06d." % number


def found(where: bytes, numbers) -> set[int]:
    return {number for number in numbers if canary(number) in where}


def of_sources(numbers) -> Batch:
    """Rows of four sources, one of which sends every other row, with features to herd by."""
    n = torch.tensor(list(numbers), dtype=torch.long)
    source = torch.where(n % 2 == 0, 0, n % 5)
    features = torch.stack((torch.sin(n.float()), torch.cos(n.float())), 1)
    x = n[:, None].to(torch.int16)
    return Batch(x, n % 3, n // 40, {"source": source, "features": features})
