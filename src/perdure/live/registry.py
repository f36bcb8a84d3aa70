"""Versions: immutable, checksummed, and named by aliases that move all at once or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from perdure import __version__, checkpoint
from perdure.errors import CheckpointMismatch
from perdure.live import aliases, audit, files
from perdure.live.database import Database
from perdure.live.jobs import check_goes_on
from perdure.live.refusals import Conflict, NotFound

State = Literal["candidate", "blessed", "refused", "undecided", "removed"]
ALIASES = ("champion", "challenger", "previous", "shadow", "baseline")
STATE, MANIFEST = "learner.safetensors", "manifest.json"
FORMAT = 1
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A learner as it was after an update.

    Args:
        version: its number, from 1.
        parent: the version that it continued, None for a start from scratch.
        job: the update that made it.
        after, upto: it learnt the examples after < seq <= upto on top of its parent.
        created: seconds since the epoch.
        state: "candidate" until the gate has spoken, then "blessed", "refused" or "undecided";
            "removed" when its files are gone.
        tainted: when a subject was erased whose rows it had learnt, or None.
        redactions: how often an erasure has rewritten its files.
        digest: SHA-256 of its manifest.
        bytes: of its files.
        note: plain values: seed, settings, cost, accuracy.
    """

    version: int
    parent: int | None
    job: int | None
    after: int
    upto: int
    created: float
    state: State
    tainted: float | None
    redactions: int
    digest: str
    bytes: int
    note: dict[str, Any]


