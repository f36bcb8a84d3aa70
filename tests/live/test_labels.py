"""Labels join rows by id: in time, late, twice, changed, or never."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.live import tiny

from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.refusals import NotFound, RowRefused

OPEN = {"schema": {"classes": ["red"], "open": True, "max_classes": 3}}


@pytest.fixture
def project(tmp_path: Path):
    with tiny.project(tmp_path, {"evaluation": {"share": 0.001}}) as held:
        yield held


def unlabelled(project: Project, count: int) -> None:
    project.log.append([tiny.row(n, label=None) for n in range(count)]).result()


def given(project: Project, *labels: tuple[int, str]) -> list[str]:
    """Give labels to rows by number; what became of them."""
    joined = project.labels.give([Label(f"row-{n}", name) for n, name in labels]).result()
    return [one.status for one in joined]


def examples(project: Project) -> list[tuple[int, str, int, str]]:
    """(position, label, revision, use) in the order of `seq`."""
    found = project.database.read(
        "SELECT position, name, revision, use FROM examples JOIN classes USING (label) ORDER BY seq"
    )
    return [tuple(row) for row in found]


def test_a_label_makes_its_row_an_example(project: Project) -> None:
    """Once, however often it is given."""
    unlabelled(project, 2)
    assert ["joined"] == given(project, (1, "green"))
    assert ["duplicate"] == given(project, (1, "green"))
    assert [(2, "green", 0, "train")] == examples(project)


def test_another_label_revises_the_first(project: Project) -> None:
    """What no version has learnt yet is not learnt at all; what one has is learnt anew."""
    unlabelled(project, 2)
    given(project, (0, "red"), (1, "red"))
    assert ["revised"] == given(project, (0, "blue"))
    assert [
        (1, "red", 0, "superseded"),
        (2, "red", 0, "train"),
        (1, "blue", 1, "train"),
    ] == examples(project)
    assert ["revised"] == given(project, (0, "red"))
    assert 2 == project.log.count(0)


def test_a_label_that_a_job_is_learning_is_not_taken_from_it(project: Project) -> None:
    """Interrupted and resumed, the job must find the rows that it began with."""
    unlabelled(project, 2)
    given(project, (0, "red"), (1, "red"))
    job = project.jobs.ask("update", "to test", "me")
    project.jobs.start(job.id, None, 0, project.log.head())
    before = project.log.examples(0, 2)
    given(project, (0, "blue"))
    after = project.log.examples(0, 2)
    assert before.batch.y.tolist() == after.batch.y.tolist() == [0, 0]
    assert [1] == project.log.examples(2, 9).revisions.tolist()


def test_labels_join_together_or_not_at_all(project: Project) -> None:
    """An id that nobody knows refuses the request, and is named."""
    unlabelled(project, 2)
    with pytest.raises(NotFound, match=r"row 1.*row-7"):
        given(project, (0, "red"), (7, "red"))
    with pytest.raises(RowRefused, match="purple"):
        given(project, (0, "red"), (1, "purple"))
    assert [] == examples(project)


@pytest.mark.parametrize(
    ("late", "status", "use"),
    [("train", "late", "train"), ("evaluate", "late", "evaluate"), ("drop", "dropped", None)],
)
def test_a_late_label_is_good_for_what_the_settings_say(
    tmp_path: Path, late: str, status: str, use: str | None
) -> None:
    """To learn, to evaluate, or for nothing."""
    said = {"labels": {"wait_seconds": 0.05, "late": late}, "evaluation": {"share": 0.001}}
    with tiny.project(tmp_path, said) as project:
        unlabelled(project, 1)
        time.sleep(0.06)
        assert [status] == given(project, (0, "red"))
        assert ([] if use is None else [use]) == [row[3] for row in examples(project)]


def test_rows_whose_wait_is_over_go(tmp_path: Path) -> None:
    """Those that have their label stay, and those that still wait."""
    with tiny.project(tmp_path, {"labels": {"wait_seconds": 100.0}}) as project:
        unlabelled(project, 3)
        given(project, (1, "red"))
        now = time.time()
        assert 0 == project.labels.expire(now)
        assert 2 == project.labels.expire(now + 200)
        assert [2] == [r["position"] for r in project.database.read("SELECT position FROM rows")]
        assert 2 == project.database.value("SELECT count(*) FROM blanks")


def test_rows_whose_wait_is_over_get_the_default(tmp_path: Path) -> None:
    """As if the label had been given; a row in the held-out part is not trained on."""
    said = {"labels": {"wait_seconds": 100.0, "default": "green"}, "evaluation": {"share": 0.5}}
    with tiny.project(tmp_path, said) as project:
        unlabelled(project, 12)
        given(project, (3, "red"))
        assert 11 == project.labels.expire(time.time() + 200)
        assert 0 == project.labels.expire(time.time() + 200)
        parts = dict(tuple(r) for r in project.database.read("SELECT position, part FROM rows"))
        for position, name, revision, use in examples(project):
            assert ("red" if position == 4 else "green") == name
            assert ("train" if parts[position] == "train" else "evaluate") == use
            assert 0 == revision


def test_without_a_wait_rows_wait_for_ever(project: Project) -> None:
    """Nothing expires unless the settings say so."""
    unlabelled(project, 1)
    assert 0 == project.labels.expire(time.time() + 1e9)


def test_a_label_may_name_a_new_class_where_classes_are_open(tmp_path: Path) -> None:
    """Numbers follow the order of first appearance, up to the most that is allowed."""
    with tiny.project(tmp_path, OPEN) as project:
        unlabelled(project, 4)
        given(project, (0, "green"), (1, "red"), (2, "blue"))
        assert ["red", "green", "blue"] == project.classes()
        with pytest.raises(RowRefused, match="max_classes"):
            given(project, (3, "grey"))
        assert ["red", "green", "blue"] == project.classes()


def test_a_class_of_a_refused_request_is_not_kept(tmp_path: Path) -> None:
    """Classes are made in the transaction of the row that names them."""
    with tiny.project(tmp_path, OPEN) as project:
        unlabelled(project, 1)
        with pytest.raises(NotFound):
            given(project, (0, "green"), (9, "red"))
        assert ["red"] == project.classes()


def test_what_has_been_looked_at_is_not_looked_at_again(tmp_path: Path) -> None:
    """Yet every row's turn comes, whenever it arrives and however often one asks."""
    with tiny.project(tmp_path, {"labels": {"wait_seconds": 100.0}}) as project:
        now, expired = time.time(), 0
        for number in range(6):
            project.log.append([tiny.row(2 * number, label=None)]).result()
            project.log.append([tiny.row(2 * number + 1, label=None)]).result()
            project.database.transact(
                lambda c, n=number: c.execute(
                    "UPDATE rows SET received = ? WHERE position > ?", (now + 50 * n, 2 * n)
                )
            )
            expired += project.labels.expire(now + 50 * number + 20)
            assert max(0, 2 * (number - 1)) == expired
        assert 12 == expired + project.labels.expire(now + 1e6)
        assert 0 == project.database.value("SELECT count(*) FROM rows")
