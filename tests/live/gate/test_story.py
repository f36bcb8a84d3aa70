"""Handwritten digits, two at a time: what a live system meets, and what the gate says to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perdure.live import accuracy, evaluation, spans, update
from perdure.live.gate import examine, record
from perdure.live.probe import inspect
from perdure.live.project import Project
from perdure.live.rows import Row

SETTINGS = """
name = "digits"

[schema]
kind = "tensor"
shape = [64]
open = true

[learner]
methods = [{ name = "ER", capacity = 200 }]
lr = 0.003
epochs = 6
batch_size = 32

[evaluation]
slices = ["class"]
"""
MODEL = """
from torch import nn
from perdure.nets import Classifier, GrowingHead

def build(schema, classes):
    return Classifier(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), GrowingHead(64))
"""


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.fixture
def project(tmp_path):
    (tmp_path / "perdure.toml").write_text(SETTINGS, "utf-8")
    (tmp_path / "model.py").write_text(MODEL, "utf-8")
    with Project(tmp_path) as opened:
        yield opened


def rows_of(digits, wanted, tag=""):
    x, y = digits
    chosen = np.flatnonzero(np.isin(y, wanted))
    return [Row(f"{tag}{i}", x[i], str(y[i])) for i in chosen]


def update_with(project, rows):
    """Send, learn, examine, write down; a promoted version serves, and its span closes."""
    project.log.append(rows).result()
    job = update.plan(project, project.jobs.ask("update", "a story", "tester"))
    learnt = update.fold(project, job)
    made, champion = _kept(project, job, learnt.learner.state_dict()), project.registry.champion()
    evaluation.take(project, made.upto)
    found = examine(project, made, champion, lambda _, *versions: inspect(project, *versions))
    made = made if found.state is None else _kept(project, job, found.state)
    project.database.transact(lambda c: record(c, made.version, found))
    project.database.transact(
        lambda c: c.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (job.id,))
    )
    if found.verdict.word == "promote":
        project.registry.promote(made.version, actor="tester", reason=found.verdict.summary)
        spans.close(project, made.upto)
    return found.verdict


def _kept(project, job, state):
    number = project.registry.create(
        state, parent=job.parent, job=job.id, after=job.after, upto=job.upto, note={}
    )
    return project.registry.get(number)


def test_new_classes_are_promoted_and_poison_is_not(project, digits):
    """Three pairs of digits one after the other; then labels at random."""
    first = update_with(project, rows_of(digits, [0, 1]))
    assert first.rubber_stamped
    for pair in ([2, 3], [4, 5]):
        verdict = update_with(project, rows_of(digits, pair))
        assert verdict.word == "promote"
        assert "it is better" in verdict.reasons[0]
    R = accuracy.matrix(project)
    assert min(R.final().values()) > 0.8
    assert R.values[1][0] == 0.0

    old = rows_of(digits, [0, 1, 2, 3, 4, 5], tag="again-")[:400]
    rng, champion = np.random.default_rng(0), project.registry.champion()
    poison = [replace(row, id=f"p-{row.id}", label=str(rng.integers(6))) for row in old]
    assert update_with(project, poison).word != "promote"
    assert project.registry.champion().version == champion.version


def test_one_class_of_six_flipped_is_refused_by_its_name(project, digits):
    """The whole hardly moves; the class does."""
    update_with(project, rows_of(digits, [0, 1, 2, 3, 4, 5]))
    assert project.registry.champion() is not None
    old = rows_of(digits, [0, 1, 2, 3, 4, 5], tag="again-")
    flipped = [replace(row, label="1" if row.label == "3" else row.label) for row in old]
    verdict = update_with(project, flipped)
    assert verdict.word == "refuse"
    assert any("class:3" in reason for reason in verdict.reasons[:4])


def test_learning_the_same_again_does_no_harm(project, digits):
    """More of what is known: promoted, or it waits for evidence; never refused."""
    known = rows_of(digits, [0, 1, 2])
    update_with(project, known[:300])
    assert update_with(project, known[300:]).word != "refuse"
