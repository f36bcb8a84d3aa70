"""A process that can be stopped at every write, and what it does until then.

    python -m tests.live.crashing

serves questions from standard input, a line of JSON each: it imports everything once, and every
answer comes from a process of its own that is forked from it, so that it may die at no cost.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tests.live import tiny
from tests.live.competing import compete

from perdure import checkpoint
from perdure.live import database, erasure, keeping, updater
from perdure.live.alone import alone
from perdure.live.erasure import erase
from perdure.live.fsck import fsck
from perdure.live.labels import Label
from perdure.live.project import Project

ROWS, UPDATES, WIDTH = 14, 3, 256
SUBJECT = "canary-subject"
SAID: dict[str, dict[str, Any]] = {
    "keeping": {"retention": {"versions": 2}},
    "letting go": {
        "retention": {"versions": 2},
        "schema": {"shape": [WIDTH]},
        "log": {"keep_rows": 9, "segment_bytes": 4096},
    },
}
"""What is written in `perdure.toml`: one keeps all rows, one lets them go."""


# -- the work ------------------------------------------------------------------------------------


def work(directory: Path, acknowledged: Path) -> None:
    """Rows, labels and updates in a fixed order; begun again, it passes over what is done."""
    with Project(directory) as project, tiny.quick_gate(), acknowledged.open("a") as file:
        erased = bool(project.database.value("SELECT count(*) FROM erased"))
        for number in () if erased else range(UPDATES):
            ingest(project, number, file)
            while done(project) <= number:
                project.jobs.ask("update", "to test", "me")
                with alone(directory):
                    updater.turn(project)
        with alone(directory):
            keeping.tidy(project)  # as the updater does when it has nothing else to do
        erase(project, SUBJECT, "me")
        note(file, "erased")


def ingest(project: Project, number: int, file: Any) -> None:
    """Rows of one request, and the labels of those that came without."""
    numbers = range(number * ROWS, (number + 1) * ROWS)
    width = project.schema.shape[0]
    rows = [
        tiny.row(
            n,
            label=None if n % 5 == 0 else "",
            subject=SUBJECT if n % 7 == 3 else f"s{n % 11}",
            width=width,
        )
        for n in numbers
    ]
    for accepted in project.log.append(rows[:-2], f"request {number}", "digest").result():
        note(file, accepted.id)
    named = zip(numbers[:-2], rows[:-2], strict=True)
    late = [Label(row.id, tiny.row(n).label) for n, row in named if row.label is None]
    waiting = [label for label in late if waits(project, label.id)]
    if waiting:
        project.labels.give(waiting).result()
    for one in late:
        note(file, f"label of {one.id}")
    # Each with a key: an id is known as long as the log has the row, and some let rows go.
    futures = [project.log.append([row], f"request of {row.id}", "digest") for row in rows[-2:]]
    for future in futures:
        note(file, future.result()[0].id)


def waits(project: Project, name: str) -> bool:
    """Whether a row is there and has no label."""
    sql = "SELECT 1 FROM rows WHERE id = ? AND position NOT IN (SELECT position FROM examples)"
    return project.database.one(sql, (name,)) is not None


def done(project: Project) -> int:
    """Updates that have ended well."""
    return int(project.database.value("SELECT count(*) FROM jobs WHERE state = 'done'"))


def note(file: Any, name: str) -> None:
    """Say durably that something was acknowledged."""
    file.write(f"{name}\n")
    file.flush()


def outcome(directory: Path) -> dict[str, Any]:
    """All that must not depend on how often the work was interrupted."""
    with Project(directory) as project:
        read = project.database.read
        present = [v for v in project.registry.all() if v.state != "removed"]
        return {
            "versions": {
                str(v.upto): tiny.digest(project.registry.load(v.version)) for v in present
            },
            "states": [[v.version, v.upto, v.state] for v in project.registry.all()],
            "aliases": project.registry.aliases(),
            "examples": [
                list(row) for row in read("SELECT seq, position, label, use FROM examples")
            ],
            "held out": [row[0] for row in read("SELECT key FROM evaluation ORDER BY key")],
            "spans": [list(row) for row in read("SELECT * FROM spans")],
            "accuracy": [list(row) for row in read("SELECT * FROM accuracy")],
            "watch": project.database.value("SELECT state FROM watch"),
        }


# -- looking at what a crash left ----------------------------------------------------------------


def examine(directory: Path, acknowledged: Path) -> list[str]:
    """What is wrong with a directory after a crash, in sentences; empty where all is well."""
    wrong: list[str] = []
    with Project(directory) as project:
        wrong += [str(one) for one in fsck(project) if one.severity == "damaged"]
        fsck(project, repair=True)
        wrong += [str(one) for one in fsck(project) if one.severity != "waiting"]
        wrong += [str(path) for path in keeping.leftovers(project)]
        wrong += _lost(project, acknowledged.read_text().splitlines())
        champion = project.registry.champion()
        if champion is not None and champion.upto > project.log.head():
            wrong.append(f"version {champion.version} learnt what is not there")
    return wrong


def _lost(project: Project, names: list[str]) -> list[str]:
    """Acknowledged rows and labels that are not there once."""
    if "erased" in names or project.settings.log.keep_rows < 100:
        return [] if "erased" not in names or not erasure.pending(project) else ["not erased"]
    ids = [row["id"] for row in project.database.read("SELECT id FROM rows")]
    if erasure.pending(project) or project.database.value("SELECT count(*) FROM erased"):
        mine = {f"row-{n}" for n in range(UPDATES * ROWS) if n % 7 == 3}
        names = [name for name in names if name.removeprefix("label of ") not in mine]
    wanted = {name for name in names if name.startswith("row-")}
    labels = {name.removeprefix("label of ") for name in names if name.startswith("label")}
    lost = [f"{name} is there {ids.count(name)} times" for name in wanted if ids.count(name) != 1]
    return lost + [f"the label of {name} is lost" for name in labels if waits(project, name)]


def traces(directory: Path) -> list[str]:
    """Files that hold the subject's name."""
    return [
        str(path)
        for path in directory.rglob("*")
        if path.is_file() and SUBJECT.encode() in path.read_bytes()
    ]


