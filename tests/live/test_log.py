"""The log: accepted once, durably, all or nothing; read in the order of the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live import tiny

from perdure.live import keeping, watch
from perdure.live.keys import key
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.refusals import Conflict, Full, KeyReused, RowRefused
from perdure.live.rows import Row


@pytest.fixture
def project(tmp_path: Path):
    with tiny.project(tmp_path) as held:
        yield held


def stored(project: Project) -> int:
    return project.database.value("SELECT count(*) FROM rows")


def test_a_row_is_there_after_the_project_was_closed(tmp_path: Path) -> None:
    """Features, label and all that came with it."""
    given = replace(tiny.row(3, subject="ann", source="web"), event_time=12.5)
    with tiny.project(tmp_path, {"evaluation": {"share": 0.001}}) as project:
        accepted = project.log.append([given]).result()
        assert [("row-3", "stored")] == [(one.id, one.status) for one in accepted]
    with Project(tmp_path) as project:
        found = project.log.examples(0, project.log.head())
        assert torch.equal(torch.from_numpy(given.features)[None], found.batch.x)
        assert [0] == found.batch.y.tolist()
        assert [key("row-3")] == found.batch.extras["row"].tolist()
        assert [key("ann")] == found.batch.extras["subject"].tolist()
        assert [12.5] == found.batch.extras["time"].tolist()
        assert ("web",) == found.sources
        assert torch.equal(found.batch.x, project.log.features([accepted[0].position]))


def test_the_same_row_twice_is_stored_once(project: Project) -> None:
    """However often it is sent; its position does not change."""
    first = project.log.append(tiny.rows(0, 3)).result()
    again = project.log.append(tiny.rows(1, 3)).result()
    assert ["duplicate", "duplicate", "stored"] == [one.status for one in again]
    assert first[1:] == [replace(one, status="stored") for one in again[:2]]
    assert 4 == stored(project)


def test_a_row_that_got_its_label_meanwhile_is_still_a_duplicate(project: Project) -> None:
    """A sender whose answer was lost sends again what it sent before."""
    project.log.append([tiny.row(0, label=None), tiny.row(1)]).result()
    project.labels.give([Label("row-0", "red"), Label("row-1", "blue")]).result()
    again = project.log.append([tiny.row(0, label=None), tiny.row(1), tiny.row(0)][:2]).result()
    assert ["duplicate", "duplicate"] == [one.status for one in again]
    assert "duplicate" == project.log.append([tiny.row(0)]).result()[0].status
    assert 2 == stored(project)


def test_another_row_under_a_known_id_is_refused(project: Project) -> None:
    """Other features, or a label that the row never had."""
    project.log.append([tiny.row(0)]).result()
    for other in (replace(tiny.row(1), id="row-0"), tiny.row(0, label="blue")):
        with pytest.raises(Conflict, match="another content"):
            project.log.append([other]).result()
    assert 1 == stored(project)


def test_rows_go_in_together_or_not_at_all(project: Project) -> None:
    """One bad row refuses the request, and the message says which."""
    project.log.append([tiny.row(9)]).result()
    with pytest.raises(RowRefused, match=r"row 2.*features"):
        project.log.append([*tiny.rows(0, 2), replace(tiny.row(2), features=[1, 2, 3])])
    with pytest.raises(RowRefused, match=r"row 1.*purple"):
        project.log.append([tiny.row(0), tiny.row(1, label="purple")])
    with pytest.raises(RowRefused, match="two rows"):
        project.log.append([tiny.row(0), tiny.row(1), tiny.row(0)])
    with pytest.raises(Conflict):
        project.log.append([tiny.row(0), replace(tiny.row(1), id="row-9")]).result()
    assert 1 == stored(project)
    assert 0 == project.database.value("SELECT count(*) FROM blanks")


def test_the_same_request_gets_the_same_answer(project: Project) -> None:
    """Rows without ids of their own too: they get the ids that they were given first."""
    rows = [replace(row, id=None) for row in tiny.rows(0, 3)]
    first = project.log.append(rows, "key", "digest").result()
    assert first == project.log.append(rows, "key", "digest").result()
    assert 3 == stored(project)
    with pytest.raises(KeyReused):
        project.log.append(rows, "key", "another digest").result()
    assert 3 == len(project.log.append(rows, "another key", "digest").result())
    assert 6 == stored(project)


def test_the_key_of_a_request_is_not_kept_as_it_is(project: Project) -> None:
    """People put names into them."""
    project.log.append([tiny.row(0)], "order-of-ann", "digest").result()
    held = project.database.one("SELECT * FROM requests")
    assert "ann" not in "".join(map(str, held))


def test_a_full_log_refuses_and_says_when_to_come_again(tmp_path: Path) -> None:
    """Nothing of a request that does not fit is stored."""
    with tiny.project(tmp_path, {"log": {"keep_rows": 1, "max_rows": 5}}) as project:
        project.log.append(tiny.rows(0, 4)).result()
        with pytest.raises(Full) as refused:
            project.log.append(tiny.rows(4, 2)).result()
        assert refused.value.retry_after
        assert 4 == stored(project)
        assert "duplicate" == project.log.append(tiny.rows(0, 1)).result()[0].status
        project.log.append(tiny.rows(4, 1)).result()


def test_a_row_that_waits_long_does_not_fill_the_log(tmp_path: Path) -> None:
    """What counts are rows, not the positions between the oldest and the newest: where labels are
    rare, answers come and go behind a row that waits to be learnt.
    """
    with tiny.project(tmp_path, {"log": {"keep_rows": 10, "max_rows": 60}}) as project:
        project.log.append([tiny.row(0)]).result()
        watch.advance(project, 0.0)
        for first in range(1, 400, 20):
            asked = [tiny.row(n, label=None) for n in range(first, first + 20)]
            project.log.append(asked).result()
            keeping.tidy(project)
        assert 11 == stored(project)
        project.log.append(tiny.rows(1000, 49)).result()
        with pytest.raises(Full, match="holds 60 rows of 60"):
            project.log.append(tiny.rows(2000, 1)).result()


def test_examples_come_in_the_order_of_their_labels(project: Project) -> None:
    """`seq` counts labels, not rows; what is held out is not among what is learnt."""
    project.log.append([tiny.row(n, label=None) for n in range(30)]).result()
    assert 0 == project.log.head()
    for n in reversed(range(30)):
        project.labels.give([Label(f"row-{n}", tiny.row(n).label)]).result()
    learnt = project.log.examples(0, project.log.head())
    held_out = project.log.examples(0, project.log.head(), use="evaluate")
    assert 30 == len(learnt) + len(held_out)
    assert 0 < len(held_out) < 15
    for found in (learnt, held_out):
        assert (np.diff(found.seqs) > 0).all()
        assert (found.positions == 31 - found.seqs).all()
        x = torch.from_numpy(np.stack([tiny.row(int(p) - 1).features for p in found.positions]))
        assert torch.equal(x, found.batch.x)
    assert len(learnt) == project.log.count(0)
    after = int(learnt.seqs[4])
    assert learnt.seqs[5:].tolist() == project.log.examples(after, 30).seqs.tolist()


def test_upto_is_where_so_many_examples_end(project: Project) -> None:
    """However many it is, the next begins behind it."""
    project.log.append(tiny.rows(0, 40)).result()
    total = project.log.count(0)
    for rows in range(1, total + 3):
        assert min(rows, total) == project.log.count(0, project.log.upto(0, rows))
    assert project.log.head() == project.log.upto(0, total)


def test_a_row_without_a_subject_is_no_subject_by_its_name(project: Project) -> None:
    """A row called like a subject is not that subject's."""
    free = [n for n in range(40) if tiny_part(project, f"row-{n}") == "train"][:1]
    project.log.append([tiny.row(n) for n in free]).result()
    found = project.log.examples(0, project.log.head())
    assert key(f"row-{free[0]}") == found.batch.extras["row"].item()
    assert key(f"row-{free[0]}") != found.batch.extras["subject"].item()


