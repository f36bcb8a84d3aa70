"""An update: which examples it learns, in which groups, and what it leaves out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live import tiny

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.live import conclusion, update
from perdure.live.jobs import Job
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.rows import Row
from perdure.live.settings import Settings

ALL = {"learner": {"methods": [{"name": "ER", "capacity": 500}]}}
TASKS = {"schema": {"tasks": True}}
REFUSING = {"gate": {"max_step": 1e-12}}


def asked(project: Project) -> Job:
    """A planned update."""
    return update.plan(project, project.jobs.ask("update", "to test", "me"))


def send(project: Project, rows: Sequence[Row]) -> int:
    """Store rows; the seq of the last example."""
    project.log.append(rows).result()
    return project.log.head()


def settings_of(tmp_path: Path, said) -> Settings:
    return Settings.load(tiny.written(tmp_path, said) / "perdure.toml")


def remembered(learner: Learner) -> dict[int, list[int]]:
    """Labels in the memory by the key of their row."""
    held = learner.methods[0].memory.rows()
    found: dict[int, list[int]] = {}
    for key, label in zip(held.extras["row"].tolist(), held.y.tolist(), strict=True):
        found.setdefault(key, []).append(label)
    return found


# -- the plan ------------------------------------------------------------------------------------


def test_an_update_goes_on_from_the_champion(tmp_path: Path) -> None:
    """It learns what came since; the first one goes on from nothing."""
    with tiny.project(tmp_path) as project:
        first = send(project, tiny.rows(0, 40))
        job = asked(project)
        assert (None, 0, first) == (job.parent, job.after, job.upto)
        tiny.updated(project)
        second = send(project, tiny.rows(40, 40))
        job = asked(project)
        assert (1, first, second) == (job.parent, job.after, job.upto)


def test_from_scratch_is_from_the_beginning(tmp_path: Path) -> None:
    """All rows that the log keeps, whatever was learnt before."""
    with tiny.project(tmp_path, {"update": {"start": "scratch"}}) as project:
        send(project, tiny.rows(0, 40))
        tiny.updated(project)
        head = send(project, tiny.rows(40, 40))
        job = asked(project)
        assert (None, 0, head) == (job.parent, job.after, job.upto)
        assert project.log.count(0) == update.fold(project, job).rows


def test_a_job_keeps_its_plan(tmp_path: Path) -> None:
    """Rows that come while it runs, or while nobody runs it, are the next one's."""
    with tiny.project(tmp_path) as project:
        send(project, tiny.rows(0, 40))
        job = asked(project)
        send(project, tiny.rows(40, 40))
        again = update.plan(project, job)
        assert (job.after, job.upto) == (again.after, again.upto)