FULL: dict[str, Exception] = {
    **{name: OSError(28, "no room on the disk") for name in ("pwrite", "ftruncate", "mkdir")},
    "save": SafetensorError("no room on the disk"),
    "COMMIT": sqlite3.OperationalError("database or disk is full"),
    "VACUUM": sqlite3.OperationalError("database or disk is full"),
}
"""What needs room, and how it says that there is none."""


# -- failpoints ----------------------------------------------------------------------------------


class Failpoints:
    """Counts every call to the disk, and ends the process at one of them.

    A write is torn: half of it is done when the process ends.

    Args:
        last: the number of the call at which the process ends, from 1; 0 is never.
        full: from that call on there is no room on the disk, instead.
    """

    def __init__(self, last: int, *, full: bool = False) -> None:
        self.last, self.full = last, full
        self.names: list[str] = []

    def tick(self, name: str, torn: Callable[[], object] = lambda: None) -> None:
        self.names.append(name)
        if not self.full and len(self.names) == self.last:
            torn()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.full and len(self.names) >= self.last and name in FULL:
            raise FULL[name]

    def install(self) -> None:
        """In this process, for good."""
        pwrite, save = os.pwrite, checkpoint.save_file

        def torn_write(descriptor: int, data: Any, offset: int) -> int:
            half = bytes(data)[: len(data) // 2]
            self.tick("pwrite", lambda: pwrite(descriptor, half, offset))
            return pwrite(descriptor, data, offset)

        def torn_save(tensors: Any, path: Path, **said: Any) -> None:
            self.tick("save")
            save(tensors, path, **said)
            self.tick("saved", lambda: os.truncate(path, path.stat().st_size // 2))

        os.pwrite, checkpoint.save_file = torn_write, torn_save
        for module, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "ftruncate"),
            (os, "unlink"),
            (os, "rmdir"),
            (os, "mkdir"),
            (shutil, "rmtree"),
        ):
            setattr(module, name, self._counted(name, getattr(module, name)))
        database.sqlite3 = _Sqlite(self)  # type: ignore[attr-defined]

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **said: Any) -> Any:
            self.tick(name)
            return call(*args, **said)

        return counted


