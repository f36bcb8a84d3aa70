"""The watch of a project: every answer is scored once, before it is learnt from."""

import sqlite3
from dataclasses import replace

import pytest
import torch
from tests.live import tiny

from perdure.live import labels, predictions, shift, watch
from perdure.live.jobs import finish
from perdure.live.log import Row
from perdure.live.watch.advance import OUTCOMES, restored

FEATURES = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, classes)

    def features(self, x):
        return self.body(x).relu()

    def forward(self, x):
        return self.head(self.features(x))

def build(schema, classes):
    return Net(classes)
"""
HEADS = """
from perdure.nets import MLP, Classifier, MultiHead

def build(schema, classes):
    return Classifier(MLP(4, (8,)), MultiHead(8, {0: [0, 1], 1: [1, 2]}))
"""


@pytest.fixture
def project(tmp_path):
    with tiny.project(tmp_path / "p") as opened:
        yield opened


def serving(project, upto, answer=0):
    """A version that has learnt up to a seq, answers the same class to all, and serves."""
    job = project.jobs.ask("update", "a test", "me")
    project.jobs.start(job.id, None, 0, upto)
    learner = project.learner()
    with torch.no_grad():
        last = list(learner.model.parameters())[-1]
        last.copy_(torch.where(torch.arange(len(last)) == answer, 9.0, 0.0))
    number = project.registry.create(
        learner.state_dict(), parent=None, job=job.id, after=0, upto=upto, note={}
    )
    project.database.transact(lambda c: finish(c, job.id, "done", version=number))
    project.registry.promote(number, actor="me", reason="a test")
    return number


def outcomes(project):
    return project.database.read("SELECT * FROM outcomes ORDER BY seq")


def answered(project, count, version, label=1, first=0, **said):
    """Rows that a version was asked; their ids."""
    ids = [f"asked-{number}" for number in range(first, first + count)]
    encoded = project.schema.encode_many([tiny.row(n).features for n in range(count)])
    held = [
        predictions.Prediction(name, data, version, label, 0.75, **said)
        for name, data in zip(ids, encoded, strict=True)
    ]
    predictions.record(project.log, held).result()
    return ids


def test_nothing_is_scored_before_a_version_serves(project):
    """The examples are passed by all the same: nobody answered them."""
    project.log.append(tiny.rows(0, 20)).result()
    assert watch.advance(project, 5.0) == []
    assert outcomes(project) == []
    assert watch.accuracy(project) == {}
    assert project.database.value("SELECT seq FROM watch") == 20


def test_an_example_that_nobody_asked_for_is_scored_by_the_champion(project):
    """It answers class 0, which is every third row's."""
    version = serving(project, 0)
    project.log.append(tiny.rows(0, 60)).result()
    watch.advance(project, 5.0)
    found = outcomes(project)
    assert [row["seq"] for row in found] == list(range(1, 61))
    assert {(row["version"], row["predicted"], row["served"]) for row in found} == {(version, 0, 0)}
    held = watch.accuracy(project)
    assert (held["version"], held["rows"]) == (version, 60)
    assert held["overall"] == held["windowed"] == 20 / 60
    assert held["slices"] == {"class:0": 1.0, "class:1": 0.0, "class:2": 0.0}


def test_the_answer_that_was_served_is_the_one_that_is_scored(project):
    """By the version that gave it, whichever is champion when the label comes."""
    first = serving(project, 0, answer=0)
    ids = answered(project, 6, first, label=2)
    serving(project, 0, answer=1)
    project.labels.give([labels.Label(name, "blue") for name in ids]).result()
    watch.advance(project, 5.0)
    found = outcomes(project)
    assert {(r["version"], r["predicted"], r["label"], r["confidence"]) for r in found} == {
        (first, 2, 2, 0.75)
    }
    assert all(row["served"] for row in found)


def test_no_version_is_asked_what_it_has_learnt(project):
    """Rows up to the champion's last are for the version before it."""
    old = serving(project, 0, answer=0)
    project.log.append(tiny.rows(0, 40)).result()
    new = serving(project, 30, answer=1)
    watch.advance(project, 5.0)
    held_out = {r["seq"] for r in project.database.read("SELECT * FROM examples")
                if r["use"] == "evaluate"}  # fmt: skip
    for row in outcomes(project):
        learnt = row["seq"] <= 30 and row["seq"] not in held_out
        assert row["version"] == (old if learnt else new)


