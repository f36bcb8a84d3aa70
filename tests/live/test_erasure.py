"""Erasure: no byte of a subject is left, nothing of it comes back, and the log can be folded again
as if the subject had never been there.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live import tiny
from tests.live.test_resume import cut_at

from perdure.live import anchor, conclusion, erasure, keeping, ledger, update, updater, watch
from perdure.live.alone import alone
from perdure.live.erasure import erase
from perdure.live.jobs import finish
from perdure.live.keys import key
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.receipt import Receipt
from perdure.live.refusals import Conflict, Erased
from perdure.live.repair import interpolate
from perdure.live.rows import Row
from perdure.live.status import warnings
from perdure.live.watch.state import from_text
from perdure.memory.erasing import memories

SUBJECT = "canary-subject-7f3a"
MARK = np.array([0.12345679, -0.98765432, 0.31415927, -0.27182818], np.float32)
KEEPS_ALL = {"learner": {"methods": [{"name": "ER", "capacity": 1000}]}}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with tiny.project(tmp_path / "state", KEEPS_ALL) as held:
        yield held


def mine(number: int, label: str | None = "") -> Row:
    """A row of the subject; its features are to be found byte by byte."""
    base = tiny.row(number, label=label, subject=SUBJECT)
    x = MARK + np.float32(0) if number % 2 else MARK[::-1].copy()
    return replace(base, id=f"canary-row-{number}", features=x, source="web")


def others(first: int, count: int) -> list[Row]:
    return [tiny.row(n, subject=f"subject-{n % 23}") for n in range(first, first + count)]


def learnt(project: Project, *batches: list[Row]) -> None:
    """Each batch is stored and learnt, and serves."""
    for batch in batches:
        project.log.append(batch).result()
        watch.advance(project, 0.0)
        assert "done" == tiny.updated(project).state


def mixed(first: int, count: int = 40) -> list[Row]:
    """Rows of others with some of the subject's among them."""
    return [mine(n) if n % 8 == 3 else row for n, row in enumerate(others(first, count), first)]


def found(directory: Path, *needles: bytes) -> list[str]:
    """Files of the directory that hold one of the byte strings, or are named like one."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes() or needle in str(path).encode()
    )


def canaries() -> list[bytes]:
    return [
        b"canary",
        MARK.tobytes(),
        MARK[::-1].tobytes(),
        key(SUBJECT).to_bytes(8, "little", signed=True),
    ]


def subjects_held(project: Project, version: int) -> set[int]:
    """Subjects whose rows a version's memories hold."""
    held = [memory.rows() for memory in memories(project.load(version)).values()]
    return {int(s) for rows in held if rows is not None for s in rows.extras["subject"]}


# -- nothing is left -----------------------------------------------------------------------------


def test_no_file_holds_a_byte_of_the_subject(tmp_path: Path) -> None:
    """Log, memories, held-out rows, predictions, requests, the database's pages and its log."""
    directory = tmp_path / "state"
    with tiny.project(directory, KEEPS_ALL) as project:
        learnt(project, others(0, 40), mixed(40), mixed(80))
        project.log.append([mine(n, None) for n in range(200, 260)], "canary-key", "d").result()
        project.labels.give([Label("canary-row-200", "red")]).result()
        project.log.append([mine(n) for n in (300, 301)]).result()
        assert {"perdure.db-wal", "segments/00000001.seg"} <= set(found(directory, *canaries()))
        assert any(name.startswith("versions/3") for name in found(directory, *canaries()))
        receipt = erase(project, SUBJECT, "me")
        assert [] == found(directory, *canaries())
        assert "done" == receipt.state
        assert 10 + 60 + 2 == receipt.rows
    assert [] == found(directory, *canaries())