class _Sqlite:
    """The module `sqlite3`, its commits and checkpoints counted, before and after."""

    def __init__(self, failpoints: Failpoints) -> None:
        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
                counts = sql in {"COMMIT", "VACUUM"} or sql.startswith("PRAGMA wal_")
                if counts:
                    failpoints.tick(sql)
                found = super().execute(sql, *args)
                if counts:
                    failpoints.tick(f"{sql} done")
                return found

        self.connection = Connection

    def connect(self, *args: Any, **said: Any) -> sqlite3.Connection:
        return sqlite3.connect(*args, factory=self.connection, **said)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


# -- a disk that loses what was not forced to it -------------------------------------------------


class Platter:
    """What of a directory would be there after a power cut: kept whenever something is synced.

    SQLite's own files are left as they are. Names are kept by the number of the file, so that a
    file is found again under another name.

    Args:
        directory: that is written to.
        shadow: where what is durable is kept.
    """

    def __init__(self, directory: Path, shadow: Path) -> None:
        self.directory, self.shadow = directory, shadow
        self._held: list[int] = []

    def install(self) -> None:
        """Watch this process from now on; what is there already counts as durable."""
        for path in [self.directory, *self.directory.rglob("*")]:
            self._keep(path)
        fsync = os.fsync

        def kept(descriptor: int) -> None:
            fsync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_relative_to(self.directory):
                self._keep(path)
                self._held.append(os.dup(descriptor))  # its number must not be used again

        os.fsync = kept

    def _keep(self, path: Path) -> None:
        copy = self.shadow / f"{path.stat().st_ino}"
        if path.is_dir():
            names = {one.name: one.stat().st_ino for one in path.iterdir()}
            copy.with_suffix(".names").write_text(json.dumps(names))
        elif not path.name.startswith("perdure.db"):
            shutil.copyfile(path, copy)

    @staticmethod
    def cut(directory: Path, shadow: Path, seed: int | None) -> None:
        """Leave of a directory what is durable; with a seed, and by chance what is not."""
        draw = None if seed is None else torch.Generator().manual_seed(seed)
        now = directory.with_name(f"{directory.name}.now")
        directory.rename(now)
        _durable(now, directory, now.stat().st_ino, shadow, draw)
        for path in now.glob("perdure.db*"):
            shutil.copyfile(path, directory / path.name)
        shutil.rmtree(now)


def _durable(
    now: Path | None, target: Path, number: int, shadow: Path, draw: torch.Generator | None
) -> None:
    """Make `target` what the directory of this number is after the cut; `now` is it before."""
    target.mkdir()
    said = shadow / f"{number}.names"
    kept: dict[str, int] = json.loads(said.read_text()) if said.exists() else {}
    there = {} if now is None else {one.name: one.stat().st_ino for one in now.iterdir()}
    for name in sorted(kept | there):
        of = there if _by_chance(draw) else kept
        if name not in of or name.startswith("perdure.db"):
            continue
        where = next((p for p in _all(target, now) if p.stat().st_ino == of[name]), None)
        if (shadow / f"{of[name]}.names").exists() or (where is not None and where.is_dir()):
            _durable(where, target / name, of[name], shadow, draw)
        else:
            (target / name).write_bytes(_bytes(where, shadow / str(of[name]), draw))