def tiny_part(project: Project, name: str) -> str:
    from perdure.live import splits

    return splits.part(None, name, project.settings.evaluation.share, project.settings.seed)


def test_a_subject_is_on_one_side_of_the_split(project: Project) -> None:
    """What is held out are people, so that nothing of them is learnt."""
    rows = [tiny.row(n, subject=f"subject-{n % 10}") for n in range(100)]
    project.log.append(rows).result()
    parts = project.database.read("SELECT DISTINCT subject, part FROM rows")
    assert 10 == len(parts)
    assert {"train", "evaluation"} == {row["part"] for row in parts}


def test_positions_are_never_used_again(project: Project) -> None:
    """Not even those of rows at the end that have gone."""
    last = project.log.append(tiny.rows(0, 5)).result()[-1].position
    project.database.transact(lambda c: c.execute("DELETE FROM rows"))
    assert last + 1 == project.log.append(tiny.rows(5, 1)).result()[0].position


def test_a_row_gets_an_id_where_it_has_none(project: Project) -> None:
    """A new one each time."""
    accepted = project.log.append([replace(tiny.row(0), id=None)] * 3).result()
    assert 3 == len({one.id for one in accepted})


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "\ud800"},
        {"id": "a\0b"},
        {"subject": "\udfff"},
        {"subject": "x" * 2000},
        {"source": 7},
        {"event_time": float("nan")},
        {"event_time": float("inf")},
        {"task": 2**63},
    ],
)
def test_what_cannot_be_stored_as_it_is_is_refused_by_name(project: Project, changed) -> None:
    """Before it reaches the writer, where it would take others down with it."""
    with pytest.raises(RowRefused, match=f"row 1.*{next(iter(changed))}"):
        project.log.append([tiny.row(0), replace(tiny.row(1), **changed)])
    assert 0 == stored(project)


@pytest.mark.parametrize("name", ["é" * 200, "'; DROP TABLE rows; --", "0", " ", "a\nb"])
def test_any_other_text_is_a_name(project: Project, name: str) -> None:
    """Stored as it came, and found again."""
    project.log.append([Row(name, [0, 0, 0, 0], "red", subject=name)]).result()
    assert "duplicate" == project.log.append([Row(name, [0, 0, 0, 0], "red")]).result()[0].status
    assert name == project.database.value("SELECT subject FROM rows")