@pytest.mark.parametrize("seed", range(3))
def test_pages_that_were_split_hold_no_old_copy(tmp_path: Path, seed: int) -> None:
    """Names that come in no order move between the pages of an index as these fill up."""
    directory, draw = tmp_path / "state", np.random.default_rng(seed)
    with tiny.project(directory) as project:
        for first in range(0, 3000, 500):
            batch = [
                replace(mine(n, None), id=f"{draw.integers(2**60):x}-canary")
                if draw.random() < 0.3
                else replace(tiny.row(n, label=None), id=f"{draw.integers(2**60):x}")
                for n in range(first, first + 500)
            ]
            project.log.append(batch).result()
        erase(project, SUBJECT, "me")
    assert [] == found(directory, *canaries())


def test_held_out_rows_and_the_anchor_go_too(tmp_path: Path) -> None:
    """The anchor is sealed again, for the change was rightful."""
    directory = tmp_path / "state"
    with tiny.project(directory, {"evaluation": {"share": 0.99}}) as project:
        project.log.append([*others(0, 30), *(mine(n) for n in range(30, 50))]).result()
        pinned = [replace(tiny.row(900), id="other"), replace(mine(901), id="canary-anchor")]
        anchor.pin(project, pinned, "me")
        from perdure.live import evaluation

        evaluation.take(project, project.log.head())
        before = len(evaluation.read(project).x)
        receipt = erase(project, SUBJECT, "me")
        assert before - receipt.held_out == len(evaluation.read(project).x)
        assert receipt.held_out == 21
        assert receipt.first is None
        assert () == receipt.tainted
        with pytest.raises(Erased):
            anchor.pin(project, pinned, "me")
        assert 1 == int(evaluation.read(project).rows.anchor.sum())
    assert [] == found(directory, *canaries())


def test_rows_that_left_the_log_long_ago_leave_the_memories_and_answers(tmp_path: Path) -> None:
    """What was trimmed is still known by its subject where it was remembered."""
    directory = tmp_path / "state"
    with tiny.project(directory, {**KEEPS_ALL, "log": {"keep_rows": 10}}) as project:
        project.log.append([mine(1)], "a key of its own").result()
        learnt(project, mixed(0), others(40, 40), others(80, 40))
        assert 0 == project.database.value(
            "SELECT count(*) FROM rows WHERE subject = ?", (SUBJECT,)
        )
        assert key(SUBJECT) in subjects_held(project, 3)
        receipt = erase(project, SUBJECT, "me")
        assert 0 == receipt.rows
        assert (1, 2, 3) == receipt.tainted
        for version in (1, 2, 3):
            assert key(SUBJECT) not in subjects_held(project, version)
            assert subjects_held(project, version)
        with pytest.raises(Erased, match="not answered again"):
            project.log.append([mine(1)], "a key of its own").result()
    assert [] == found(directory, *canaries())


def test_what_a_crash_left_goes_too(tmp_path: Path) -> None:
    """Half-made versions, checkpoints, and rows of a transaction that never was."""
    directory = tmp_path / "state"
    with tiny.project(directory, KEEPS_ALL) as project:
        learnt(project, mixed(0))

        def fails(connection: sqlite3.Connection) -> None:
            encoded = project.log._encode([mine(n) for n in range(500, 800)])
            project.log.intake.store(connection, encoded)
            raise ValueError("the power is gone")

        with pytest.raises(ValueError, match="power"):
            project.database.transact(fails)
        for name in ("versions/9", "versions/.4.part", "work/3.safetensors", "work/.1.9.part"):
            (directory / name).mkdir()
            (directory / name / "rest").write_bytes(b"canary")
        assert 5 <= len(found(directory / "segments", *canaries())) + 4
        erase(project, SUBJECT, "me")
    assert [] == found(directory, *canaries())


def test_the_windows_of_drift_detectors_are_emptied(project: Project) -> None:
    """They hold embeddings of rows; so do those of versions that served before."""
    learnt(project, mixed(0, 200), others(200, 100))
    watch.advance(project, 0.0)
    assert any(tensors(features) for features in windows(project))
    erase(project, SUBJECT, "me")
    assert 2 == len(windows(project))
    assert [] == [features for features in windows(project) if tensors(features)]
    project.log.append(others(400, 40)).result()
    watch.advance(project, 0.0)


