"""`fsck`: whole directories are clean, every kind of harm is found and named, and what is mended
loses nothing.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live import erasure, update
from perdure.live.alone import alone
from perdure.live.erasure import erase
from perdure.live.fsck import fsck
from perdure.live.project import Project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with some of everything: versions, a rollback, an erasure, rows that wait."""
    directory = tmp_path_factory.mktemp("made") / "state"
    with tiny.project(directory, {"log": {"keep_rows": 100}}) as project:
        for first in (0, 60, 120):
            named = [tiny.row(n, subject=f"s{n % 9}") for n in range(first, first + 60)]
            project.log.append(named, f"key {first}", "digest").result()
            tiny.updated(project)
        project.registry.rollback(actor="me", reason="to test")
        erase(project, "s4", "me")
        project.log.append([tiny.row(n, label=None) for n in range(200, 220)]).result()
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A copy to be harmed."""
    shutil.copytree(made, tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def project(directory: Path) -> Iterator[Project]:
    with Project(directory) as held:
        yield held


def told(project: Project, *, repair: bool = False) -> list[tuple[str, str]]:
    """(severity, check) of each finding."""
    return [(one.severity, one.check) for one in fsck(project, repair=repair)]


def execute(project: Project, sql: str) -> None:
    """Change the database behind everybody's back."""
    connection = sqlite3.connect(project.database.path)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(sql)
    connection.commit()
    connection.close()


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_directory_in_use_is_clean(project: Project) -> None:
    """With repair and without, before and after rows came."""
    assert [] == told(project)
    assert [] == told(project, repair=True)
    project.log.append(tiny.rows(300, 9)).result()
    assert [] == told(project)


def test_a_new_directory_is_clean(tmp_path: Path) -> None:
    """Before the first row, and after it."""
    with tiny.project(tmp_path / "new") as project:
        assert [] == told(project)
        project.log.append(tiny.rows(0, 1)).result()
        assert [] == told(project)


