"""The writer: grouped, durable, each piece of work undone alone, readers never behind."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.errors import CheckpointMismatch, PerdureError
from perdure.live.database import Database
from perdure.live.project import Project


@pytest.fixture
def database(tmp_path: Path):
    held = Database(tmp_path / "perdure.db")
    yield held
    held.close()


def add(connection: sqlite3.Connection, key: str, value: str = "") -> None:
    connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))


def keys(database: Database) -> list[str]:
    return [row["key"] for row in database.read("SELECT key FROM meta ORDER BY key")]


def blocked(database: Database) -> tuple[threading.Event, Future[None]]:
    """Keep the writer busy until the event is set: what is asked for meanwhile is one group."""
    started, held = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        started.set()
        held.wait()

    blocker = database.write(work)
    started.wait()
    return held, blocker


def test_what_was_acknowledged_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    """A future that resolved is a promise kept over closing and opening."""
    first = Database(tmp_path / "perdure.db")
    first.transact(lambda c: add(c, "a"))
    first.close()
    again = Database(tmp_path / "perdure.db")
    assert ["a"] == keys(again)
    again.close()


def test_work_that_raises_is_undone_alone(database: Database) -> None:
    """The others of its group are committed, and its own error reaches its caller."""
    held, blocker = blocked(database)

    def fails(connection: sqlite3.Connection) -> None:
        add(connection, "half")
        raise ValueError("no")

    futures = [
        database.write(lambda c: add(c, "before")),
        database.write(fails),
        database.write(lambda c: add(c, "after")),
    ]
    held.set()
    blocker.result()
    futures[0].result()
    with pytest.raises(ValueError, match="no"):
        futures[1].result()
    futures[2].result()
    assert ["after", "before"] == keys(database)


def test_a_group_shares_one_commit(tmp_path: Path) -> None:
    """Work that waits while another is written goes into one transaction: one fsync for all."""
    commits: list[int] = []
    database = Database(tmp_path / "perdure.db", lambda: commits.append(1))
    held, blocker = blocked(database)
    futures = [database.write(lambda c, n=n: add(c, f"{n:03d}")) for n in range(100)]
    held.set()
    for future in [blocker, *futures]:
        future.result()
    assert 100 == len(keys(database))
    assert 2 == len(commits)
    database.close()


def test_a_commit_that_fails_tells_everybody_in_its_group(tmp_path: Path) -> None:
    """Whoever was told of success has it on the disk; a refusal too rests on a commit."""
    broken = threading.Event()

    def before_commit() -> None:
        if broken.is_set():
            raise OSError("the disk is gone")

    database = Database(tmp_path / "perdure.db", before_commit)
    database.transact(lambda c: add(c, "first"))

    def refuses(connection: sqlite3.Connection) -> None:
        raise ValueError("no")

    held, blocker = blocked(database)
    futures = [database.write(lambda c: add(c, "second")), database.write(refuses)]
    broken.set()
    held.set()
    for future in [blocker, *futures]:
        with pytest.raises(OSError, match="gone"):
            future.result()
    broken.clear()
    database.transact(lambda c: add(c, "third"))
    assert ["first", "third"] == keys(database)
    database.close()


def test_two_of_them_on_one_file_take_turns(tmp_path: Path) -> None:
    """Processes share the file; nothing is lost and nobody fails."""
    pair = [Database(tmp_path / "perdure.db") for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: pair[n % 2].transact(lambda c: add(c, f"{n:03d}")), range(100)))
    assert [f"{n:03d}" for n in range(100)] == keys(pair[0]) == keys(pair[1])
    for one in pair:
        one.close()


def test_many_may_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    """One of them makes the tables, the others find them."""
    start = threading.Barrier(8)

    def opened(_: int) -> None:
        start.wait()
        Database(tmp_path / "perdure.db").close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(opened, range(8)))


def test_it_says_when_another_has_written(tmp_path: Path) -> None:
    """`changed` differs after a commit of another connection, and only then."""
    ours, theirs = (Database(tmp_path / "perdure.db") for _ in range(2))
    before = ours.changed()
    assert before == ours.changed()
    theirs.transact(lambda c: add(c, "a"))
    assert before != ours.changed()
    ours.close()
    theirs.close()


def test_threads_that_have_ended_leave_no_connection_open(database: Database) -> None:
    """A server's threads come and go; file descriptors must not pile up."""
    for _ in range(20):
        thread = threading.Thread(target=lambda: database.value("SELECT count(*) FROM meta"))
        thread.start()
        thread.join()
    assert len(database._readers) <= 2


def test_reading_never_waits_for_a_writer(database: Database) -> None:
    """Answers go on while a transaction is open, and see what was committed before it."""
    database.transact(lambda c: add(c, "before"))
    held = threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        add(connection, "within")
        held.wait()

    writing = database.write(slow)
    assert ["before"] == keys(database)
    held.set()
    writing.result()
    assert ["before", "within"] == keys(database)


def test_a_file_of_a_newer_perdure_is_refused_readably(tmp_path: Path) -> None:
    """An older server must not write into what it does not understand."""
    Database(tmp_path / "perdure.db").close()
    connection = sqlite3.connect(tmp_path / "perdure.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CheckpointMismatch, match="newer perdure"):
        Database(tmp_path / "perdure.db")


def test_a_closed_one_says_so(tmp_path: Path) -> None:
    """Work given after `close` is refused, work given before is done."""
    database = Database(tmp_path / "perdure.db")
    future = database.write(lambda c: add(c, "a"))
    database.close()
    future.result()
    with pytest.raises(PerdureError, match="closed"):
        database.write(lambda c: add(c, "b"))
    database.close()


def test_one_that_cannot_be_opened_leaves_no_lock_behind(tmp_path: Path, monkeypatch) -> None:
    """The others go on, although the error is still being looked at."""
    database = Database(tmp_path / "perdure.db")

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *args) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *args)

    connect = partial(sqlite3.connect, factory=Full)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(sqlite3.OperationalError, match="full") as error:
            Database(tmp_path / "perdure.db")
    database.transact(lambda c: add(c, "a"))
    assert error.value is not None
    database.close()


def test_a_project_of_another_schema_is_refused_and_let_go_of(tmp_path: Path) -> None:
    """Rows of one shape are not read as another; no thread stays behind."""
    tiny.project(tmp_path).close()
    tiny.written(tmp_path, {"schema": {"shape": [5]}})
    before = threading.active_count()
    with pytest.raises(CheckpointMismatch, match="another"):
        Project(tmp_path)
    assert before == threading.active_count()