def test_rows_that_every_version_has_learnt_are_not_scored(project):
    """A score on them would flatter."""
    project.log.append(tiny.rows(0, 40)).result()
    serving(project, 30)
    watch.advance(project, 5.0)
    held_out = {r["seq"] for r in project.database.read("SELECT * FROM examples")
                if r["use"] == "evaluate"}  # fmt: skip
    assert {row["seq"] for row in outcomes(project)} == {*range(31, 41)} | held_out


def test_advancing_twice_or_in_parts_changes_nothing(tmp_path):
    """One watch sees all at once, another row by row, opened anew in between."""
    texts = []
    for name, parts in (("whole", [60]), ("parts", [1, 7, 22, 30])):
        first = 0
        directory = tmp_path / name
        with tiny.project(directory) as project:
            serving(project, 0)
        for count in parts:
            with tiny.project(directory) as project:
                given = [replace(row, event_time=1.0) for row in tiny.rows(first, count)]
                project.log.append(given).result()
                watch.advance(project, 5.0)
                watch.advance(project, 6.0)
                first += count
        with tiny.project(directory) as project:
            found = [tuple(row)[:-1] for row in outcomes(project)]
            scores = restored(project).scores[1]
            held = (found, tiny.digest(scores.overall.state_dict()), list(scores.slices))
            texts.append(held)
            assert scores.overall.rows == 60
    assert texts[0] == texts[1]


def test_what_was_set_aside_is_not_scored(project):
    """It may be an attack."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 20)).result()
    project.database.transact(
        lambda c: c.execute("UPDATE examples SET use = 'quarantine' WHERE seq <= 12")
    )
    watch.advance(project, 5.0)
    assert [row["seq"] for row in outcomes(project)] == list(range(13, 21))


def test_a_label_that_is_changed_later_is_not_scored_again(project):
    """The first one was; one that was changed before the watch came counts as it is then."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 4)).result()
    watch.advance(project, 5.0)
    project.log.append(tiny.rows(4, 1)).result()
    changed = [labels.Label("row-0", "blue"), labels.Label("row-4", "red")]
    project.labels.give(changed).result()
    watch.advance(project, 6.0)
    scored = {row["seq"]: row["label"] for row in outcomes(project)}
    assert list(scored) == [1, 2, 3, 4, 7]
    assert (scored[1], scored[7]) == (0, 0)


def test_errors_that_rise_are_written_down_as_a_drift(project):
    """With when it was found, beside the watch's state."""
    serving(project, 0)
    easy = [replace(tiny.row(3 * n), id=f"easy-{n}") for n in range(400)]
    project.log.append(easy).result()
    assert watch.advance(project, 5.0) == []
    assert watch.last_drift(project) is None
    project.log.append([replace(tiny.row(3 * n + 1), id=f"hard-{n}") for n in range(100)]).result()
    (drift,) = watch.advance(project, 6.0)
    assert (drift.at, 400 < drift.seq <= 500) == (6.0, True)
    held = watch.last_drift(project)
    assert (held["detector"], held["seq"], held["at"]) == (drift.detector, drift.seq, 6.0)
    assert held["detail"] == drift.detail
    assert watch.advance(project, 7.0) == []


def test_inputs_that_shift_are_found_without_a_label(project):
    """Rows that wait for their labels, on their raw features where the model offers none."""
    serving(project, 0)
    rows = [replace(tiny.row(n), label=None) for n in range(1400)]
    project.log.append(rows).result()
    assert watch.advance(project, 5.0) == []
    moved = [
        Row(f"moved-{n}", tiny.row(n).features + 2.0) for n in range(200)
    ]  # fmt: skip
    project.log.append(moved).result()
    (drift,) = watch.advance(project, 6.0)
    assert drift.detector == "features"
    assert drift.detail["position"] > 1400
    assert restored(project).encoder == 0


def test_features_are_those_of_one_version_until_an_alarm(tmp_path):
    """A new champion does not change what is compared."""
    tiny.written(tmp_path / "p")
    (tmp_path / "p" / "model.py").write_text(FEATURES, "utf-8")
    with tiny.Project(tmp_path / "p") as project:
        first = serving(project, 0)
        project.log.append(tiny.rows(0, 1300)).result()
        watch.advance(project, 5.0)
        serving(project, 1300, answer=1)
        project.log.append(tiny.rows(1300, 20)).result()
        watch.advance(project, 6.0)
        held = restored(project)
        assert (held.encoder, held.features.ready) == (first, True)


