"""Load-and-query: a version that cannot serve is found out by a process that may die of it."""

from __future__ import annotations

import pytest
import torch

from perdure.live import evaluation
from perdure.live.gate.facts import Probed
from perdure.live.probe import inspect, probe, questions

FAULTS = {
    "crash": "import os; os.kill(os.getpid(), 9)",
    "garbage": "import os; os.write(1, b'hello'); os._exit(0)",
}
FAULTY = """
import os
from torch import nn

class Model(nn.Module):
    def __init__(self, schema, classes):
        super().__init__()
        self.layer = nn.Linear(2, classes)

    def forward(self, x):
        if os.environ.get("FAULT"):
            exec(os.environ["FAULT"])
        return self.layer(x)

def build(schema, classes):
    print("a model that talks")
    return Model(schema, classes)
"""
UNSTEADY = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, schema, classes):
        super().__init__()
        self.layer = nn.Linear(2, classes)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        out = self.layer(x)
        if not self.training:
            {}
        return out

def build(schema, classes):
    return Model(schema, classes)
"""


def test_a_good_version_is_loaded_asked_and_timed(line):
    """In another process, whatever its model prints; about as fast as the champion."""
    one = line(FAULTY)
    evaluation.take(one.project, one.send(one.rows(0, 60)))
    first, second = one.make(), one.make()
    found = probe(one.project.directory, second.version, first.version)
    assert found.ok, found.reason
    assert found.reason.startswith("loaded from its files, it answered 3")
    assert found.latency_ms > 0
    assert 0.2 < found.latency_ratio < 5


@pytest.mark.parametrize(
    ("fault", "reason"), [("crash", "died of SIGKILL"), ("garbage", "could not be asked")]
)
def test_death_and_garbage_are_failures(line, monkeypatch, fault, reason):
    """With their reason; the caller lives on."""
    one = line(FAULTY)
    one.send(one.rows(0, 20))
    made = one.make(steps=1)
    monkeypatch.setenv("FAULT", FAULTS[fault])
    found = probe(one.project.directory, made.version)
    assert not found.ok
    assert reason in found.reason


def test_silence_is_a_failure(line):
    """A process that has not answered in time is ended."""
    one = line()
    one.send(one.rows(0, 20))
    found = probe(one.project.directory, one.make(steps=1).version, timeout=0.01)
    assert found == Probed.failed("version 1 did not answer within 0.01 seconds")


def test_a_version_that_is_not_there_is_a_failure(line):
    """It is named, whoever asks."""
    assert "no such version" in inspect(line().project, 5).reason


@pytest.mark.parametrize(
    ("line_of_code", "reason"),
    [
        ("out = out + torch.rand(1)", "answered differently"),
        ("self.seen += 1", "answering changed seen"),
        ("out = out / 0 * 0", "not finite"),
        ("out = out[0]", "not with (rows, classes)"),
        ("out = out[1:]", "not with (rows, classes)"),
        ("raise ValueError('no such luck')", "ValueError: no such luck"),
    ],
)
def test_answers_that_are_none_are_failures(line, line_of_code, reason):
    """Random, impure, not finite, of the wrong shape, or an error: found before it serves."""
    one = line(UNSTEADY.replace("{}", line_of_code))
    evaluation.take(one.project, one.send(one.rows(0, 40)))
    found = inspect(one.project, one.make(steps=1).version)
    assert not found.ok
    assert reason in found.reason


def test_without_held_out_rows_the_schemas_example_is_asked(line):
    """A first version can be asked before there is anything to compare it by."""
    one = line()
    one.send(one.rows(0, 20))
    found = inspect(one.project, one.make(steps=1).version)
    assert found.ok
    assert "4 rows" in found.reason
    assert found.latency_ratio is None


def test_a_version_is_asked_for_the_tasks_that_it_knows(line, task_model):
    """A task that came since has no part in it, which is no failure; none at all is one."""
    one = line(task_model, tasks="true", capacity=1000)
    one.send(one.rows(0, 60, task=0))
    made = one.make(steps=1)
    one.send(one.rows(500, 60, task=1))
    evaluation.take(one.project, one.project.log.head())
    asked = questions(one.project, one.project.load(made.version))
    assert [task for _, task in asked] == [0]
    assert inspect(one.project, made.version).ok
    one.project.database.transact(lambda c: c.execute("DELETE FROM evaluation WHERE task = 0"))
    assert "UnseenTask" in inspect(one.project, made.version).reason


def test_the_champion_is_asked_the_same(line, task_model):
    """Latency is compared on the tasks that both know."""
    one = line(task_model, tasks="true", capacity=1000)
    one.send(one.rows(0, 60, task=0))
    champion = one.make(steps=1)
    one.send(one.rows(500, 60, task=1))
    made = one.make(steps=1, parent=champion.version)
    evaluation.take(one.project, one.project.log.head())
    assert torch.is_tensor(questions(one.project, one.project.load(made.version))[0][0])
    found = inspect(one.project, made.version, champion.version)
    assert found.ok
    assert found.latency_ratio is not None
