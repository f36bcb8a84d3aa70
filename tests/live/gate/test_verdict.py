"""A verdict as people and machines read it."""

from __future__ import annotations

import json
from io import StringIO

from rich.console import Console

from perdure.live.gate import Probed, Verdict, judge
from perdure.live.settings import GateSettings


def said(pair, **gate):
    champion, challenger = pair([(60, 0, 0), (60, 30, 2)], slices=3)
    probed = Probed(ok=True, reason="it answered", latency_ms=2.0, latency_ratio=1.5)
    return judge(GateSettings(**gate), challenger, champion, probed=probed)


def test_a_verdict_comes_back_from_json_as_it_was(pair):
    """Every number and reason survives the database."""
    verdict = said(pair, floor=0.5, max_step=1.0)
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def test_the_text_holds_every_rule_and_reason(pair):
    """One line a finding, the reasons above them, the verdict first."""
    verdict = said(pair)
    text = str(verdict)
    assert text.startswith("refuse: version 2 against champion 1, 120 rows, accuracy ")
    assert all(f"- {reason}" in text for reason in verdict.reasons)
    table = text.split("\n\n")[1].splitlines()
    assert len(table) == 1 + len(verdict.findings)
    assert all(one.rule in line for one, line in zip(verdict.findings, table[1:], strict=True))


def test_rich_prints_the_same_words(pair):
    """The table in colour says what the plain one says."""
    verdict = said(pair)
    page = StringIO()
    Console(file=page, width=300).print(verdict)
    assert page.getvalue().split() == str(verdict).split()


def test_the_summary_is_one_line(pair):
    """For the audit: the word and the weightiest reason."""
    verdict = said(pair)
    assert verdict.summary == f"refuse: {verdict.reasons[0]}"
    assert "\n" not in verdict.summary


def test_held_out_rows_are_identified(pair):
    """Two verdicts on the same rows say the same digest; other rows another one."""
    champion, challenger = pair([(60, 0, 0)])
    other, _ = pair([(61, 0, 0)])
    assert judge(GateSettings(), champion).data == judge(GateSettings(), challenger).data
    assert judge(GateSettings(), champion).data != judge(GateSettings(), other).data
