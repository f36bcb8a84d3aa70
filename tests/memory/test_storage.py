"""What every storage promises about single rows: what is written is what is read."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from perdure import Batch
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.memory import RamStorage

DTYPES = [torch.uint8, torch.bool, torch.int64, torch.float32, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 3)], ids=str)
def test_rows_come_back_bit_for_bit_in_their_own_dtype(make_storage, dtype, shape) -> None:
    """Every dtype and shape of a row, scattered over the slots and gathered in another order."""
    x = (torch.rand(5, *shape) * 9).to(dtype)
    storage = make_storage(5)
    storage.write(torch.arange(5), Batch(x, torch.arange(5)), torch.tensor([4, 0, 3, 1, 2]))
    read = storage.read(torch.tensor([1, 3, 4, 3]))
    assert read.x.dtype == dtype
    assert torch.equal(read.x, x[[0, 1, 2, 1]])
    assert [0, 1, 2, 1] == read.y.tolist()


def test_a_filled_slot_is_overwritten_and_the_next_ones_are_filled(make_storage) -> None:
    """Slot 1 of three is taken anew while slot 3 is added."""
    storage = filled(make_storage(9), 3)
    storage.write(torch.tensor([1, 3]), labelled([70, 80, 90]), torch.tensor([2, 0]))
    assert [0, 90, 2, 70] == storage.read(torch.arange(4)).y.tolist()


def test_of_several_rows_for_one_slot_the_last_stays(make_storage) -> None:
    """Whatever their number, as if they had been written one by one."""
    storage = filled(make_storage(2), 2)
    storage.write(torch.tensor([1, 0, 1, 1]), labelled([10, 20, 30, 40]), torch.arange(4))
    assert [20, 40] == storage.read(torch.arange(2)).y.tolist()


def test_strided_images_go_in_and_out(make_storage) -> None:
    """Channels that lie last, a transposed view and a loaded state of such: all are written to."""
    x = torch.rand(3, 2, 4, 5).contiguous(memory_format=torch.channels_last)
    storage = make_storage(4)
    storage.load_state_dict({"x": x, "y": torch.arange(3)})
    new = Batch(torch.rand(2, 5, 4, 2).permute(0, 3, 2, 1), torch.tensor([7, 8]))
    storage.write(torch.tensor([1, 3]), new, torch.tensor([1, 0]))
    expected = torch.stack((x[0], new.x[1], x[2], new.x[0]))
    assert torch.equal(expected, storage.read(torch.arange(4)).x)


def test_a_deep_copy_is_written_alone(make_storage) -> None:
    """The copy holds what is written to it, and the original what it held."""
    storage = filled(make_storage(3), 3)
    copied = deepcopy(storage)
    copied.write(torch.tensor([1]), labelled([9]), torch.tensor([0]))
    copied.keep(torch.tensor([1, 0]))
    assert [9, 0] == copied.read(torch.arange(2)).y.tolist()
    assert [0, 1, 2] == storage.read(torch.arange(3)).y.tolist()


def test_task_ids_and_extras_come_back_and_no_row_is_new(make_storage) -> None:
    """Each column is returned under its own name, alone too, whatever its extra is called."""
    storage = make_storage(4)
    extras = {"source": torch.ones(2), "an odd/name": torch.tensor([5, 6])}
    rows = Batch(torch.zeros(2, 3), torch.tensor([1, 2]), task=7, extras=extras)
    storage.write(torch.arange(2), rows, torch.arange(2))
    read = storage.read(torch.tensor([1]))
    assert (7, 1.0, 0) == (int(read.task), float(read.extras["source"]), read.new)
    assert 6 == int(read.extras["an odd/name"])
    assert [5, 6] == storage.column("an odd/name").tolist()
    assert [7, 7] == storage.column("task").tolist()
    assert (2, 3) == storage.column("x").shape
    assert storage.column("time") is None


def test_batches_may_name_their_extras_in_any_order(make_storage) -> None:
    """A column is its name, not its place."""
    storage, one, two = make_storage(2), torch.tensor([1]), torch.tensor([2])
    x = torch.zeros(1, 1)
    storage.write(torch.tensor([0]), Batch(x, one, extras={"a": one, "b": two}), torch.tensor([0]))
    storage.write(torch.tensor([1]), Batch(x, one, extras={"b": two, "a": one}), torch.tensor([0]))
    assert [1, 1] == storage.column("a").tolist()
    assert [2, 2] == storage.column("b").tolist()


def test_neither_writing_nor_reading_shares_memory(make_storage) -> None:
    """The caller may overwrite what it gave and what it got."""
    rows = labelled([1, 2])
    storage = make_storage(2)
    storage.write(torch.arange(2), rows, torch.arange(2))
    rows.x.fill_(99)
    storage.read(torch.arange(2)).x.fill_(98)
    storage.column("x").fill_(97)
    assert [1, 2] == storage.read(torch.arange(2)).x[:, 0].tolist()


def test_logits_that_widen_are_padded_with_nan_on_either_side(make_storage) -> None:
    """Two outputs, then three, then two again: the missing third ones are NaN."""
    storage = make_storage(3)
    for slot, width in enumerate((2, 3, 2)):
        rows = labelled([slot]).with_extras(logits=torch.full((1, width), float(slot)))
        storage.write(torch.tensor([slot]), rows, torch.tensor([0]))
    logits = storage.read(torch.arange(3)).extras["logits"]
    assert [[False, False, True], [False] * 3, [False, False, True]] == logits.isnan().tolist()
    assert [0.0, 1.0, 2.0] == logits[:, 1].tolist()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (Batch(torch.zeros(1, 4, dtype=torch.uint8), torch.tensor([0])), "'x' holds .*shape"),
        (Batch(torch.zeros(1, 2), torch.tensor([0])), "'x' holds torch.uint8"),
        (Batch(torch.zeros(1, 2, dtype=torch.uint8), torch.tensor([0]), task=1), "columns"),
        (
            Batch(
                torch.zeros(1, 2, dtype=torch.uint8), torch.tensor([0]), extras={"y": torch.ones(1)}
            ),
            "rename",
        ),
    ],
    ids=["shape", "dtype", "columns", "reserved name"],
)
def test_rows_unlike_those_held_are_refused_and_change_nothing(make_storage, rows, words) -> None:
    """A column that is missing, new, of another shape or of another dtype is named."""
    storage = filled(make_storage(5), 2)
    with pytest.raises(InvalidValue, match=words):
        storage.write(torch.tensor([0]), rows, torch.tensor([0]))
    assert [0, 1] == storage.read(torch.arange(2)).y.tolist()


def test_integer_extras_do_not_widen(make_storage) -> None:
    """There is no integer that says that a value is missing."""
    storage = make_storage(2)
    rows = labelled([1]).with_extras(words=torch.zeros(1, 2, dtype=torch.long))
    storage.write(torch.tensor([0]), rows, torch.tensor([0]))
    with pytest.raises(InvalidValue, match="'words'"):
        storage.write(
            torch.tensor([1]),
            labelled([1]).with_extras(words=torch.zeros(1, 3, dtype=torch.long)),
            torch.tensor([0]),
        )


def test_keeping_some_slots_renumbers_them(make_storage) -> None:
    """Slots 3 and 1 of five become 0 and 1, at 10 bytes each; then there is none, then one."""
    storage = filled(make_storage(5), 5)
    storage.keep(torch.tensor([3, 1]))
    assert [3, 1] == storage.read(torch.arange(2)).y.tolist()
    assert (2, 20) == (len(storage), storage.bytes())
    storage.keep(torch.empty(0, dtype=torch.long))
    assert (0, 0) == (len(storage), storage.bytes())
    filled(storage, 1)
    assert [0] == storage.column("y").tolist()


def test_state_goes_into_a_storage_that_is_large_enough(make_storage) -> None:
    """The same rows, sharing no memory; too small a storage says which capacity it takes."""
    ours, theirs = filled(make_storage(8), 4), filled(make_storage(4), 1)
    theirs.load_state_dict(ours.state_dict())
    ours.write(torch.tensor([0]), labelled([99]), torch.tensor([0]))
    assert [0, 1, 2, 3] == theirs.read(torch.arange(4)).y.tolist()
    with pytest.raises(CheckpointMismatch, match="capacity=4"):
        make_storage(3).load_state_dict(ours.state_dict())


def test_an_empty_state_makes_room_for_other_columns(make_storage) -> None:
    """A storage that loads nothing forgets which columns it had."""
    storage = filled(make_storage(3), 2)
    storage.load_state_dict({})
    storage.write(torch.tensor([0]), Batch(torch.rand(1, 5), torch.tensor([4])), torch.tensor([0]))
    assert (1, 5) == storage.read(torch.tensor([0])).x.shape


def test_columns_in_main_memory_double_and_never_exceed_the_capacity() -> None:
    """10 bytes a row: 2 bytes of x and 8 of y; 4 rows, then room for 8, then for 10."""
    storage = filled(RamStorage(10), 4)
    assert 4 * 10 == storage.bytes()
    for held, room in ((4, 8), (8, 10), (9, 10)):
        storage.write(torch.tensor([held]), labelled([held]), torch.tensor([0]))
        if held == 4:
            storage.write(torch.arange(5, 8), labelled([5, 6, 7]), torch.arange(3))
        assert room * 10 == storage.bytes()
    assert list(range(10)) == storage.read(torch.arange(10)).y.tolist()


def labelled(labels: list[int]) -> Batch:
    """Rows of two uint8 that repeat their label."""
    y = torch.tensor(labels)
    return Batch(y.to(torch.uint8)[:, None].repeat(1, 2), y)


def filled(storage, rows: int):
    """The storage with rows 0, 1, ..."""
    storage.write(torch.arange(rows), labelled(list(range(rows))), torch.arange(rows))
    return storage
