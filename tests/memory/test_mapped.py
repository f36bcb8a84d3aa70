"""Rows in memory-mapped files: what survives a process, a full disk, and how much RAM it takes."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from perdure import Batch
from perdure.errors import InvalidValue
from perdure.memory import MappedStorage, Reservoir

WRITE_FOR_EVER = """
import sys, torch
from perdure import Batch
from perdure.memory import MappedStorage
storage, number = MappedStorage(64, sys.argv[1]), 0
while True:
    y = torch.full((1,), number)
    slot = torch.tensor([number % 64])
    storage.write(slot, Batch(y[:, None].repeat(1, 50), y), torch.tensor([0]))
    number += 1
    if number == 64:
        print("full", flush=True)
    if number % 7 == 0:
        storage.keep(torch.arange(len(storage)).flip(0))
"""


def test_a_folder_opens_with_the_rows_that_it_has(tmp_path) -> None:
    """Written, appended and kept; the copy that a new process sees is the same."""
    storage = MappedStorage(9, tmp_path)
    storage.write(torch.arange(4), rows(range(4)), torch.arange(4))
    storage.write(torch.tensor([4]), rows([4]), torch.tensor([0]))
    storage.keep(torch.tensor([4, 1, 2]))
    storage.write(torch.tensor([1]), rows([7]), torch.tensor([0]))
    again = MappedStorage(9, tmp_path)
    assert [4, 7, 2] == again.column("y").tolist()
    assert torch.equal(rows([4, 7, 2]).x, again.read(torch.arange(3)).x)


def test_one_file_a_column_lies_in_the_folder_and_none_of_earlier_times(tmp_path) -> None:
    """Two columns, the count of rows and the layout, however often files were changed over."""
    storage = MappedStorage(100, tmp_path)
    for start in range(0, 60, 10):
        storage.write(torch.arange(start, start + 10), rows(range(10)), torch.arange(10))
    storage.keep(torch.arange(0, 60, 2))
    names = sorted(path.name.partition("-")[2] for path in tmp_path.glob("*.rows"))
    assert ["0.rows", "1.rows", "count.rows"] == names
    assert 30 * 58 == storage.bytes() == sum(p.stat().st_size for p in tmp_path.glob("*-[01].rows"))


def test_files_of_a_change_that_was_not_finished_are_removed(tmp_path) -> None:
    """The layout names the files that count; others are leftovers, and hold rows."""
    MappedStorage(5, tmp_path).write(torch.arange(2), rows([3, 4]), torch.arange(2))
    (tmp_path / "2-0.rows").write_bytes(b"half a column")
    (tmp_path / "notes.txt").write_text("not ours", "utf-8")
    assert [3, 4] == MappedStorage(5, tmp_path).column("y").tolist()
    assert not (tmp_path / "2-0.rows").exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_process_killed_at_any_point_leaves_whole_columns(as_if_killed) -> None:
    """Killed while it overwrites and changes files over: the folder opens, its rows are rows."""
    for folder in as_if_killed(WRITE_FOR_EVER, 12):
        storage = MappedStorage(64, folder)
        assert 64 == len(storage)
        x, y = storage.column("x"), storage.column("y")
        whole = (x == y[:, None]).all(1)
        assert int(whole.sum()) >= 63  # but for the row that was being written


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "layout.json").write_text("{", "utf-8"),
        lambda folder: (folder / "layout.json").write_text("{}", "utf-8"),
        lambda folder: (folder / "1-0.rows").unlink(),
        lambda folder: (folder / "1-0.rows").write_bytes(b""),
    ],
    ids=["no JSON", "no layout", "no column", "no rows"],
)
def test_a_damaged_folder_is_refused(tmp_path, damage) -> None:
    """By name, before anything is read from it or removed."""
    MappedStorage(5, tmp_path).write(torch.arange(2), rows([3, 4]), torch.arange(2))
    damage(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidValue, match=r"layout\.json does not describe"):
        MappedStorage(5, tmp_path)
    assert before == sorted(tmp_path.iterdir())


def test_a_folder_with_more_rows_than_slots_is_refused(tmp_path) -> None:
    """The message says which capacity it takes."""
    MappedStorage(5, tmp_path).write(torch.arange(4), rows(range(4)), torch.arange(4))
    with pytest.raises(InvalidValue, match="capacity=4"):
        MappedStorage(3, tmp_path)


def test_a_full_disk_is_an_error_that_changes_nothing(tmp_path) -> None:
    """And not a signal from the map; there is room again, and the rows come in."""
    storage = MappedStorage(10_000, tmp_path)
    storage.write(torch.arange(100), rows(range(100)), torch.arange(100))
    with at_most(50 * 1000), pytest.raises(OSError, match="too large"):
        storage.write(torch.arange(100, 1100), rows(range(1000)), torch.arange(1000))
    assert list(range(100)) == storage.column("y").tolist()
    storage.write(torch.arange(100, 1100), rows(range(1000)), torch.arange(1000))
    assert 1100 == len(storage) == len(MappedStorage(10_000, tmp_path))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much")
def test_rows_in_files_take_no_main_memory(tmp_path) -> None:
    """48 MB written, erased and drawn from: the process's own memory grows by less than half."""
    memory = Reservoir(4000)
    memory.move(MappedStorage(4000, tmp_path))
    batch = rows_of_12_kb(500)
    for _ in range(3):  # what the allocator takes once and keeps
        memory.add(batch)
        memory.sample(64)
    before = own_memory()
    for _ in range(20):
        memory.add(batch)
        memory.sample(64)
    memory.erase(torch.arange(0, 4000, 3))
    assert memory.bytes() > 30e6
    assert own_memory() - before < 24e6


def own_memory() -> int:
    """Bytes of this process that are not pages of files."""
    (line,) = (s for s in Path("/proc/self/status").read_text("utf-8").splitlines() if "Anon" in s)
    return int(line.split()[1]) * 1024


@contextmanager
def at_most(size: int):
    """No file may become larger."""
    assert os.name == "posix"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def rows_of_12_kb(count: int) -> Batch:
    return Batch(torch.randint(256, (count, 12_000), dtype=torch.uint8), torch.arange(count))


def rows(numbers) -> Batch:
    """Rows of 50 and 8 bytes."""
    y = torch.tensor(list(numbers))
    return Batch(y[:, None].to(torch.uint8).repeat(1, 50), y)
