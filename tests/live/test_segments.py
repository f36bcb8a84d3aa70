"""Rows on disk: written before they are spoken of, read by their places, gone when they go."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import CheckpointMismatch
from perdure.live.database import Database
from perdure.live.segments import Segments, checksums, runs

ROW = 8
SLOTS = 4


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    (tmp_path / "segments").mkdir()
    return Segments(tmp_path / "segments", ROW, SLOTS * ROW)


@pytest.fixture
def database(tmp_path: Path, segments: Segments):
    held = Database(tmp_path / "perdure.db", segments.sync)
    yield held
    held.close()


def numbered(first: int, count: int) -> np.ndarray:  # (count, ROW)
    return np.arange(first * ROW, (first + count) * ROW, dtype=np.uint64).astype(np.uint8).reshape(
        count, ROW
    ) | np.uint8(1)


def noted(connection, places, crcs) -> None:
    """Rows of the log at these places, as far as segments look at them."""
    connection.executemany(
        "INSERT INTO rows (id, key, event_time, received, part, segment, slot, crc)"
        " VALUES (?, ?, 0, 0, 'train', ?, ?, ?)",
        [(f"{s}/{i}", s * 1000 + i, s, i, crc) for (s, i), crc in zip(places, crcs, strict=True)],
    )


def appended(database: Database, segments: Segments, rows: np.ndarray) -> list[tuple[int, int]]:
    def work(connection):
        places = segments.append(connection, rows)
        noted(connection, places, checksums(rows))
        return places

    return database.transact(work)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_rows_come_back_as_they_went_in(tmp_path_factory, counts: list[int]) -> None:
    """However they were grouped, and over as many files as they need."""
    folder = tmp_path_factory.mktemp("segments")
    segments = Segments(folder, ROW, SLOTS * ROW)
    database = Database(folder / "perdure.db", segments.sync)
    rows = numbered(0, sum(counts))
    places, done = [], 0
    for count in counts:
        places += appended(database, segments, rows[done : done + count])
        done += count
    order = np.random.default_rng(0).permutation(len(rows))
    assert (rows[order] == segments.read(places[i] for i in order)).all()
    assert -(-len(rows) // SLOTS) == len(segments.found())
    assert len(set(places)) == len(rows)
    database.close()


def test_a_transaction_that_is_undone_leaves_its_place_to_the_next(database, segments) -> None:
    """Its bytes are behind the last slot in use, and are written over."""

    def fails(connection):
        segments.append(connection, numbered(50, 3))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.transact(fails)
    places = appended(database, segments, numbered(0, 2))
    assert [(1, 0), (1, 1)] == places
    assert (numbered(0, 2) == segments.read(places)).all()


def test_what_an_undone_transaction_wrote_can_be_removed(database, segments) -> None:
    """A crash must not leave bytes that an erasure would not find."""
    appended(database, segments, numbered(0, 2))

    def fails(connection):
        segments.append(connection, numbered(100, 9))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.transact(fails)
    assert 1 < len(segments.found())
    database.transact(segments.blank_remains)
    assert [1] == segments.found()
    whole = segments.path(1).read_bytes()
    assert numbered(0, 2).tobytes() + bytes(2 * ROW) == whole
    assert [(1, 2), (1, 3), (2, 0)] == appended(database, segments, numbered(2, 3))


def test_files_without_rows_go_and_their_numbers_are_not_used_again(database, segments) -> None:
    """The last file stays: it says where the next row goes."""
    appended(database, segments, numbered(0, 10))
    database.transact(lambda c: c.execute("DELETE FROM rows WHERE segment != 2"))
    gone = database.transact(segments.drop_unused)
    segments.remove(gone)
    assert [1] == gone
    assert [2, 3] == segments.found()
    database.transact(lambda c: c.execute("DELETE FROM rows"))
    segments.remove(database.transact(segments.drop_unused))
    assert [3] == segments.found()
    assert (3, 2) == appended(database, segments, numbered(0, 1))[0]


def test_rows_that_are_gone_are_noted_until_they_are_written_over(database, segments) -> None:
    """Deleting a row leaves a note of its bytes in the same transaction."""
    appended(database, segments, numbered(0, 4))
    database.transact(lambda c: c.execute("DELETE FROM rows WHERE slot IN (1, 2)"))
    blanks = [tuple(row) for row in database.read("SELECT segment, slot FROM blanks")]
    assert [(1, 1), (1, 2)] == blanks
    segments.blank([*blanks, (7, 0)])  # of a file that is gone
    kept = numbered(0, 4)
    kept[1:3] = 0
    assert kept.tobytes() == segments.path(1).read_bytes()[: 4 * ROW]


def test_another_process_sees_rows_and_files_that_come_and_go(tmp_path, database, segments) -> None:
    """Nothing is cached that another process can change."""
    other = Segments(segments.folder, ROW, SLOTS * ROW)
    places = appended(database, segments, numbered(0, 2))
    assert (numbered(0, 2) == other.read(places)).all()
    places = appended(database, segments, numbered(2, 4))
    assert (numbered(2, 4) == other.read(places)).all()
    segments.remove([1])
    with pytest.raises(CheckpointMismatch, match="missing or too short"):
        other.read([(1, 0)])


def test_the_size_of_files_may_be_changed(tmp_path: Path, database, segments) -> None:
    """Files keep the slots that they were made with."""
    first = appended(database, segments, numbered(0, 3))
    larger = Segments(segments.folder, ROW, 2 * SLOTS * ROW)
    second = appended(database, larger, numbered(3, 6))
    smaller = Segments(segments.folder, ROW, ROW)
    third = appended(database, smaller, numbered(9, 5))
    assert (numbered(0, 14) == smaller.read([*first, *second, *third])).all()


def test_a_damaged_file_is_told_by_its_name(database, segments) -> None:
    """Too short is as bad as missing."""
    places = appended(database, segments, numbered(0, 4))
    segments.path(1).write_bytes(b"short")
    with pytest.raises(CheckpointMismatch, match="00000001"):
        segments.read(places)


@given(st.sets(st.integers(0, 60)))
def test_runs_cover_the_numbers_and_nothing_else(numbers: set[int]) -> None:
    """(first, count) pairs are the numbers, in order, and no two of them touch."""
    found = runs(sorted(numbers))
    assert sorted(numbers) == [first + i for first, count in found for i in range(count)]
    assert all(a[0] + a[1] < b[0] for a, b in pairwise(found))


def test_a_flipped_bit_changes_the_checksum() -> None:
    """What `fsck` compares."""
    rows = numbered(0, 3)
    changed = rows.copy()
    changed[1, 3] ^= 4
    equal = [a == b for a, b in zip(checksums(rows), checksums(changed), strict=True)]
    assert [True, False, True] == equal