@settings(max_examples=15)
@given(rows=st.integers(1, 60), most=st.integers(1, 25))
def test_a_backlog_is_learnt_in_several_updates(tmp_path_factory, rows: int, most: int) -> None:
    """Each of at most `max_rows`, no row twice, and none left out; held-out rows do not count."""
    said = {"update": {"max_rows": most}}
    with tiny.project(tmp_path_factory.mktemp("backlog"), said) as project:
        send(project, tiny.rows(0, rows))
        after, sizes = 0, []
        while project.log.count(after):
            upto = project.log.upto(after, most)
            sizes.append(len(project.log.examples(after, upto)))
            assert after < upto
            after = upto
        total = project.log.count(0)
        assert [most] * (total // most) + [total % most] * (total % most > 0) == sizes


def test_updates_of_a_backlog_follow_each_other(tmp_path: Path) -> None:
    """The next one goes on where the last one stopped."""
    with tiny.project(tmp_path, {**ALL, "update": {"max_rows": 25}}) as project:
        head = send(project, tiny.rows(0, 60))
        made = []
        while project.log.count(0 if not made else made[-1].upto):
            tiny.updated(project)
            made.append(project.registry.champion())
        assert [0, *(one.upto for one in made[:-1])] == [one.after for one in made]
        assert [25] * (len(made) - 1) == [one.note["rows"] for one in made[:-1]]
        learnt = project.log.examples(0, head).batch.extras["row"].tolist()
        assert sorted(learnt) == sorted(remembered(project.load("champion")))


def test_what_cannot_be_folded_says_why(tmp_path: Path) -> None:
    """A job without a plan, and one without rows."""
    with tiny.project(tmp_path) as project:
        job = project.jobs.ask("update", "to test", "me")
        with pytest.raises(InvalidValue, match="has no plan"):
            update.fold(project, job)
        with pytest.raises(InvalidValue, match="no labelled rows to learn after seq 0"):
            update.fold(project, asked(project))


# -- groups and boundaries -----------------------------------------------------------------------


@given(tasks=st.lists(st.integers(-3, 3), max_size=40))
def test_rows_of_a_task_are_one_group(tmp_path_factory, tasks: list[int]) -> None:
    """In their order, and tasks in the order in which they first appear."""
    batch = Batch(torch.zeros(len(tasks), 4), torch.zeros(len(tasks)).long(), torch.tensor(tasks))
    for boundaries in ("task", "update", "drift", "never"):
        said = settings_of(tmp_path_factory.mktemp("g"), {"learner": {"boundaries": boundaries}})
        groups = [group.tolist() for group in update.groups(batch, said)]
        assert list(range(len(tasks))) == sorted(row for group in groups for row in group)
        if boundaries in ("task", "update"):
            assert list(dict.fromkeys(tasks)) == [tasks[group[0]] for group in groups]
            assert all(len({tasks[row] for row in group}) == 1 for group in groups)
            assert all(group == sorted(group) for group in groups)
        else:
            assert [list(range(len(tasks)))] == groups


@pytest.mark.parametrize(
    ("boundaries", "said", "closed"),
    [
        ("update", {}, 1),
        ("never", {}, 0),
        ("drift", {}, 0),
        ("task", TASKS, 3),
        ("update", TASKS, 3),
    ],
    ids=lambda held: "-" if isinstance(held, dict) else str(held),
)
@pytest.mark.parametrize("drifted", [False, True], ids=["", "drifted"])
def test_what_ends_a_task(tmp_path: Path, boundaries: str, said, closed: int, drifted) -> None:
    """Each update, or each task id in it; a drift, where that is asked for; or nothing."""
    said = {**said, "learner": {"boundaries": boundaries, "methods": []}}
    with tiny.project(tmp_path, said) as project:
        send(project, [replace(row, task=n % 3) for n, row in enumerate(tiny.rows(0, 40))])
        job = replace(asked(project), progress={"drift": drifted})
        expected = 1 if boundaries == "drift" and drifted else closed
        assert expected == update.fold(project, job).learner.consolidations


def test_progress_is_told_in_batches(tmp_path: Path) -> None:
    """At the end at the latest, and no more than there are."""
    told = []
    with tiny.project(tmp_path, {"learner": {"epochs": 3}}) as project:
        send(project, tiny.rows(0, 60))
        job = asked(project)
        update.fold(project, job, lambda done, total: told.append((done, total)))
        batches = 3 * -(-project.log.count(0) // 8)
    assert (batches, batches) == told[-1]
    assert all(done <= batches == total for done, total in told)


def test_nothing_is_left_of_the_work(tmp_path: Path) -> None:
    """The checkpoint of an update goes when it has ended."""
    with tiny.project(tmp_path) as project:
        send(project, tiny.rows(0, 40))
        job = tiny.updated(project)
        assert not update.path_of(project, job).exists()


# -- labels that change --------------------------------------------------------------------------


def changed(project: Project, number: int) -> tuple[int, int]:
    """Give a row the next class as its label; its key, and the label's number."""
    given = tiny.CLASSES[(number + 1) % 3]
    assert "revised" == project.labels.give([Label(f"row-{number}", given)]).result()[0].status
    key = project.database.value("SELECT key FROM rows WHERE id = ?", (f"row-{number}",))
    return key, project.classes().index(given)


def taught(project: Project) -> int:
    """The number of a row that is not held out."""
    found = project.database.value("SELECT id FROM rows WHERE part = 'train' ORDER BY position")
    return int(found.removeprefix("row-"))


def test_a_revised_label_takes_the_old_ones_place(tmp_path: Path) -> None:
    """A memory that had the row under its first label has it under the new one alone."""
    with tiny.project(tmp_path, ALL) as project:
        send(project, tiny.rows(0, 40))
        tiny.updated(project)
        number = taught(project)
        key, label = changed(project, number)
        assert [number % 3] == remembered(project.load("champion"))[key]
        tiny.updated(project)
        assert [label] == remembered(project.load("champion"))[key]


def test_from_scratch_a_row_is_learnt_under_its_last_label(tmp_path: Path) -> None:
    """Not under both, although a version has learnt the first one."""
    with tiny.project(tmp_path, {**ALL, "update": {"start": "scratch"}}) as project:
        send(project, tiny.rows(0, 40))
        tiny.updated(project)
        key, label = changed(project, taught(project))
        tiny.updated(project)
        made = project.registry.champion()
        assert [label] == remembered(project.load("champion"))[key]
        assert (project.log.count(0) - 1, 1) == (made.note["rows"], made.note["left_out"])


def test_a_label_that_a_refused_version_learnt_is_not_learnt_beside_the_next(
    tmp_path: Path,
) -> None:
    """The next update goes on from the champion, and both labels are new to it."""
    with tiny.project(tmp_path, {**ALL, **REFUSING, "abuse": {"quarantine": False}}) as project:
        send(project, tiny.rows(0, 40))
        tiny.updated(project)
        send(project, tiny.rows(40, 40))
        tiny.updated(project)
        assert "refused" == project.registry.last().state
        number = next(n for n in range(40, 80) if is_taught(project, n))
        key, label = changed(project, number)
        tiny.updated(project)
        assert 40 < project.registry.last().upto
        assert [label] == remembered(project.load(project.registry.last().version))[key]


def is_taught(project: Project, number: int) -> bool:
    sql = "SELECT part FROM rows WHERE id = ?"
    return "train" == project.database.value(sql, (f"row-{number}",))


# -- shares and retention ------------------------------------------------------------------------


def test_no_source_has_more_than_its_share_of_an_update(tmp_path: Path) -> None:
    """What is left out is counted, and neither learnt now nor later."""
    with tiny.project(tmp_path, {**ALL, "abuse": {"max_source_share": 0.5}}) as project:
        send(project, [replace(row, source="few") for row in tiny.rows(0, 20)])
        head = send(project, [replace(row, source="many") for row in tiny.rows(20, 100)])
        found = project.log.examples(0, head)
        few = found.sources.count("few")
        tiny.updated(project)
        made = project.registry.champion()
        assert (2 * few, len(found) - 2 * few) == (made.note["rows"], made.note["left_out"])
        fair = update.fair_rows(found, 0.5)
        assert (few, few) == (fair.sources.count("few"), fair.sources.count("many"))
        assert set(fair.batch.extras["row"].tolist()) == set(remembered(project.load("champion")))
        assert 0 == project.log.count(made.upto)


def test_examples_stay_beside_each_other_when_some_are_left_out(tmp_path: Path) -> None:
    """Features, labels, seqs, positions and sources are of the same rows as before."""
    with tiny.project(tmp_path) as project:
        rows = [replace(row, source=f"s{n % 7 // 3}") for n, row in enumerate(tiny.rows(0, 60))]
        found = project.log.examples(0, send(project, rows))
        fair = update.fair_rows(found, 0.4)
        where = [found.seqs.tolist().index(seq) for seq in fair.seqs]
        assert where == sorted(where)
        assert len(where) < len(found)
        assert torch.equal(found.batch.x[where], fair.batch.x)
        assert torch.equal(found.batch.y[where], fair.batch.y)
        assert found.positions[where].tolist() == fair.positions.tolist()
        assert [found.sources[place] for place in where] == list(fair.sources)
        assert fair.batch.new == len(fair)


def test_what_is_too_old_leaves_the_memory(tmp_path: Path) -> None:
    """By the time of the event, counted from the newest; and no subject has more than its rows."""
    said = {**ALL, "retention": {"memory_days": 1.0, "memory_rows_per_subject": 2}}
    with tiny.project(tmp_path, said) as project:
        send(project, [replace(row, event_time=0.0) for row in tiny.rows(0, 30)])
        send(project, [replace(row, event_time=2 * 86400.0) for row in tiny.rows(30, 9)])
        send(project, [replace(r, event_time=2 * 86400.0) for r in tiny.rows(40, 30, "one")])
        tiny.updated(project)
        held = project.load("champion").methods[0].memory.rows()
        subjects = held.extras["subject"].tolist()
        assert {2 * 86400.0} == set(held.extras["time"].tolist())
        assert max(subjects.count(one) for one in subjects) <= 2


def test_a_row_from_the_future_ages_no_other(tmp_path: Path) -> None:
    """A clock that counts in milliseconds must not empty the memory: what is said to have happened
    after it arrived, happened when it arrived.
    """
    now = time.time()
    with tiny.project(tmp_path, {**ALL, "retention": {"memory_days": 1.0}}) as project:
        send(project, [replace(row, event_time=now) for row in tiny.rows(0, 30)])
        send(project, [replace(row, event_time=1000 * now) for row in tiny.rows(30, 5)])
        tiny.updated(project)
        held = project.load("champion").methods[0].memory.rows()
        assert project.log.count(0) == len(held)
        assert now < held.extras["time"].max() < now + 60


def test_a_rest_of_rows_can_be_forgotten_and_released(tmp_path: Path) -> None:
    """Rows that were revised while set aside come back under their last label alone."""
    with tiny.project(tmp_path, {**ALL, **REFUSING}) as project:
        send(project, tiny.rows(0, 40))
        tiny.updated(project)
        send(project, tiny.rows(40, 40))
        tiny.updated(project)
        assert 40 == project.log.count(0, use="quarantine")
        number = next(n for n in range(40, 80) if is_taught(project, n))
        key, label = changed(project, number)
        assert 40 == conclusion.release(project, "me", "all is well")
        tiny.updated(project)
        last = project.registry.last()
        assert [label] == remembered(project.load(last.version))[key]
