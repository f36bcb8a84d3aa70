"""The gate on a project's versions: from their files to a verdict in the database."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch

from perdure.live import accuracy, anchor, evaluation, spans
from perdure.live.gate import Verdict, examine, record
from perdure.live.probe import inspect


def looked_at(one, made, champion):
    """Examine, with the load-and-query check in this process."""
    return examine(
        one.project, made, champion, lambda _, *versions: inspect(one.project, *versions)
    )


def examined(one, made, champion):
    """Examine, and write it down."""
    found = looked_at(one, made, champion)
    one.project.database.transact(lambda c: record(c, made.version, found))
    return found


def learnt(one, rows=150, first=0):
    head = one.send(one.rows(first, rows))
    evaluation.take(one.project, head)


def test_a_first_version_is_rubber_stamped_and_measured(line):
    """There is nothing to compare with; its accuracies are kept for later."""
    one = line()
    learnt(one)
    found = examined(one, made := one.make(), None)
    assert found.verdict.word == "promote"
    assert found.verdict.rubber_stamped
    assert found.verdict.version == made.version
    assert accuracy.cells(one.project) == [c for c in found.cells if not c.slice]
    report = one.project.database.value("SELECT report FROM verdicts")
    assert Verdict.from_dict(json.loads(report)) == found.verdict


def test_a_better_version_is_promoted_and_a_poisoned_one_refused(line):
    """The same rows, right labels and wrong ones; nothing is written by looking."""
    one = line(capacity=1000)
    learnt(one, 300)
    champion = one.serve(one.make(steps=1))
    before = one.project.database.value("SELECT total_changes()")
    found = looked_at(one, one.make(parent=champion.version), champion)
    assert found.verdict.word == "promote"
    assert found.state is None
    assert one.project.database.value("SELECT total_changes()") == before

    good = one.serve(one.make())
    found = examined(one, one.make(steps=200, wrong=True, parent=good.version), good)
    assert found.verdict.word == "refuse"
    assert found.verdict.looks == 1  # it has learnt nothing that could be saved
    assert found.state is None


def test_what_forgot_is_repaired_on_the_way_back(line):
    """The newest rows lie elsewhere; learnt too hard they cost the old ones, a part of it not."""
    one = line(capacity=1000)
    learnt(one, 300)
    old = one.serve(one.make(steps=100))
    spans.close(one.project, one.project.log.head())
    one.send([_moved(row) for row in one.rows(300, 300)])
    evaluation.take(one.project, one.project.log.head())
    state = one.project.registry.load(old.version)
    learner = one.project.load(old.version)
    batch = one.project.log.examples(300, one.project.log.head()).batch
    for _ in range(80):
        learner.observe(batch)
    made = one.keep(learner.state_dict(), old.version)
    found = looked_at(one, made, old)
    assert found.verdict.share in one.project.settings.gate.repair
    assert 2 <= found.verdict.looks <= 4  # itself, and shares on the way back
    assert found.verdict.word == "promote"
    between = one.keep(found.state, old.version)
    one.project.database.transact(lambda c: record(c, between.version, found))
    assert {cell.version for cell in accuracy.cells(one.project)} == {old.version, between.version}
    name = next(iter(state["model"]))
    pulled = torch.lerp(state["model"][name], learner.model.state_dict()[name], found.verdict.share)
    assert torch.equal(found.state["model"][name], pulled)


def test_every_look_at_a_champion_is_counted(line):
    """The next attempt comes after all looks of the last, and a new champion begins anew."""
    one = line(capacity=1000)
    learnt(one, 60)
    champion = one.serve(one.make())
    first = examined(one, one.make(parent=champion.version), champion)
    second = examined(one, one.make(parent=champion.version), champion)
    assert first.verdict.attempt == 1
    assert second.verdict.attempt == 1 + first.verdict.looks
    other = one.serve(one.make(steps=70))
    assert looked_at(one, one.make(parent=other.version), other).verdict.attempt == 1


def test_a_damaged_version_is_refused_with_its_reason(line):
    """The process that loads it meets the damage; the updater does not."""
    one = line()
    learnt(one)
    champion = one.serve(one.make())
    made = one.make(parent=champion.version)
    (one.project.registry.path(made) / "learner.safetensors").write_bytes(b"no such thing")
    found = examined(one, made, champion)
    assert found.verdict.word == "refuse"
    assert "damaged" in found.verdict.reasons[0]
    assert found.verdict.looks == 0


def test_the_anchor_decides_alone(line):
    """Everything held out improves, and the operator's own rows get worse: refused."""
    one = line(capacity=1000)
    pinned = one.rows(10_000, 120)
    anchor.pin(one.project, pinned, "operator")
    learnt(one, 60)
    champion = one.serve(one.make())
    one.send([_renamed(row) for row in one.rows(1000, 400)])
    evaluation.take(one.project, one.project.log.head())
    found = looked_at(one, one.make(steps=300, parent=champion.version), champion)
    assert found.verdict.word == "refuse"
    assert "anchor rows right" in found.verdict.reasons[0]


def _moved(row):
    """Far off, where the old lines between the colours say little."""
    return replace(row, features=row.features + np.float32([0, -12]))


def _renamed(row):
    names = {"red": "green", "green": "blue", "blue": "red"}
    return replace(row, label=names[row.label])