def windows(project: Project) -> list[dict]:
    """The windows of rows that are written for the detectors, now and of what served before."""
    states = "SELECT state FROM watch UNION ALL SELECT watch FROM served WHERE watch IS NOT NULL"
    return [from_text(row[0])["features"] for row in project.database.read(states)]


def tensors(features: dict) -> list[str]:
    """What of them holds any number."""
    return [name for name, held in features.items() if torch.is_tensor(held) and held.numel()]


# -- nothing comes back --------------------------------------------------------------------------


def test_later_rows_of_the_subject_are_refused(project: Project) -> None:
    """All of the request, so that nothing is half stored; others go on."""
    project.log.append([mine(0)]).result()
    erase(project, SUBJECT, "me")
    with pytest.raises(Erased):
        project.log.append([tiny.row(1), mine(2)]).result()
    assert 0 == project.database.value("SELECT count(*) FROM rows")
    project.log.append([tiny.row(1)]).result()


def test_a_subject_that_never_came_can_be_erased(project: Project) -> None:
    """It is refused from then on, and the receipt says that there was nothing."""
    receipt = erase(project, SUBJECT, "me")
    assert ("done", 0, None, ()) == (receipt.state, receipt.rows, receipt.first, receipt.tainted)
    with pytest.raises(Erased):
        project.log.append([mine(2)]).result()


def test_erasing_twice_changes_nothing(project: Project) -> None:
    """The second time gives the first receipt."""
    learnt(project, mixed(0))
    first = erase(project, SUBJECT, "me")
    assert first == erase(project, SUBJECT, "you")


def test_a_dry_run_does_nothing(project: Project) -> None:
    """And says what there is."""
    learnt(project, mixed(0))
    before = project.database.read("SELECT * FROM rows ORDER BY position")
    receipt = erase(project, SUBJECT, "me", dry_run=True)
    assert ("dry run", 5, (1,), {"1": 5}) == (
        receipt.state, receipt.rows, receipt.tainted, receipt.learnt
    )  # fmt: skip
    assert before == project.database.read("SELECT * FROM rows ORDER BY position")
    assert 0 == project.database.value("SELECT count(*) FROM erased")


def test_the_receipt_is_signed_and_names_nobody(project: Project) -> None:
    """Whoever changes a word of it breaks the signature."""
    learnt(project, mixed(0), others(40, 40))
    receipt = erase(project, SUBJECT, "me")
    secret = project.database.value("SELECT value FROM meta WHERE key = 'secret'")
    assert receipt.is_signed(secret)
    assert not replace(receipt, rows=receipt.rows - 1).is_signed(secret)
    assert receipt == Receipt.of(receipt.text())
    assert (1, 2) == receipt.tainted
    assert (1, 2) == receipt.redacted
    assert any("weights" in sentence for sentence in receipt.remains)
    assert "canary" not in receipt.text() + str(receipt)
    said = project.database.one("SELECT actor, detail FROM audit WHERE action = 'erase'")
    assert "me" == said["actor"]
    assert "canary" not in said["detail"]


def test_versions_that_learnt_from_the_subject_are_marked(project: Project) -> None:
    """Those from before its first row are not; what goes on from a marked one is marked too."""
    learnt(project, others(0, 40), mixed(40), others(80, 40))
    erase(project, SUBJECT, "me")
    assert [False, True, True] == [v.tainted is not None for v in project.registry.all()]
    learnt(project, others(120, 40))
    assert 4 == project.registry.champion().version
    assert project.registry.champion().tainted is not None
    for version in project.registry.all():
        project.registry.verify(version)


def test_other_subjects_stay_in_the_memories(project: Project) -> None:
    """Only the one is taken out, and all else of the version is as it was."""
    learnt(project, mixed(0))
    before, held = project.registry.load(1), subjects_held(project, 1)
    erase(project, SUBJECT, "me")
    assert held - {key(SUBJECT)} == subjects_held(project, 1)
    after = project.registry.load(1)
    for part in ("model", "optimiser", "engine", "updates"):
        assert tiny.digest(before[part]) == tiny.digest(after[part])


