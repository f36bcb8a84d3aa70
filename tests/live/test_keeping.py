"""What stays and what goes: nothing that is still to be learnt, and everything else in its time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live import anchor, conclusion, keeping, updater, watch
from perdure.live.labels import Label
from perdure.live.project import Project

FEW = {"triggers": {"count": 20}, "log": {"keep_rows": 30}}
DAY = 86400.0


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def turned(project: Project, first: int, count: int = 40) -> None:
    project.log.append(tiny.rows(first, count)).result()
    assert "done" == updater.turn(project).state


def there(project: Project) -> set[int]:
    """Numbers of the rows in the log."""
    found = project.database.read("SELECT id FROM rows")
    return {int(row["id"].removeprefix("row-")) for row in found}


def tidied(project: Project) -> set[int]:
    watch.advance(project, time.time())
    keeping.tidy(project)
    return there(project)


# -- rows ----------------------------------------------------------------------------------------


def test_the_newest_rows_stay_once_they_are_learnt(tmp_path: Path) -> None:
    """As many as the settings say; of the others not a byte is left."""
    with tiny.project(tmp_path, FEW) as project:
        turned(project, 0, 80)
        assert set(range(50, 80)) == there(project)
        held = project.segments.read((1, slot) for slot in range(80))
        assert not held[:50].any()
        assert held[50:].any(axis=1).all()


def test_rows_that_wait_to_be_learnt_stay_whatever_the_settings(
    tmp_path: Path, monkeypatch
) -> None:
    """However many they are, and however old."""
    real = time.time
    with tiny.project(tmp_path, {"log": {"keep_rows": 5, "keep_days": 1.0}}) as project:
        project.log.append(tiny.rows(0, 40)).result()
        monkeypatch.setattr(time, "time", lambda: real() + 10 * DAY)
        assert set(range(40)) == tidied(project)
        tiny.updated(project)
        assert set() == there(project)


def test_rows_that_a_champion_lacks_wait(tmp_path: Path) -> None:
    """A version that a person has not promoted yet does not count as having learnt them."""
    with tiny.project(tmp_path, {**FEW, "update": {"mode": "recommend"}}) as project:
        turned(project, 0, 80)
        assert set(range(80)) == tidied(project)
        project.registry.promote(1, actor="me", reason="good")
        assert set(range(50, 80)) == tidied(project)


def test_rows_that_were_not_scored_stay(tmp_path: Path) -> None:
    """Test, then train: both have to have seen them."""
    with tiny.project(tmp_path, FEW) as project:
        project.log.append(tiny.rows(0, 80)).result()
        tiny.updated(project)
        keeping.tidy(project)
        assert set(range(80)) == there(project)
        assert set(range(50, 80)) == tidied(project)


def test_rows_without_a_label_wait_as_long_as_learnt_ones_are_kept(tmp_path: Path) -> None:
    """Then they go, and a label that comes for them finds none."""
    with tiny.project(tmp_path, FEW) as project:
        project.log.append([tiny.row(n, label=None) for n in range(40)]).result()
        assert set(range(10, 40)) == tidied(project)
        project.labels.give([Label("row-10", "red")]).result()
        project.log.append(tiny.rows(40, 40)).result()
        assert {10, *range(40, 80)} == tidied(project)


def test_learnt_rows_that_are_too_old_go(tmp_path: Path, monkeypatch) -> None:
    """Counted from when they came."""
    real = time.time
    with tiny.project(tmp_path, {"log": {"keep_days": 1.0}}) as project:
        project.log.append(tiny.rows(0, 20)).result()
        monkeypatch.setattr(time, "time", lambda: real() + 2 * DAY)
        project.log.append(tiny.rows(20, 20)).result()
        tiny.updated(project)
        assert set(range(20, 40)) == tidied(project)


def test_held_out_copies_outlive_the_log(tmp_path: Path, monkeypatch) -> None:
    """Unless they have days of their own, counted from the event; the anchor has none."""
    for days, left in ((None, True), (1.0, False)):
        evaluation = {} if days is None else {"keep_days": days}
        with tiny.project(tmp_path / str(days), {**FEW, "evaluation": evaluation}) as project:
            anchor.pin(project, [replace(tiny.row(n), id=f"pin-{n}") for n in range(3)], "me")
            turned(project, 0, 80)  # these events are of 1970
            spans = project.database.read("SELECT span FROM evaluation")
            assert 3 == sum(row["span"] == -1 for row in spans)
            assert left == any(row["span"] != -1 for row in spans)


# -- the rest ------------------------------------------------------------------------------------


def test_answers_to_requests_are_kept_for_a_week(tmp_path: Path, monkeypatch) -> None:
    """Within it a request may be sent again."""
    real, days = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + days * DAY)
    with tiny.project(tmp_path) as project:
        for days in (0.0, 6.0, 8.0):
            project.log.append(tiny.rows(int(days), 1), f"key-{days}", "digest").result()
            keeping.tidy(project)
        assert 2 == project.database.value("SELECT count(*) FROM requests")


def test_jobs_that_ended_long_ago_are_forgotten_and_open_ones_never(
    tmp_path: Path, monkeypatch
) -> None:
    """However many came after."""
    monkeypatch.setattr(keeping, "JOBS", 2)
    with tiny.project(tmp_path) as project:
        open_one = project.jobs.ask("rebuild", "to test", "me")
        for _ in range(4):
            project.jobs.fail(project.jobs.ask("update", "to test", "me").id, "no")
        keeping.tidy(project)
        assert [5, 4, open_one.id] == [job.id for job in project.jobs.latest()]


def test_what_nobody_speaks_of_is_swept(tmp_path: Path) -> None:
    """Folders and checkpoints that a crash left; what the database knows stays, the lock too."""
    with tiny.project(tmp_path, FEW) as project:
        turned(project, 0)
        (tmp_path / "versions" / "7").mkdir()
        (tmp_path / "versions" / ".9.part").mkdir()
        (tmp_path / "work" / "99.safetensors").write_bytes(b"half done")
        gone = keeping.sweep(project)
        assert {"7", ".9.part", "99.safetensors"} == {path.name for path in gone}
        assert ["1"] == [path.name for path in (tmp_path / "versions").iterdir()]
        assert [] == keeping.leftovers(project)


def test_the_best_ever_seen_on_the_anchor_is_never_forgotten(tmp_path: Path, monkeypatch) -> None:
    """Or it could be worn down over more versions than are remembered."""
    monkeypatch.setattr(keeping, "VERSIONS", 1)
    said = {**FEW, "retention": {"versions": 2}}
    with tiny.project(tmp_path, said) as project:
        wrong = [
            replace(tiny.row(n, label=tiny.CLASSES[n % 2]), id=f"pin-{n}") for n in range(2, 11)
        ]
        anchor.pin(project, wrong, "me")
        turned(project, 0)
        turned(project, 40)
        best = "UPDATE accuracy SET correct = 9 WHERE span = -1 AND version = 1"
        project.database.transact(lambda c: c.execute(best))
        for version in range(3, 7):
            turned(project, 40 * version)
        known = [version.version for version in project.registry.all()]
        cells = project.database.read("SELECT version, span FROM accuracy")
        assert 1 not in known
        assert 1 in {row["version"] for row in cells if row["span"] == -1}
        assert {row["version"] for row in cells if row["span"] != -1} <= set(known)
        assert {row["version"] for row in cells} - set(known) == {1}
        served = project.database.read("SELECT DISTINCT version FROM served")
        assert 1 in {row["version"] for row in served}
        verdict = conclusion.verdict_of(project, project.jobs.latest(1)[0])
        found = next(one for one in verdict.findings if one.rule == "anchor")
        assert "9 at best before" in found.reason
