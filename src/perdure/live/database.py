"""One SQLite file: all that the live loop knows beside rows and weights.

WAL and `synchronous=FULL`: what is committed survives a power cut. One thread writes, and all that
waits for it goes into one transaction: a group shares one fsync. Other processes write to the same
file with their own `Database`; SQLite's lock puts them in order.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from perdure.errors import CheckpointMismatch, PerdureError
from perdure.live.tables import FORMAT, TABLES

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
BUSY_SECONDS = 60.0
CHECKPOINT_SECONDS = 0.05
GROUP = 512


class Database:
    """Open the database of a state directory, making its tables where it is new.

    Args:
        path: of the file.
        before_commit: called in the writer's thread before each commit: files whose rows the
            transaction speaks of are forced to the disk here.

    Raises:
        CheckpointMismatch: the file was written by a newer perdure.
    """

    def __init__(self, path: Path, before_commit: Callable[[], None] | None = None) -> None:
        self.path = path
        self._before_commit = before_commit or (lambda: None)
        self._readers: dict[threading.Thread, sqlite3.Connection] = {}
        self._queue: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        connection = self._connect()
        try:
            _make_tables(connection, path)
        except BaseException:
            connection.close()  # and with it the lock of a transaction that did not end
            raise
        self._thread = threading.Thread(
            target=self._write_all, args=(connection,), name="perdure-writer", daemon=True
        )
        self._thread.start()

    def write(self, work: Work[T]) -> Future[T]:
        """Have `work(connection)` done in the writer's thread; the future resolves once durable.

        Work that raises is undone alone, and its future holds the error. `work` must not commit.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise PerdureError(f"{self.path} has been closed; open the project again")
            self._queue.put((work, future))
        return future

    def transact(self, work: Work[T]) -> T:
        """Do `work(connection)` in a transaction, and wait until it is durable."""
        return self.write(work).result()

    def read(self, sql: str, args: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows of a query, from the calling thread's own connection."""
        return self._own().execute(sql, args).fetchall()

    def one(self, sql: str, args: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._own().execute(sql, args).fetchone()
        return row

    def value(self, sql: str, args: Sequence[Any] = ()) -> Any:
        """The first column of the first row of a query, or None."""
        row = self.one(sql, args)
        return None if row is None else row[0]

    def changed(self) -> int:
        """A number that differs from the last one where another connection has committed since."""
        return int(self.value("PRAGMA data_version"))

    def checkpoint(self, seconds: float = 0.0) -> bool:
        """Move the write-ahead log into the database and leave it empty, if nobody reads just now.

        A checkpoint that waits holds every writer up, so each attempt waits a moment only.

        Args:
            seconds: to go on trying.

        Returns:
            Whether it is empty.
        """
        deadline = time.monotonic() + seconds
        connection = self._connect(CHECKPOINT_SECONDS)
        try:
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline:
                    return False
                time.sleep(CHECKPOINT_SECONDS)
        finally:
            connection.close()
        return True

    def close(self) -> None:
        """Finish what was asked for, then let go of the file."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        for connection in self._readers.values():
            connection.close()

    def _own(self) -> sqlite3.Connection:
        thread = threading.current_thread()
        if thread not in self._readers:
            connection = self._connect()
            with self._lock:
                for ended in [held for held in self._readers if not held.is_alive()]:
                    self._readers.pop(ended).close()
                self._readers[thread] = connection
        return self._readers[thread]

    def _connect(self, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=patience, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
            "PRAGMA secure_delete=ON; PRAGMA journal_size_limit=0;"
        )
        return connection

    def _write_all(self, connection: sqlite3.Connection) -> None:
        going = True
        while going:
            group = [self._queue.get()]
            while len(group) < GROUP and group[-1] is not None and not self._queue.empty():
                group.append(self._queue.get())
            going = group[-1] is not None
            self._write_group(connection, [held for held in group if held is not None])
        connection.close()

    def _write_group(
        self, connection: sqlite3.Connection, group: list[tuple[Work[Any], Future[Any]]]
    ) -> None:
        asked = [held for held in group if held[1].set_running_or_notify_cancel()]
        # A refusal too may rest on what others in the group have written: all wait for the commit.
        answers: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            answers += [(future, *_tried(connection, work)) for work, future in asked]
            self._before_commit()
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - disk full, or locked: whoever asked gets it
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            answers = [(future, None, error) for _, future in asked]
        for future, result, refusal in answers:
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)


def _tried(connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    """What work gives, or the error that it raised after all that it wrote was undone."""
    connection.execute("SAVEPOINT one")
    result, refusal = None, None
    try:
        result = work(connection)
    except Exception as error:
        if not connection.in_transaction:  # a full disk has undone all of it
            raise
        connection.execute("ROLLBACK TO one")
        refusal = error
    connection.execute("RELEASE one")
    return result, refusal


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > FORMAT:
        raise CheckpointMismatch(
            f"{path} has format {found}, written by a newer perdure; this one reads {FORMAT}: "
            "upgrade perdure"
        )
    if found == 0:
        for table in TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")