# -- while others are at work --------------------------------------------------------------------


def test_an_update_that_runs_meanwhile_begins_again(project: Project) -> None:
    """What it learnt from the subject never becomes a version; a new job learns the rest."""
    project.log.append(mixed(0)).result()
    job = update.plan(project, project.jobs.ask("update", "to test", "me"))
    made = update.fold(project, job)
    erase(project, SUBJECT, "you")
    with pytest.raises(Conflict):
        project.jobs.beat(job.id)
    with pytest.raises(Conflict):
        project.registry.create(
            made.learner.state_dict(), parent=None, job=job.id, after=0, upto=40, note={}
        )
    assert "cancelled" == project.jobs.get(job.id).state
    again = project.jobs.open()
    assert ("to test", "me", "queued") == (again.reason, again.actor, again.state)
    with tiny.quick_gate():
        done = updater.turn(project)
    assert (again.id, "done", None) == (done.id, done.state, done.error)
    assert project.registry.champion().tainted is None


def test_a_version_that_is_judged_meanwhile_does_not_serve(project: Project, monkeypatch) -> None:
    """It was made before the tombstone, and the gate spoke after it."""
    project.log.append(mixed(0)).result()
    examine = conclusion.examine

    def slow(*args, **named):
        erase(project, SUBJECT, "you")
        return examine(*args, **named)

    monkeypatch.setattr(conclusion, "examine", slow)
    assert "cancelled" == tiny.updated(project).state
    assert project.registry.champion() is None
    assert project.registry.get(1).tainted is not None
    assert 0 == project.database.value("SELECT count(*) FROM verdicts")
    monkeypatch.setattr(conclusion, "examine", examine)
    with tiny.quick_gate():
        assert "done" == updater.turn(project).state
    assert 2 == project.registry.champion().version
    assert key(SUBJECT) not in subjects_held(project, 1) | subjects_held(project, 2)


def test_where_an_updater_is_at_work_it_finishes(project: Project, monkeypatch) -> None:
    """Nobody else touches the versions under its hands."""
    learnt(project, mixed(0))
    monkeypatch.setattr(erasure, "WAIT_SECONDS", 0.2)
    with alone(project.directory):
        receipt = erase(project, SUBJECT, "me")
        assert "pending" == receipt.state
        assert any("is not finished" in sentence for sentence in warnings(project))
        updater.turn(project)
        assert [] == erasure.pending(project)
    assert [] == found(project.directory, *canaries())
    assert "done" == erase(project, SUBJECT, "me").state


