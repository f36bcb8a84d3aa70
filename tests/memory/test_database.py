"""Rows in a table: what survives a process, who else may read, and what the tables say."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import torch

from perdure import Batch
from perdure.errors import InvalidValue
from perdure.memory import DatabaseStorage

WRITE_FOR_EVER = """
import sys, torch
from perdure import Batch
from perdure.memory import DatabaseStorage
storage, number = DatabaseStorage(16, sys.argv[1] + "/memory.db"), 0
while True:
    y = torch.arange(16) + number
    storage.write(torch.arange(16), Batch(y[:, None].repeat(1, 50), y), torch.arange(16))
    number += 1
    if number == 10:
        print("busy", flush=True)
    if number % 3 == 0:
        storage.keep(torch.arange(16).flip(0))
"""


def test_a_file_opens_with_the_rows_that_it_has(tmp_path) -> None:
    """Two tables of one file are two storages."""
    for table in ("one", "select"):
        storage = DatabaseStorage(9, tmp_path / "memory.db", table)
        storage.write(torch.arange(4), rows(range(4)), torch.arange(4))
        storage.keep(torch.tensor([3, 1, 2]))
        storage.write(torch.tensor([1]), rows([len(table)]), torch.tensor([0]))
    again = DatabaseStorage(9, tmp_path / "memory.db", "one")
    assert [3, 3, 2] == again.column("y").tolist()
    assert torch.equal(rows([3, 3, 2]).x, again.read(torch.arange(3)).x)
    assert 0 == len(DatabaseStorage(9, tmp_path / "memory.db"))


def test_anybody_can_read_the_tables(tmp_path) -> None:
    """A row a slot, each value its bytes; beside them what the bytes mean."""
    storage = DatabaseStorage(9, tmp_path / "memory.db", "past")
    storage.write(torch.arange(2), rows([5, 6]), torch.arange(2))
    with closing(sqlite3.connect(tmp_path / "memory.db")) as link:
        columns = link.execute("SELECT name, dtype, shape FROM past_columns").fetchall()
        held = link.execute("SELECT slot, c0, c1 FROM past").fetchall()
    assert [("x", "torch.uint8", "[50]"), ("y", "torch.int64", "[]")] == columns
    assert [(i, bytes([i + 5] * 50), bytes([i + 5, *[0] * 7])) for i in range(2)] == held


def test_a_process_killed_at_any_point_leaves_all_of_a_write_or_nothing(as_if_killed) -> None:
    """Sixteen rows that are written together are of one write, forwards or backwards."""
    for folder in as_if_killed(WRITE_FOR_EVER, 12):
        storage = DatabaseStorage(16, folder / "memory.db")
        y = storage.column("y")
        assert torch.equal(y.sort().values, torch.arange(16) + y.min())
        assert torch.equal(storage.column("x"), y[:, None].repeat(1, 50))


def test_a_write_that_fails_half_way_changes_nothing(tmp_path) -> None:
    """The database may not grow: what was there is still there, and rows come in when it may."""
    storage = DatabaseStorage(5000, tmp_path / "memory.db")
    storage.write(torch.arange(4), rows(range(4)), torch.arange(4))
    storage._link.execute("PRAGMA max_page_count = 20")
    wide = torch.arange(4, 3000)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        storage.write(wide, rows(range(2996)), torch.arange(2996))
    assert [0, 1, 2, 3] == storage.column("y").tolist()
    storage._link.execute("PRAGMA max_page_count = 100000")
    storage.write(wide, rows(range(2996)), torch.arange(2996))
    assert 3000 == len(storage) == len(storage.column("y"))


def test_rows_are_not_said_to_be_gone_while_somebody_reads_them(tmp_path) -> None:
    """A reader holds the log open: it is told, and the same call succeeds when it is done."""
    path = tmp_path / "memory.db"
    storage = DatabaseStorage(9, path)
    storage._link.execute("PRAGMA busy_timeout = 20")
    storage.write(torch.arange(3), rows([77, 78, 79]), torch.arange(3))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM memory").fetchone()
        with pytest.raises(TimeoutError, match=r"memory\.db is being read"):
            storage.keep(torch.tensor([0, 2]))
    storage.keep(torch.arange(2))
    assert [77, 79] == storage.column("y").tolist()
    assert not any(bytes([78] * 50) in p.read_bytes() for p in tmp_path.iterdir())


@pytest.mark.parametrize("seed", [4, 17, 25])
def test_copies_that_sqlite_leaves_within_its_pages_are_gone(tmp_path, seed) -> None:
    """Pages that were split keep a row's old place; deleting it clears the new one alone."""
    torch.manual_seed(seed)
    storage = DatabaseStorage(600, tmp_path / "memory.db")
    for start, slots in ((0, torch.randperm(300)), (300, torch.randint(180, (300,)))):
        marked = [[*b"canary%06d." % number, *[7] * 687] for number in range(start, start + 300)]
        batch = Batch(torch.tensor(marked, dtype=torch.uint8), torch.arange(start, start + 300))
        batch = batch.with_extras(logits=torch.zeros(300, 1 if start == 0 else 41))
        storage.write(slots, batch, torch.arange(300))
        storage.keep(torch.randperm(len(storage))[: int(0.6 * len(storage))])
        data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        found = {number for number in range(start + 300) if b"canary%06d." % number in data}
        assert set(storage.column("y").tolist()) == found


def test_more_rows_than_slots_and_names_that_are_none_are_refused(tmp_path) -> None:
    """A table's name is part of a statement, so that it must be a plain one."""
    DatabaseStorage(5, tmp_path / "memory.db").write(
        torch.arange(4), rows(range(4)), torch.arange(4)
    )
    with pytest.raises(InvalidValue, match="capacity=4"):
        DatabaseStorage(3, tmp_path / "memory.db")
    with pytest.raises(InvalidValue, match="identifier"):
        DatabaseStorage(3, tmp_path / "memory.db", 'x"; DROP TABLE memory; --')


def test_more_rows_than_one_statement_names_are_read(tmp_path) -> None:
    """1,300 different slots, in no order, each twice."""
    storage = DatabaseStorage(2000, tmp_path / "memory.db")
    storage.write(torch.arange(1300), rows(range(1300)), torch.arange(1300))
    slots = torch.randperm(1300).repeat(2)
    assert torch.equal(slots, storage.read(slots).y)


def rows(numbers) -> Batch:
    """Rows of 50 and 8 bytes."""
    y = torch.tensor(list(numbers))
    return Batch(y[:, None].to(torch.uint8).repeat(1, 50), y)