DAMAGE: dict[str, tuple[str, Callable[[Project], None]]] = {
    "a flipped bit in a row": (
        "rows",
        lambda p: flip(
            p.segments.path(p.database.value("SELECT max(segment) FROM rows")),
            tiny.ROW_BYTES * p.database.value("SELECT max(slot) FROM rows") + 3,
        ),
    ),
    "a segment that is missing": ("segments", lambda p: p.segments.path(1).unlink()),
    "a segment that is too short": ("segments", lambda p: os.truncate(p.segments.path(1), 40)),
    "a row in a slot that is not in use": (
        "segments",
        lambda p: execute(p, "UPDATE segments SET used = 3"),
    ),
    "a row whose place is to be written over": (
        "segments",
        lambda p: execute(p, "INSERT INTO blanks SELECT segment, slot FROM rows LIMIT 1"),
    ),
    "a row under another name": ("rows", lambda p: execute(p, "UPDATE rows SET key = position")),
    "a flipped bit in a learner": (
        "versions",
        lambda p: flip(p.registry.path(p.registry.get(1)) / "learner.safetensors", 2000),
    ),
    "a manifest that is missing": (
        "versions",
        lambda p: (p.registry.path(p.registry.get("champion")) / "manifest.json").unlink(),
    ),
    "a version that is missing": (
        "versions",
        lambda p: shutil.rmtree(p.registry.path(p.registry.get(1))),
    ),
    "an alias of what is gone": (
        "aliases",
        lambda p: execute(p, "UPDATE versions SET state = 'removed' WHERE version = 2"),
    ),
    "a champion that is not on top": (
        "served",
        lambda p: execute(p, "UPDATE aliases SET version = 1 WHERE name = 'champion'"),
    ),
    "two that serve": ("served", lambda p: execute(p, "UPDATE served SET until = NULL")),
    "a champion that never served": ("served", lambda p: execute(p, "DELETE FROM served")),
    "a version from the future": (
        "positions",
        lambda p: execute(p, "UPDATE versions SET upto = 10000 WHERE version = 1"),
    ),
    "a watch from the future": (
        "positions",
        lambda p: execute(p, "INSERT OR REPLACE INTO watch VALUES (1, 10000, '')"),
    ),
    "two jobs at once": (
        "jobs",
        lambda p: execute(p, "UPDATE jobs SET state = 'running' WHERE id <= 2"),
    ),
    "a job whose version is not there": (
        "jobs",
        lambda p: execute(p, "UPDATE jobs SET version = 99 WHERE id = 2"),
    ),
    "a receipt that was changed": (
        "erasures",
        lambda p: execute(p, "UPDATE erased SET receipt = json_set(receipt, '$.rows', 0)"),
    ),
    "a label without a class": (
        "classes",
        lambda p: execute(p, "UPDATE examples SET label = 7 WHERE seq = 150"),
    ),
    "classes in another order": (
        "classes",
        lambda p: execute(p, "UPDATE classes SET name = name || '!' WHERE label = 1"),
    ),
    "held-out rows of another schema": (
        "held-out",
        lambda p: execute(p, "UPDATE evaluation SET x = x'00' WHERE key = (SELECT min(key) FROM"
                          " evaluation)"),
    ),
    "an anchor that was changed": (
        "held-out",
        lambda p: execute(p, "INSERT OR REPLACE INTO meta VALUES ('anchor', 'another')"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_not_mended(project: Project, name: str) -> None:
    """Data are never invented: with repair it is told all the same."""
    check, harm = DAMAGE[name]
    harm(project)
    found = fsck(project)
    assert ("damaged", check) in {(one.severity, one.check) for one in found}
    assert all(one.what and one.where and one.advice for one in found)
    assert ("damaged", check) in told(project, repair=True)


def test_a_page_of_the_database_that_is_damaged_is_found(directory: Path) -> None:
    """By SQLite's own check, if not by the first read."""
    path = directory / "perdure.db"
    data = bytearray(path.read_bytes())
    with Project(directory) as project:
        root = project.database.value("SELECT rootpage FROM sqlite_master WHERE name = 'outcomes'")
        size = project.database.value("PRAGMA page_size")
    data[(root - 1) * size : (root - 1) * size + 100] = bytes(100)
    path.write_bytes(data)
    with Project(directory) as project:
        try:
            found = told(project)
        except sqlite3.DatabaseError:
            return
        assert ("damaged", "database") in found


LEFT: dict[str, tuple[str, Callable[[Project], None]]] = {
    "a half-made version": (
        "leftovers",
        lambda p: (p.registry.folder / ".7.part").mkdir(),
    ),
    "a version that was never committed": (
        "leftovers",
        lambda p: shutil.copytree(p.registry.folder / "1", p.registry.folder / "44"),
    ),
    "a checkpoint of a job that ended": (
        "leftovers",
        lambda p: (p.directory / "work" / "1.safetensors").write_bytes(b"rest"),
    ),
    "a segment that was never committed": (
        "segments",
        lambda p: p.segments.path(77).write_bytes(bytes(4096)),
    ),
    "rows that were never committed": (
        "segments",
        lambda p: flip(
            p.segments.path(p.segments.found()[-1]),
            tiny.ROW_BYTES * p.database.value("SELECT used FROM segments ORDER BY number DESC"),
        ),
    ),
    "rows that are gone and not written over": (
        "segments",
        lambda p: execute(p, "DELETE FROM rows WHERE position % 7 = 0"),
    ),
    "bytes of nobody": (
        "segments",
        lambda p: (execute(p, "DELETE FROM rows WHERE position % 7 = 0"),
                   execute(p, "DELETE FROM blanks")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_a_crash_left_is_mended(project: Project, name: str) -> None:
    """Without repair it is told; with it, it is gone, and nothing else is."""
    check, leave = LEFT[name]
    leave(project)
    before = everything(project)
    assert {("unfinished", check)} == set(told(project))
    assert {("repaired", check)} == set(told(project, repair=True))
    assert [] == told(project)
    assert before == everything(project)


def everything(project: Project) -> list[object]:
    """All that a repair must leave as it is."""
    tables = ("rows", "examples", "versions", "aliases", "served", "evaluation", "jobs")
    held = [[tuple(r) for r in project.database.read(f"SELECT * FROM {t}")] for t in tables]  # noqa: S608
    positions = [row["position"] for row in project.database.read("SELECT position FROM rows")]
    return [*held, project.log.features(positions).tolist()]


def test_an_erasure_that_is_pending_is_finished(project: Project, monkeypatch) -> None:
    """As the next updater would."""
    monkeypatch.setattr(erasure, "WAIT_SECONDS", 0.0)
    with alone(project.directory):
        assert "pending" == erase(project, "s5", "me").state
    assert ("unfinished", "erasures") in told(project)
    assert ("repaired", "erasures") in told(project, repair=True)
    assert [] == erasure.pending(project)
    assert [] == told(project)


def test_a_job_that_stopped_waits_and_keeps_its_checkpoint(project: Project) -> None:
    """It is no damage, and repair leaves it to the next updater."""
    project.log.append(tiny.rows(400, 40)).result()
    job = update.plan(project, project.jobs.ask("update", "to test", "me"))
    update.fold(project, job)
    assert update.path_of(project, job).exists()
    assert [("waiting", "jobs")] == told(project, repair=True)
    assert update.path_of(project, job).exists()
    assert "done" == tiny.updated(project).state


def test_while_an_updater_is_at_work_its_files_are_left_to_it(project: Project) -> None:
    """They may be half-made this moment."""
    (project.registry.folder / ".7.part").mkdir()
    with alone(project.directory):
        assert [] == told(project, repair=True)
    assert [("repaired", "leftovers")] == told(project, repair=True)


def test_findings_are_plain_values_the_worst_first(project: Project) -> None:
    """As the command line prints them."""
    (project.registry.folder / ".7.part").mkdir()
    project.segments.path(1).unlink()
    found = fsck(project)
    assert ["damaged", "unfinished"] == [one.severity for one in found]
    assert {"check", "severity", "where", "what", "advice"} == set(found[0].to_dict())