class Registry:
    """The versions of a state directory.

    Args:
        database: holds what is known of them.
        folder: holds their files, a folder each.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    # -- reading ---------------------------------------------------------------------------------

    def all(self) -> list[Version]:
        """All versions, oldest first, those whose files are gone included."""
        return [_version(r) for r in self.database.read("SELECT * FROM versions ORDER BY version")]

    def get(self, name: int | str) -> Version:
        """A version by its number or by an alias.

        Raises:
            NotFound: there is none.
        """
        number = self.aliases().get(name) if isinstance(name, str) else name
        row = self.database.one("SELECT * FROM versions WHERE version = ?", (number,))
        if row is None:
            known = ", ".join(self.aliases()) or "none yet"
            numbers = [version.version for version in self.all()] or [0]
            raise NotFound(
                f"there is no such version; the last is {numbers[-1]}; aliases: {known}",
                field="version",
                value=name,
            )
        return _version(row)

    def champion(self) -> Version | None:
        """The version that serves."""
        return self.get("champion") if "champion" in self.aliases() else None

    def last(self) -> Version | None:
        """The newest version."""
        row = self.database.one("SELECT * FROM versions ORDER BY version DESC LIMIT 1")
        return None if row is None else _version(row)

    def aliases(self) -> dict[str, int]:
        """Alias -> version."""
        return {r["name"]: r["version"] for r in self.database.read("SELECT * FROM aliases")}

    def generation(self) -> int:
        """Counts every change of an alias: what promotion compares before it swaps."""
        return int(self.database.value("SELECT value FROM meta WHERE key = 'generation'"))

    def path(self, held: Version) -> Path:
        """The folder of a version; an erasure moves it to another one."""
        return self.folder / folder_name(held.version, held.redactions)

    def load(self, name: int | str) -> dict[str, Any]:
        """The learner's state, checked against the manifest.

        Raises:
            NotFound: there is no such version, or its files have been removed.
            CheckpointMismatch: a file is missing or damaged.
        """

        def read(held: Version) -> dict[str, Any]:
            self.verify(held)
            return checkpoint.load(self.path(held) / STATE)

        return self._steady(name, read)

    def check(self, name: int | str) -> dict[str, Any]:
        """The manifest of a version, once its files are found to be as it says.

        Raises:
            NotFound: there is no such version, or its files have been removed.
            CheckpointMismatch: a file is missing or damaged.
        """
        return self._steady(name, self.verify)

    def verify(self, held: Version) -> dict[str, Any]:
        """Check a version's files against its checksums; its manifest.

        Raises:
            CheckpointMismatch: the message names the file.
        """
        manifest = self.path(held) / MANIFEST
        if not manifest.exists() or digest_of(manifest) != held.digest:
            raise CheckpointMismatch(f"{manifest} is missing or damaged: run `perdure fsck`")
        said: dict[str, Any] = json.loads(manifest.read_bytes())
        if said["format"] > FORMAT:
            raise CheckpointMismatch(
                f"{manifest} has format {said['format']}, written by a newer perdure; this one "
                f"reads {FORMAT}: upgrade perdure"
            )
        for name, expected in said["files"].items():
            path = self.path(held) / name
            if not path.exists() or digest_of(path) != expected:
                raise CheckpointMismatch(f"{path} is missing or damaged: run `perdure fsck`")
        return said

    # -- writing ---------------------------------------------------------------------------------

    def create(
        self,
        state: Mapping[str, Any],
        *,
        parent: int | None,
        job: int,
        after: int,
        upto: int,
        note: Mapping[str, Any],
    ) -> int:
        """Write a version and name it `challenger`; its job knows it from then on.

        Raises:
            Conflict: a subject was erased, or the job was cancelled, since the job began.
        """
        beside = self.folder / f".{job}.part"
        said = {"parent": parent, "job": job, "examples": {"after": after, "upto": upto}, **note}

        def work(connection: sqlite3.Connection) -> int:
            check_goes_on(connection, job)
            added = connection.execute(
                "INSERT INTO versions (parent, job, after, upto, created, state, tainted, digest,"
                " bytes, note) VALUES (?1, ?, ?, ?, ?, 'candidate',"
                " (SELECT tainted FROM versions WHERE version = ?1), ?, ?, ?)",
                (parent, job, after, upto, time.time(), digest_of(beside / MANIFEST),
                 bytes_of(beside), json.dumps(dict(note))),
            )  # fmt: skip
            number = int(added.lastrowid or 0)
            # The folder gets its name before the commit: a crash in between leaves a folder that
            # the database does not know, and the next writer takes its place.
            target = self.folder / folder_name(number)
            files.remove(target)
            files.rename(beside, target)
            aliases.point(connection, challenger=number)
            connection.execute("UPDATE jobs SET version = ? WHERE id = ?", (number, job))
            return number

        try:
            write(beside, state, said)
            return self.database.transact(work)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def promote(
        self, name: int | str, *, actor: str, reason: str, if_generation: int | None = None
    ) -> Version:
        """Let a version serve; champion and previous change together.

        Args:
            name: a version or an alias.
            actor: who does it.
            reason: why, a sentence.
            if_generation: refuse if any alias has moved since this generation.

        Raises:
            Conflict: it serves already, its files are gone, it learnt from an erased subject, or
                somebody else moved an alias first.
            CheckpointMismatch: its files are damaged.
        """
        held = _present(self.get(name))
        self.check(held.version)

        def work(connection: sqlite3.Connection) -> None:
            found = aliases.generation(connection)
            if if_generation is not None and found != if_generation:
                raise Conflict(
                    f"the aliases are at generation {found}; somebody else was faster: look again",
                    field="if_generation",
                    value=if_generation,
                )
            aliases.serve(connection, held.version, actor, reason)

        self.database.transact(work)
        return self.get(held.version)

    def rollback(self, *, actor: str, reason: str) -> Version:
        """Go back to the version that served before the champion: model, memory and detectors.

        Raises:
            Conflict: no earlier version that served is still there.
        """

        def work(connection: sqlite3.Connection) -> int:
            champion, now = aliases.named(connection, "champion"), time.time()
            target = self._beneath(connection)
            connection.execute(
                "UPDATE served SET rolled_back = 1, until = coalesce(until, ?)"
                " WHERE rolled_back = 0 AND id > (SELECT max(id) FROM served WHERE version = ?"
                " AND rolled_back = 0 AND until IS NOT NULL)",
                (now, target),
            )
            connection.execute(
                "UPDATE watch SET state = coalesce((SELECT watch FROM served WHERE rolled_back = 0"
                " ORDER BY id DESC LIMIT 1), state)"
            )
            connection.execute(
                "UPDATE served SET until = NULL WHERE id ="
                " (SELECT max(id) FROM served WHERE rolled_back = 0)"
            )
            aliases.point(
                connection, champion=target, previous=next(iter(aliases.below(connection)), None)
            )
            said = {"from": champion, "to": target, "reason": reason}
            audit.write(connection, actor, "rollback", said)
            return target

        return self.get(self.database.transact(work))

    def beneath(self) -> int:
        """The version that a rollback would go to.

        Raises:
            Conflict: no earlier version that served is still there.
        """
        return self.database.transact(self._beneath)

    def _beneath(self, connection: sqlite3.Connection) -> int:
        below = aliases.below(connection)
        if not below:
            raise Conflict("no earlier version that served is still here")
        self.check(below[0])
        return below[0]

    def alias(self, alias: str, name: int | str | None, *, actor: str) -> None:
        """Point `shadow`, `baseline` or `challenger` at a version, or at none.

        Raises:
            Conflict: the alias moves by promotion and rollback alone.
        """
        if alias not in ALIASES or alias in ("champion", "previous"):
            raise Conflict(
                "only shadow, baseline and challenger are set by hand; promote moves the others",
                field="alias",
                value=alias,
            )
        number = None if name is None else self.get(name).version

        def work(connection: sqlite3.Connection) -> None:
            if number is not None:
                _present(self.get(number))
            aliases.point(connection, **{alias: number})
            audit.write(connection, actor, "alias", {"alias": alias, "version": number})

        self.database.transact(work)

    def prune(self, keep: int) -> list[int]:
        """Remove the files of all but the newest `keep` versions and those that an alias names."""

        def work(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            gone = connection.execute(
                "SELECT version, redactions FROM versions WHERE state != 'removed'"
                " AND version NOT IN (SELECT version FROM aliases)"
                " ORDER BY version DESC LIMIT -1 OFFSET ?",
                (keep,),
            ).fetchall()
            connection.executemany(
                "UPDATE versions SET state = 'removed' WHERE version = ?",
                [(row["version"],) for row in gone],
            )
            return [(row["version"], row["redactions"]) for row in gone]

        removed = self.database.transact(work)
        for number, redactions in removed:
            files.remove(self.folder / folder_name(number, redactions))
        return [number for number, _ in removed]

    def _steady(self, name: int | str, read: Callable[[Version], T]) -> T:
        """Read a version's files, and once more where an erasure has just moved them."""
        held = self.get(name)
        if held.state == "removed":
            raise NotFound("the files of this version are gone", field="version", value=name)
        try:
            return read(held)
        except (CheckpointMismatch, FileNotFoundError):
            if self.get(held.version) == held:
                raise
            return self._steady(held.version, read)


def write(beside: Path, state: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Write the files of a version, durably, into a new folder that is to be renamed.

    Args:
        beside: the folder; what is there goes.
        state: of the learner.
        said: for the manifest, plain values.
    """
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    checkpoint.save(beside / STATE, state)
    manifest = {
        **said,
        "format": FORMAT,
        "perdure": __version__,
        "files": {STATE: digest_of(beside / STATE)},
    }
    files.write_file(beside / MANIFEST, json.dumps(manifest, indent=1).encode())
    files.sync_directory(beside)


def folder_name(number: int, redactions: int = 0) -> str:
    """What the folder of a version is called."""
    return f"{number}.{redactions}" if redactions else str(number)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _present(held: Version) -> Version:
    if held.state == "removed":
        raise Conflict("its files are gone", field="version", value=held.version)
    return held


def _version(row: sqlite3.Row) -> Version:
    return Version(**{**dict(row), "note": json.loads(row["note"])})
