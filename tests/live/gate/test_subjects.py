"""Rows of the same people: split together, and counted for what they are worth."""

from __future__ import annotations

import numpy as np
import pytest

from perdure.live import evaluation
from perdure.live.answers import Answers, HeldOut
from perdure.live.gate import Probed, judge
from perdure.live.settings import GateSettings

FINE = Probed(ok=True, reason="it answered")


def answered(people, rows_each, changes, rng):
    """Champion and challenger on rows of people who change their minds as one."""
    n = people * rows_each
    subject = np.repeat(np.arange(people), rows_each)
    change = np.repeat(rng.choice([-1, 0, 1], people, p=changes), rows_each)
    same = rng.random(n) < 0.9
    before = np.where(change, change < 0, same)
    after = np.where(change, change > 0, same)
    span = np.ones(n, dtype=np.int64)
    rows = HeldOut(np.arange(n), np.zeros(n, dtype=np.int64), span, subject)
    return tuple(Answers(k, rows, np.where(r, 0, -1)) for k, r in ((1, before), (2, after)))


def test_a_thousand_rows_of_fifty_people_are_no_thousand_rows():
    """The same counts that promote among strangers say too little among a few people."""
    champion, challenger = answered(50, 20, [0.02, 0.96, 0.02], np.random.default_rng(3))
    rows = challenger.rows
    strangers = HeldOut(rows.keys, rows.y, rows.span, rows.keys)
    alone = [Answers(one.version, strangers, one.predicted) for one in (champion, challenger)]
    few = judge(GateSettings(), challenger, champion, probed=FINE)
    many = judge(GateSettings(), alone[1], alone[0], probed=FINE)
    assert many.effect == 1.0
    assert few.effect == pytest.approx(20, rel=0.1)
    assert few.findings[1].lost == many.findings[1].lost
    assert few.findings[1].low < many.findings[1].low


def test_worse_models_are_not_promoted_on_few_people():
    """Worse by the margin, 60 people with ten rows each: the error stays what it is said to be."""
    rng = np.random.default_rng(0)
    words = [
        judge(GateSettings(margin=0.05), challenger, champion, probed=FINE).word
        for champion, challenger in (answered(60, 10, [0.08, 0.89, 0.03], rng) for _ in range(60))
    ]
    assert words.count("promote") <= 4


def test_a_subject_is_held_out_whole(line):
    """What is asked says how the model does on people whom it has never learnt from."""
    one = line(capacity=1000)
    for number in range(20):
        one.send(one.rows(10 * number, 10, subject=f"person-{number}"))
    evaluation.take(one.project, one.project.log.head())
    parts = one.project.database.read(
        "SELECT subject, count(DISTINCT part) AS n FROM rows GROUP BY 1"
    )
    assert {row["n"] for row in parts} == {1}
    held = one.project.database.read("SELECT DISTINCT subject FROM evaluation")
    assert 3 < len(held) < 17
    assert len(set(evaluation.read(one.project).rows.subject.tolist())) == len(held)