def _all(target: Path, now: Path | None) -> list[Path]:
    """Everything that is there before the cut, wherever it lies by now."""
    root = next((p for p in [now, *(now.parents if now else [])] if p and p.suffix == ".now"), None)
    return [] if root is None else list(root.rglob("*"))


def _bytes(now: Path | None, kept: Path, draw: torch.Generator | None) -> bytes:
    """A file's bytes after the cut: block by block those that were forced to the disk, or newer."""
    durable = kept.read_bytes() if kept.exists() else b""
    newer = b"" if now is None else now.read_bytes()
    if draw is None or now is None:
        return durable
    size, block = len(newer if _by_chance(draw) else durable), 64
    mixed = bytearray(size)
    for start in range(0, size, block):
        of = newer if _by_chance(draw) else durable
        part = of[start : min(start + block, size)]
        mixed[start : start + len(part)] = part
    return bytes(mixed)


def _by_chance(draw: torch.Generator | None) -> bool:
    return draw is not None and bool(torch.rand((), generator=draw) < 0.5)


# -- the server ----------------------------------------------------------------------------------


def answer(said: dict[str, Any]) -> Any:
    """What a process of its own does; see the functions for what each question means."""
    directory, acknowledged = Path(said["directory"]), Path(said["acknowledged"])
    questions: dict[str, Callable[[], Any]] = {
        "work": lambda: worked(directory, acknowledged, said),
        "update": lambda: kept_up(directory),
        "compete": lambda: compete(directory, said["processes"], said["count"]),
        "examine": lambda: examine(directory, acknowledged),
        "outcome": lambda: outcome(directory),
    }
    return questions[said["do"]]()


def worked(directory: Path, acknowledged: Path, said: dict[str, Any]) -> list[str]:
    """The work, on a disk that fails as is said; the calls that were made, or the errors."""
    if "shadow" in said:
        Platter(directory, Path(said["shadow"])).install()
    full = said.get("full", False)
    points = Failpoints(0 if full else said.get("last", 0))
    points.install()
    if full or "limit" in said:
        return starved(directory, acknowledged, points, said)
    work(directory, acknowledged)
    return points.names


def kept_up(directory: Path) -> None:
    """The updater, until it is killed."""
    with tiny.quick_gate():
        updater.run(directory)


def starved(
    directory: Path, acknowledged: Path, points: Failpoints, said: dict[str, Any]
) -> list[str]:
    """Work while the disk is full, or no file may grow by more than a limit; go on when there is
    room again. The errors.
    """
    errors: list[str] = []
    limit = said.get("limit")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    with Project(directory) as project, tiny.quick_gate(), acknowledged.open("a") as file:
        points.full, points.last = limit is None, said.get("last", 0)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            size = project.database.path.with_name("perdure.db-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + limit, most))
        for number in range(UPDATES):
            try:
                ingest(project, number, file)
                project.jobs.ask("update", "to test", "me")
                with alone(directory):
                    updater.turn(project)
            except Exception as error:  # noqa: BLE001
                errors.append(f"{type(error).__name__}: {error}")
            if done(project) <= number:
                break
        points.full, points.last = False, 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        errors += [job.error for job in project.jobs.latest() if job.error]
    work(directory, acknowledged)
    return errors


def serve() -> None:
    """Answer each line in a process of its own: `[exit status, answer]`, -9 where it was killed."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:  # what is imported here need not be, each time
        work(tiny.written(Path(name)), Path(name) / "acknowledged")
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    for line in sys.stdin:
        said = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            status = 1
            try:
                os.write(write, json.dumps(answer(said)).encode())
                status = 0
            except BaseException:  # noqa: BLE001
                os.write(write, json.dumps(traceback.format_exc()).encode())
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as pipe:
            if "after" in said and not select.select([pipe], [], [], said["after"])[0]:
                os.kill(child, signal.SIGKILL)
            told = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps([status, json.loads(told) if told else None]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