def test_a_reader_of_the_database_holds_it_up_and_it_is_done_later(
    project: Project, monkeypatch
) -> None:
    """The receipt says what is still to do, and is not signed before it is done."""
    learnt(project, mixed(0))
    monkeypatch.setattr(erasure, "WAIT_SECONDS", 0.2)
    project.database._own().execute("PRAGMA busy_timeout = 100")
    reader = sqlite3.connect(project.database.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rows").fetchall()
    receipt = erase(project, SUBJECT, "me")
    assert "pending" == receipt.state
    assert "being read" in receipt.problem
    assert "" == receipt.signature
    reader.execute("ROLLBACK")
    reader.close()
    assert "done" == erase(project, SUBJECT, "me").state
    assert [] == found(project.directory, *canaries())


def test_a_version_that_cannot_be_opened_goes_unless_it_has_a_name(project: Project) -> None:
    """Nobody can say what its memory holds."""
    learnt(project, mixed(0), others(40, 40), others(80, 40), others(120, 40))
    for version in (1, 2):
        path = project.registry.path(project.registry.get(version)) / "learner.safetensors"
        os.truncate(path, 100)
    receipt = erase(project, SUBJECT, "me")
    assert ("done", (1, 2), (3, 4)) == (receipt.state, receipt.removed, receipt.redacted)
    assert {"3.1", "4.1"} == {path.name for path in project.registry.folder.iterdir()}


def test_a_champion_that_cannot_be_opened_holds_the_erasure_up(project: Project) -> None:
    """The loop goes on, and the receipt names the file."""
    learnt(project, mixed(0))
    path = project.registry.path(project.registry.champion()) / "learner.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    receipt = erase(project, SUBJECT, "me")
    assert "pending" == receipt.state
    assert "learner.safetensors" in receipt.problem
    updater.turn(project)
    path.write_bytes(whole)
    assert "done" == erase(project, SUBJECT, "me").state


def test_an_erasure_that_is_interrupted_anywhere_is_finished_later(tmp_path: Path) -> None:
    """At each write, sync, rename, removal and transaction in turn, until it comes through."""
    with tiny.project(tmp_path / "before", KEEPS_ALL) as project:
        learnt(project, mixed(0, 24), mixed(24, 24))
    for call in itertools.count(1):
        directory = tmp_path / str(call)
        shutil.copytree(tmp_path / "before", directory)
        with Project(directory) as project, pytest.MonkeyPatch.context() as patch:
            count = interrupted(patch, call)
            with suppress(InterruptedError):
                erase(project, SUBJECT, "me")
        with Project(directory) as project:
            updater.turn(project)
            assert [] == erasure.pending(project)
            receipt = erase(project, SUBJECT, "me")
            assert (1, 2) == receipt.redacted
            for version in project.registry.all():
                project.registry.verify(version)
                assert key(SUBJECT) not in subjects_held(project, version.version)
            assert [] == keeping.leftovers(project)
        assert [] == found(directory, *canaries())
        shutil.rmtree(directory)
        if count[0] < call:
            break
    assert call > 20


def interrupted(patch: pytest.MonkeyPatch, call: int) -> list[int]:
    """The process ends at this call to the disk, counted from 1, and at all that follow."""
    count = [0]

    def stopping(do):
        def counted(*args, **named):
            count[0] += 1
            if count[0] >= call:
                raise InterruptedError
            return do(*args, **named)

        return counted

    from perdure.live.database import Database

    for name in ("pwrite", "fsync", "replace", "ftruncate", "unlink"):
        patch.setattr(os, name, stopping(getattr(os, name)))
    patch.setattr(Database, "transact", stopping(Database.transact))
    return count


# -- exact rebuild -------------------------------------------------------------------------------

EXACT = {
    "reservoir": {},
    "adam, several passes": {"learner": {"optimizer": "adam", "epochs": 2}},
    "logits and a cap on sources": {
        "learner": {"methods": [{"name": "DERpp", "capacity": 20}]},
        "abuse": {"max_source_share": 0.5},
    },
    "rows written where a task ends": {
        "learner": {"methods": [{"name": "ER", "capacity": 9, "write": "boundary"}]}
    },
}


def history() -> list[list[Row]]:
    """Five updates; the subject is in the second, the third (which is its alone) and the last."""
    only = [mine(n) for n in range(100, 124)]
    return [others(0, 40), mixed(40), only, others(130, 40), mixed(170)]


def state_of(project: Project) -> str:
    return tiny.digest(project.registry.load("champion"))


@pytest.mark.parametrize("name", EXACT)
def test_the_rebuilt_model_is_that_of_a_run_which_never_saw_the_subject(
    tmp_path: Path, name: str
) -> None:
    """Model, optimiser, memory and generators, bit for bit."""
    with tiny.project(tmp_path / "never", EXACT[name]) as project:
        for batch in history():
            rest = [row for row in batch if row.subject != SUBJECT]
            if rest:
                learnt(project, rest)
        never = state_of(project)
    with tiny.project(tmp_path / "erased", EXACT[name]) as project:
        learnt(project, *history())
        before = state_of(project)
        receipt = erase(project, SUBJECT, "me", "exact")
        assert before != never
        with tiny.quick_gate():
            job = updater.turn(project)
        assert (receipt.job, "rebuild", "done", None) == (job.id, job.kind, job.state, job.error)
        champion = project.registry.champion()
        assert champion.version == job.version
        assert champion.tainted is None
        assert never == state_of(project)
        learnt(project, others(300, 40))
        later = state_of(project)
    with Project(tmp_path / "never") as project:
        learnt(project, others(300, 40))
        assert later == state_of(project)


@pytest.mark.parametrize("batch", [1, 4, 9, 12])
def test_a_rebuild_that_is_interrupted_gives_the_same(tmp_path: Path, batch: int) -> None:
    """It goes on behind the versions that it has made, and within the one that it was at."""
    results = []
    for cut in (None, batch):
        directory = tmp_path / str(cut)
        with tiny.project(directory) as project:
            learnt(project, *history())
            erase(project, SUBJECT, "me", "exact")
        with Project(directory) as project, pytest.MonkeyPatch.context() as patch:
            if cut is not None:
                cut_at(patch, cut)
                with pytest.raises(KeyboardInterrupt):
                    updater.perform(project, project.jobs.open())
        with Project(directory) as project, tiny.quick_gate():
            torch.rand(7)
            while updater.turn(project) is not None:
                pass
            results.append(state_of(project))
            assert project.registry.champion().tainted is None
    assert results[0] == results[1]


def test_two_subjects_one_after_the_other(tmp_path: Path) -> None:
    """The second rebuild begins where the first one's versions allow."""
    second = "subject-5"
    with tiny.project(tmp_path / "never") as project:
        for batch in history():
            rest = [row for row in batch if row.subject not in (SUBJECT, second)]
            if rest:
                learnt(project, rest)
        never = state_of(project)
    with tiny.project(tmp_path / "erased") as project, tiny.quick_gate():
        learnt(project, *history())
        for subject in (SUBJECT, second):
            erase(project, subject, "me", "exact")
            assert "done" == updater.turn(project).state
        assert never == state_of(project)


def test_a_rebuild_is_refused_when_rows_are_missing_and_nothing_is_erased(tmp_path: Path) -> None:
    """The message says how far back the log goes, and what to do instead."""
    with tiny.project(tmp_path, {"log": {"keep_rows": 60}}) as project:
        learnt(project, mixed(0), others(40, 40), others(80, 40))
        with pytest.raises(Conflict, match=r"goes back to seq \d+.*--rebuild exact"):
            erase(project, SUBJECT, "me", "exact")
        assert 0 == project.database.value("SELECT count(*) FROM erased")
        assert "done" == erase(project, SUBJECT, "me", "scheduled").state
        with pytest.raises(Conflict, match="goes back to seq"):
            erase(project, SUBJECT, "me", "exact")


def interpolated(project: Project, rows: list[Row], share: float) -> None:
    """An update whose result the gate moved towards the champion."""
    project.log.append(rows).result()
    watch.advance(project, 0.0)
    job = update.plan(project, project.jobs.ask("update", "to test", "me"))
    made = update.fold(project, job)
    champion = project.registry.champion()
    between = interpolate(project.registry.load(champion.version), made.learner.state_dict(), share)
    note = {**ledger.cost_note(made), "interpolated": {"from": 99, "share": share}}
    number = project.registry.create(
        between, parent=job.parent, job=job.id, after=job.after, upto=job.upto, note=note
    )
    project.registry.promote(number, actor="me", reason="to test")
    project.database.transact(lambda c: finish(c, job.id, "done"))


def test_what_the_gate_interpolated_is_interpolated_again(tmp_path: Path) -> None:
    """The chain is made anew as it was made."""
    states = []
    for name in ("never", "erased"):
        with tiny.project(tmp_path / name) as project:
            batches = [others(0, 40), mixed(40), mixed(80), others(120, 40)]
            if name == "never":
                batches = [[row for row in b if row.subject != SUBJECT] for b in batches]
            learnt(project, batches[0])
            interpolated(project, batches[1], 0.25)
            interpolated(project, batches[2], 0.75)
            learnt(project, batches[3])
            if name == "erased":
                erase(project, SUBJECT, "me", "exact")
                with tiny.quick_gate():
                    assert "done" == updater.turn(project).state
                # and once more, from versions that were themselves rebuilt
                erase(project, "nobody", "me", "exact")
            states.append(state_of(project))
    assert states[0] == states[1]


def test_where_no_raw_rows_are_kept_nothing_can_be_rebuilt(tmp_path: Path) -> None:
    """All else is erased as ever."""
    said = {"retention": {"raw": False}, "learner": {"methods": [{"name": "EWC"}]}}
    with tiny.project(tmp_path / "state", said) as project:
        learnt(project, mixed(0))
        assert 0 == project.database.value("SELECT count(*) FROM rows")
        with pytest.raises(Conflict, match="rebuild exact"):
            erase(project, SUBJECT, "me", "exact")
        assert ("done", (1,)) == (
            erase(project, SUBJECT, "me").state,
            erase(project, SUBJECT, "me").tainted,
        )
    assert [] == found(tmp_path / "state", *canaries())


def test_rows_stay_until_a_rebuild_has_learnt_them(tmp_path: Path) -> None:
    """Updates and tidying in between take nothing away from it."""
    said = {"log": {"keep_rows": 1000}}
    with tiny.project(tmp_path / "state", said) as project:
        learnt(project, others(0, 40), mixed(40), others(80, 40))
    tiny.written(tmp_path / "state", {"log": {"keep_rows": 10}})
    with Project(tmp_path / "state") as project:
        project.log.append(others(120, 40)).result()
        asked = project.jobs.ask("update", "to test", "me")
        receipt = erase(project, SUBJECT, "me", "exact")
        with tiny.quick_gate():
            jobs = [updater.turn(project), updater.turn(project)]
        assert [(asked.id, "done"), (receipt.job, "done")] == [(job.id, job.state) for job in jobs]
        assert project.registry.champion().tainted is None
        keeping.tidy(project)
        assert 10 >= project.database.value("SELECT count(*) FROM rows")


def test_a_rebuild_may_be_asked_for_later(project: Project) -> None:
    """The receipt is written and signed again."""
    learnt(project, others(0, 40), mixed(40))
    first = erase(project, SUBJECT, "me")
    assert first.job is None
    second = erase(project, SUBJECT, "me", "exact")
    assert second.job is not None
    assert second.is_signed(project.database.value("SELECT value FROM meta WHERE key = 'secret'"))
    with tiny.quick_gate():
        assert "done" == updater.turn(project).state
    assert project.registry.champion().tainted is None


def test_without_a_tainted_champion_there_is_nothing_to_rebuild(project: Project) -> None:
    """A subject whose rows were never learnt costs no training."""
    learnt(project, others(0, 40))
    project.log.append([mine(n) for n in range(50, 60)]).result()
    receipt = erase(project, SUBJECT, "me", "exact")
    assert (None, ()) == (receipt.job, receipt.tainted)


def test_where_only_the_subject_came_after_the_base_the_base_serves_again(
    project: Project,
) -> None:
    """A run that never saw the subject would have stopped there."""
    learnt(project, others(0, 40), [mine(n) for n in range(40, 60)])
    erase(project, SUBJECT, "me", "exact")
    with tiny.quick_gate():
        assert "done" == updater.turn(project).state
    assert 1 == project.registry.champion().version


def test_where_nobody_else_was_ever_there_nothing_can_be_rebuilt(project: Project) -> None:
    """The job says so, and the marked version serves until there are rows."""
    learnt(project, [mine(n) for n in range(40)])
    erase(project, SUBJECT, "me", "exact")
    with tiny.quick_gate():
        job = updater.turn(project)
    assert "failed" == job.state
    assert "no rows are left" in job.error
