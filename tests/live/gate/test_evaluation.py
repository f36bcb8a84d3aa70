"""The held-out memory of a project: what comes in, what stays, and how it is asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from perdure.errors import CheckpointMismatch
from perdure.learner import Learner
from perdure.live import anchor, evaluation
from perdure.live.labels import Label
from perdure.live.project import Project
from perdure.live.refusals import RowRefused


def held(one):
    return one.project.database.read(
        "SELECT key, span, label, task, source, subject, part, x FROM evaluation ORDER BY key"
    )


def test_held_out_rows_come_in_and_no_others(line):
    """Exactly the examples of part `evaluation`, with their features bit for bit."""
    one = line(capacity=1000)
    head = one.send(one.rows(0, 90, source="web", task=None))
    assert evaluation.take(one.project, head) == one.project.log.count(0, use="evaluate")
    questions = evaluation.read(one.project)
    expected = one.project.log.examples(0, head, "evaluate").batch
    order = expected.extras["row"].argsort()
    assert torch.equal(questions.x, expected.x[order])
    assert questions.rows.y.tolist() == expected.y[order].tolist()
    assert questions.rows.keys.tolist() == expected.extras["row"][order].tolist()
    assert set(questions.rows.slices) == {"class:red", "class:green", "class:blue", "source:web"}
    assert questions.rows.slices["source:web"].all()


def test_taking_in_pieces_or_twice_changes_nothing(line, monkeypatch):
    """The same rows in any number of pieces leave the same memory, and the capacity holds."""
    monkeypatch.setattr(evaluation, "CHUNK", 7)
    whole, pieces = line(capacity=20), line(capacity=20)
    for one, steps in ((whole, [200]), (pieces, [3, 3, 60, 150, 180, 200, 200])):
        one.send(one.rows(0, 200))
        for upto in steps:
            evaluation.take(one.project, upto)
    assert [tuple(row) for row in held(whole)] == [tuple(row) for row in held(pieces)]
    assert evaluation.progress(whole.project) == evaluation.progress(pieces.project)
    assert len(held(whole)) == 20
    counts = np.bincount([row["label"] for row in held(whole)])
    assert counts.max() - counts.min() <= 1


def test_what_the_log_forgets_stays(line):
    """Features are copies: the log may be trimmed to nothing."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    before = evaluation.read(one.project)
    one.project.database.transact(lambda c: c.execute("DELETE FROM rows"))
    after = evaluation.read(one.project)
    assert torch.equal(before.x, after.x)
    assert before.rows.digest() == after.rows.digest()


def test_two_processes_may_take_at_once(line):
    """Whoever is faster: the memory is what one of them alone would have made of it."""
    one, alone = line(capacity=20), line(capacity=20)
    head = one.send(one.rows(0, 200))
    alone.send(alone.rows(0, 200))
    evaluation.take(alone.project, head)
    with Project(one.project.directory) as other, ThreadPoolExecutor(4) as pool:
        takers = [one.project, other, one.project, other]
        list(pool.map(lambda project: evaluation.take(project, head), takers))
    assert [tuple(row) for row in held(one)] == [tuple(row) for row in held(alone)]
    assert evaluation.progress(one.project) == evaluation.progress(alone.project)


def test_a_take_that_fails_changes_nothing(line, monkeypatch):
    """Rows and progress are one transaction; the next attempt makes it whole."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 40)))
    before, progress = held(one), evaluation.progress(one.project)
    head = one.send(one.rows(40, 40))

    def full(*args):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(evaluation.Progress, "write", full)
        with pytest.raises(OSError, match="no space"):
            evaluation.take(one.project, head)
    assert [tuple(row) for row in held(one)] == [tuple(row) for row in before]
    assert evaluation.progress(one.project) == progress
    evaluation.take(one.project, head)
    assert evaluation.progress(one.project).seq == head
    assert len(held(one)) == one.project.log.count(0, use="evaluate")


def test_a_revised_label_moves_its_row(line):
    """The row is held once, under its last label."""
    one = line(capacity=1000)
    head = one.send(one.rows(0, 60))
    evaluation.take(one.project, head)
    name = one.project.database.value("SELECT id FROM rows WHERE part = 'evaluation' LIMIT 1")
    sql = "SELECT e.label FROM evaluation e JOIN rows USING (key) WHERE id = ?"
    said = one.project.database.value(sql, (name,))
    other = ["red", "green", "blue"][(said + 1) % 3]
    one.project.labels.give([Label(name, other)]).result()
    count = len(held(one))
    evaluation.take(one.project, one.project.log.head())
    assert len(held(one)) == count
    assert one.project.database.value(sql, (name,)) == (said + 1) % 3


def test_rows_erased_between_reading_and_writing_do_not_come_back(line, monkeypatch):
    """What left the log meanwhile is not taken in."""
    one = line(capacity=1000)
    head = one.send(one.rows(0, 60))
    real = one.project.segments.read

    def read(places):
        found = real(places)
        one.project.database.transact(lambda c: c.execute("DELETE FROM rows WHERE position < 40"))
        return found

    monkeypatch.setattr(one.project.segments, "read", read)
    evaluation.take(one.project, head)
    left = one.project.database.value("SELECT count(*) FROM rows WHERE part = 'evaluation'")
    assert len(held(one)) == left


def test_a_project_that_keeps_no_rows_can_let_all_go(line):
    """All but the anchor, which is the operator's."""
    one = line()
    anchor.pin(one.project, one.rows(1000, 5), "operator")
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    evaluation.clear(one.project)
    assert len(held(one)) == 5
    assert evaluation.read(one.project).rows.anchor.all()