def test_requests_without_task_ids_are_reported_loudly(tmp_path):
    """As a drift, and in words with what to switch to; they are scored as wrong."""
    directory = tiny.written(tmp_path / "p", {"schema": {"tasks": True}})
    (directory / "model.py").write_text(HEADS, "utf-8")
    with tiny.Project(directory) as project:
        version = serving(project, 0)
        assert shift.found(project) is None
        answered(project, 40, version, task=0)
        watch.advance(project, 5.0)
        assert shift.found(project) is None
        answered(project, 40, version, first=40)
        (drift,) = watch.advance(project, 6.0)
        assert drift.detector == "scenario"
        said = shift.found(project)
        assert "came without a task id" in said
        assert "GrowingHead" in said
        project.log.append([replace(tiny.row(n), task=None) for n in range(3)]).result()
        watch.advance(project, 7.0)
        assert {row["predicted"] for row in outcomes(project)} == {-1}


def test_which_scenario_is_left_depends_on_the_labels(tmp_path):
    """Tasks that share labels are domains; tasks with labels of their own bring classes."""
    with tiny.project(tmp_path / "p", {"schema": {"tasks": True}}) as project:
        project.log.append([replace(tiny.row(0), task=0), replace(tiny.row(1), task=1)]).result()
        assert shift.without(project) == "class"
        project.log.append([replace(tiny.row(3), task=1)]).result()
        assert shift.without(project) == "domain"


def test_an_erased_example_leaves_no_outcome(project):
    """Its row goes, and what was scored goes with it."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 10)).result()
    watch.advance(project, 5.0)
    project.database.transact(lambda c: c.execute("DELETE FROM rows WHERE position <= 4"))
    assert [row["seq"] for row in outcomes(project)] == list(range(5, 11))
    assert watch.advance(project, 6.0) == []


def test_old_outcomes_go(project):
    """The table is bounded by seq."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 3)).result()
    project.database.transact(
        lambda c: c.execute("UPDATE examples SET seq = seq + ? WHERE seq > 1", (OUTCOMES,))
    )
    watch.advance(project, 5.0)
    assert [row["seq"] for row in outcomes(project)] == [OUTCOMES + 2, OUTCOMES + 3]


def test_a_crash_before_the_commit_leaves_the_old_state_and_a_later_try_makes_up_for_it(project):
    """Outcomes, drifts, state and place move together or not at all."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 30)).result()
    forbid = "CREATE TRIGGER full BEFORE INSERT ON outcomes WHEN new.seq > 20 BEGIN"
    project.database.transact(
        lambda c: c.execute(f"{forbid} SELECT raise(ABORT, 'the disk is full'); END")
    )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        watch.advance(project, 5.0)
    assert outcomes(project) == []
    assert project.database.value("SELECT count(*) FROM watch") == 0
    project.database.transact(lambda c: c.execute("DROP TRIGGER full"))
    watch.advance(project, 6.0)
    assert len(outcomes(project)) == 30
    assert restored(project).scores[1].overall.rows == 30


def test_two_processes_that_advance_at_once_score_every_row_once(project, tmp_path):
    """The slower one sees that the watch has moved, and goes on from there."""
    serving(project, 0)
    project.log.append(tiny.rows(0, 20)).result()
    with tiny.Project(tmp_path / "p") as other:
        watch.advance(other, 5.0)
        project.log.append(tiny.rows(20, 20)).result()
        watch.advance(project, 6.0)
        project.log.append(tiny.rows(40, 20)).result()
        watch.advance(other, 7.0)
    assert restored(project).scores[1].overall.rows == len(outcomes(project)) == 60


def test_a_rollback_brings_back_what_the_detectors_knew(project):
    """And the watch goes on from there, at the rows that are new."""
    serving(project, 0, answer=0)
    project.log.append(tiny.rows(0, 30)).result()
    watch.advance(project, 5.0)
    serving(project, 30, answer=1)
    project.log.append(tiny.rows(30, 30)).result()
    watch.advance(project, 6.0)
    assert set(restored(project).scores) == {1, 2}
    project.registry.rollback(actor="me", reason="a test")
    assert set(restored(project).scores) == {1}
    project.log.append(tiny.rows(60, 5)).result()
    watch.advance(project, 7.0)
    assert {row["version"] for row in outcomes(project) if row["seq"] > 60} == {1}
    assert watch.accuracy(project)["rows"] == 35
