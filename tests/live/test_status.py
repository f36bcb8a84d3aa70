"""How a project is doing, in plain values: what is true of it now, and what calls for somebody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live import conclusion, erasure, updater
from perdure.live.project import Project
from perdure.live.status import status, warnings

COUNT = {"triggers": {"count": 20}}


@pytest.fixture(autouse=True)
def _quick():
    with tiny.quick_gate():
        yield


def turned(project: Project, first: int, count: int = 40) -> None:
    project.log.append(tiny.rows(first, count)).result()
    updater.turn(project)


def test_a_new_project_has_nothing_to_say(tmp_path: Path) -> None:
    """It waits for rows, and nothing is wrong."""
    with tiny.project(tmp_path, COUNT) as project:
        said = status(project)
        assert ("tiny", "auto", list(tiny.CLASSES)) == (said["name"], said["mode"], said["classes"])
        assert (None, None, None, None) == tuple(
            said[name] for name in ("frozen", "champion", "job", "drift")
        )
        assert {0} == set(said["log"].values())
        assert ({}, {}, []) == (said["aliases"], said["accuracy"], said["warnings"])
        assert said["next"]["due"] is None


def test_every_row_is_counted_where_it_stands(tmp_path: Path) -> None:
    """Learnt, new, set aside, or waiting for a label."""
    with tiny.project(tmp_path, COUNT) as project:
        turned(project, 0)
    with tiny.project(tmp_path, {**COUNT, "gate": {"max_step": 1e-12}}) as project:
        turned(project, 40)
        project.log.append(
            [*tiny.rows(80, 9), *(tiny.row(n, label=None) for n in (90, 91))]
        ).result()
        held = status(project)["log"]
        assert (91, 89, 40) == (held["rows"], held["head"], held["learnt"])
        assert (2, 40) == (held["waiting_for_label"], held["quarantined"])
        assert project.log.count(80) == held["new"]
        assert 80 == held["scored"]


def test_champion_accuracy_and_the_next_update_are_told(tmp_path: Path) -> None:
    """As the registry, the watch and the triggers know them."""
    with tiny.project(tmp_path, COUNT) as project:
        turned(project, 0)
        turned(project, 40)
        said = status(project)
        champion = project.registry.champion()
        assert (2, 80) == (said["champion"]["version"], said["champion"]["upto"])
        assert champion.created == said["champion"]["created"]
        assert project.registry.aliases() == said["aliases"]
        assert project.registry.generation() == said["generation"]
        turned(project, 80, 9)
        said = status(project)
        right = project.database.value(
            "SELECT avg(predicted = label) FROM outcomes WHERE version = 2"
        )
        assert (2, 9, right) == tuple(said["accuracy"][n] for n in ("version", "rows", "overall"))
        assert f"{20 - project.log.count(80)} more labelled rows" in said["next"]["reason"]


def test_a_job_that_waits_is_shown_with_who_asked(tmp_path: Path) -> None:
    """Until it is done."""
    with tiny.project(tmp_path, COUNT) as project:
        job = project.jobs.ask("update", "spring", "me")
        said = status(project)["job"]
        assert (job.id, "queued", "spring", "me") == tuple(
            said[name] for name in ("id", "state", "reason", "actor")
        )
        turned(project, 0)
        assert status(project)["job"] is None


def test_all_of_it_is_plain(tmp_path: Path) -> None:
    """It travels as JSON."""
    with tiny.project(tmp_path, {**COUNT, "schema": {"tasks": True}}) as project:
        rows = [replace(row, task=0, source="web") for row in tiny.rows(0, 40)]
        project.log.append(rows).result()
        updater.turn(project)
        project.log.append([replace(row, task=1) for row in tiny.rows(40, 40)]).result()
        project.jobs.ask("update", "by hand", "me")
        said = status(project)
        assert said == json.loads(json.dumps(said))


# -- warnings ------------------------------------------------------------------------------------


def test_a_failed_update_is_a_warning_until_the_next(tmp_path: Path) -> None:
    """With its reason."""
    with tiny.project(tmp_path, COUNT) as project:
        project.jobs.ask("update", "too soon", "me")
        updater.turn(project)
        (said,) = warnings(project)
        assert "the last update failed: there are no labelled rows to learn" in said
        turned(project, 0)
        project.jobs.ask("update", "by hand", "me")
        turned(project, 40)
        assert [] == warnings(project)


def test_an_update_that_left_out_more_than_it_learnt_is_a_warning(tmp_path: Path) -> None:
    """A cap that hits honest sources would otherwise go unnoticed."""
    said = {**COUNT, "abuse": {"max_source_share": 0.5}}
    with tiny.project(tmp_path, said) as project:
        rows = [replace(row, source=f"s{n < 10}") for n, row in enumerate(tiny.rows(0, 60))]
        project.log.append(rows).result()
        updater.turn(project)
        (told,) = warnings(project)
        note = project.registry.champion().note
        assert f"left out {note['left_out']} rows and learnt {note['rows']}" in told
        assert "abuse.max_source_share" in told


def test_a_champion_that_learnt_from_an_erased_subject_is_a_warning(tmp_path: Path) -> None:
    """With what to do about it."""
    with tiny.project(tmp_path, COUNT) as project:
        project.log.append([replace(r, subject=f"s{r.id}") for r in tiny.rows(0, 40)]).result()
        updater.turn(project)
        learnt = project.database.value("SELECT subject FROM rows WHERE part = 'train'")
        erasure.erase(project, learnt, "me")
        assert any("version 1, which serves, learnt from a subject" in w for w in warnings(project))
        assert any("erase --subject ID --rebuild exact" in w for w in warnings(project))


def test_bytes_that_wait_to_be_written_over_are_a_warning(tmp_path: Path) -> None:
    """They are gone from the log and not yet from the disk."""
    with tiny.project(tmp_path, COUNT) as project:
        turned(project, 0)
        project.database.transact(lambda c: c.execute("DELETE FROM rows WHERE position = 1"))
        assert ["1 rows that are gone are still to be written over"] == warnings(project)


def test_a_verdict_can_be_read_after_the_fact(tmp_path: Path) -> None:
    """The last job and what the gate said of it."""
    with tiny.project(tmp_path, COUNT) as project:
        turned(project, 0)
        last = project.jobs.latest(1)[0]
        assert conclusion.verdict_of(project, last).summary.startswith("promote: ")