# -- asking --------------------------------------------------------------------------------------


def test_asking_gives_the_labels_that_predict_gives(line):
    """However the rows are cut, and without changing the learner."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 300)))
    learner = one.project.load(one.make().version)
    questions = evaluation.read(one.project)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    answers = evaluation.ask(learner, questions, 7)
    assert answers.version == 7
    assert answers.predicted.tolist() == learner.predict(questions.x).argmax(1).tolist()
    assert evaluation.accuracy(one.project, learner) == answers.accuracy()
    after = learner.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_rows_that_cannot_be_answered_are_wrong(line):
    """Outputs that are not finite, outputs beyond the classes, and no outputs at all."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    questions = evaluation.read(one.project)

    class Broken(torch.nn.Module):
        def __init__(self, columns, value):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.columns, self.value = columns, value

        def forward(self, x):
            out = torch.zeros(len(x), self.columns)
            out[:, -1:] = self.value
            return out

    answers = [
        evaluation.ask(Learner(Broken(columns, value)), questions).predicted
        for columns, value in [(3, float("nan")), (0, 0.0), (9, 5.0)]
    ]
    assert (answers[0] == -1).all()
    assert (answers[1] == -1).all()
    assert set(answers[2].tolist()) <= {0, 1, 2}


def test_tasks_are_asked_by_their_own_head(line, task_model):
    """A row of a task that the model has no head for counts as wrong; so does one without task."""
    one = line(task_model, tasks="true", capacity=1000)
    one.send([row for task in (0, 1) for row in one.rows(100 * task, 60, task=task)])
    made = one.make()
    one.send(one.rows(500, 30, task=2))
    evaluation.take(one.project, one.project.log.head())
    questions = evaluation.read(one.project)
    answers = evaluation.ask(one.project.load(made.version), questions)
    known = questions.task.numpy() < 2
    assert answers.accuracy(known) > 0.9
    assert (answers.predicted[~known] == -1).all()
    assert {"task:0", "task:1", "task:2"} <= set(questions.rows.slices)


# -- the anchor ----------------------------------------------------------------------------------


def test_the_anchor_is_outside_capacity_and_spans(line):
    """Pinned rows stay whatever comes, and count in no span or slice of the rest."""
    one = line(capacity=10)
    anchor.pin(one.project, one.rows(1000, 30), "operator")
    evaluation.take(one.project, one.send(one.rows(0, 200)))
    rows = evaluation.read(one.project).rows
    assert rows.anchor.sum() == 30
    assert len(rows) == 40
    assert [span for span, _ in rows.by_span()] == [1]
    assert one.project.database.value("SELECT actor FROM audit WHERE action = 'pin'") == "operator"


def test_an_anchor_that_was_changed_is_noticed(line):
    """A label turned in the database breaks the seal; who may change it seals it again."""
    one = line()
    anchor.pin(one.project, one.rows(1000, 30), "operator")
    one.project.database.transact(
        lambda c: c.execute(
            "UPDATE evaluation SET label = (label + 1) % 3 WHERE key ="
            " (SELECT min(key) FROM evaluation)"
        )
    )
    with pytest.raises(CheckpointMismatch, match="anchor rows"):
        evaluation.read(one.project)
    one.project.database.transact(anchor.seal)
    assert len(evaluation.read(one.project).rows) == 30


def test_the_same_anchor_has_the_same_seal(line):
    """In any order, in any project: a file of rows identifies itself."""
    one, other = line(), line()
    rows = one.rows(1000, 12)
    sealed = anchor.pin(one.project, rows, "operator")
    assert anchor.pin(other.project, rows[::-1], "operator") == sealed
    assert anchor.pin(other.project, rows[:-1], "operator") != sealed
    assert len(evaluation.read(other.project).rows) == 11


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"id": None}, "needs an id"),
        ({"label": None}, "needs an id and a label"),
        ({"id": "row-1"}, "same id"),
        ({"label": "mauve"}, "classes are closed"),
        ({"label": ""}, "1 to 200 characters"),
        ({"id": "\ud800"}, "surrogate"),
        ({"task": 2**63}, "64 bits"),
    ],
)
def test_rows_that_cannot_be_an_anchor_are_refused(line, said, message):
    """Without a name, a label, or a class; nothing is pinned."""
    one = line()
    rows = one.rows(1, 1) + one.rows(2, 1, **said)
    with pytest.raises(RowRefused, match=message):
        anchor.pin(one.project, rows, "operator")
    assert not held(one)


def test_rows_to_learn_from_cannot_be_an_anchor(line):
    """What a version may have learnt says nothing about what it knows."""
    one = line()
    one.send(rows := one.rows(0, 20))
    found = one.project.database.read("SELECT id FROM rows WHERE part = 'train'")
    taught = {row["id"] for row in found}
    with pytest.raises(RowRefused, match="must be unseen"):
        anchor.pin(one.project, [row for row in rows if row.id in taught], "operator")


def test_digests_tell_rows_apart(line):
    """Equal for equal rows; another label or span is another comparison."""
    one = line(capacity=1000)
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    seen = {evaluation.read(one.project).rows.digest()}
    for change in (
        "UPDATE evaluation SET label = (label + 1) % 3",
        "UPDATE evaluation SET span = 2",
    ):
        one.project.database.transact(lambda c, sql=change: c.execute(sql))
        seen.add(evaluation.read(one.project).rows.digest())
    assert len(seen) == 3
