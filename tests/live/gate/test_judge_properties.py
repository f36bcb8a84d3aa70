"""What holds of every verdict, whatever was answered."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.live.answers import ANCHOR, Answers, HeldOut
from perdure.live.gate import Probed, Verdict, judge
from perdure.live.settings import GateSettings

GATE = GateSettings(min_rows=20)
FINE = Probed(ok=True, reason="it answered", latency_ratio=1.0)
RANK = {"refuse": 0, "not enough evidence": 1, "promote": 2}


@st.composite
def matches(draw):
    """Two versions that answered the same 120 rows of three spans and two slices."""
    n, rng = 120, np.random.default_rng(draw(st.integers(0, 10_000)))
    flips = draw(st.sampled_from([0.0, 0.02, 0.1, 0.4]))
    gain = draw(st.sampled_from([0.0, 0.1, 0.5]))
    span, y = np.repeat([1, 2, 3], 40), np.arange(n) % 2
    rows = HeldOut(np.arange(n), y, span, np.arange(n), {"class:0": y == 0, "class:1": y == 1})
    before = rng.random(n) < 0.8
    after = np.where(before, rng.random(n) >= flips, rng.random(n) < gain)
    return tuple(Answers(k, rows, np.where(right, y, -1)) for k, right in ((1, before), (2, after)))


@settings(max_examples=25)
@given(matches(), st.data())
def test_a_better_answer_never_makes_the_verdict_worse(match, data):
    """One more row right: refusal may become promotion, never the other way round."""
    champion, challenger = match
    wrong = (~challenger.right).nonzero()[0].tolist()
    if wrong:
        row = data.draw(st.sampled_from(wrong))
        predicted = challenger.predicted.copy()
        predicted[row] = challenger.rows.y[row]
        before = judge(GATE, challenger, champion, probed=FINE)
        after = judge(GATE, Answers(2, challenger.rows, predicted), champion, probed=FINE)
        assert RANK[after.word] >= RANK[before.word]


@settings(max_examples=25)
@given(matches())
def test_a_verdict_follows_from_its_findings(match):
    """Anyone can check it: a refusal has a refused finding, a wait a blocking one."""
    champion, challenger = match
    verdict = judge(GATE, challenger, champion, probed=FINE)
    refused = [one for one in verdict.findings if one.outcome == "refuse"]
    blocking = [one for one in verdict.findings if one.blocks and one.outcome != "pass"]
    expected = "refuse" if refused else "not enough evidence" if blocking else "promote"
    assert verdict.word == expected
    assert {one.reason for one in refused or blocking} <= set(verdict.reasons)
    assert all(one.reason for one in verdict.findings)
    assert Verdict.from_dict(verdict.to_dict()) == verdict


@settings(max_examples=25)
@given(matches())
def test_intervals_hold_what_was_measured(match):
    """Every cell's difference lies in its interval, and what passes lies above its limit."""
    verdict = judge(GATE, match[1], match[0], probed=FINE)
    for one in verdict.findings:
        if one.low is not None:
            assert one.low <= one.value <= one.high
            assert one.value == (one.gained - one.lost) / one.rows
            assert (one.outcome == "pass") == (one.low > one.limit)


@settings(max_examples=25)
@given(matches())
def test_a_version_against_itself_is_never_refused(match):
    """It has lost nothing, however few the rows are."""
    same = Answers(2, match[0].rows, match[0].predicted)
    verdict = judge(GATE, same, match[0], probed=FINE)
    assert verdict.word != "refuse"
    assert all(one.lost in (None, 0) for one in verdict.findings)


@settings(max_examples=10)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_no_chain_of_promotions_wears_the_anchor_down(tries):
    """Whoever tries what: of fifty anchor rows at most one is ever lost, to the best that served.

    Every challenger is much better on all other rows, so the anchor alone stands in its way.
    """
    n = 300
    span = np.array([1] * n + [ANCHOR] * 50)
    rows = HeldOut(np.arange(n + 50), np.zeros(n + 50, dtype=np.int64), span, np.arange(n + 50))

    def version(number, anchor, better):
        right = np.concatenate([np.arange(n) % 2 < 1 + better, np.arange(50) < anchor])
        return Answers(number, rows, np.where(right, 0, -1))

    served, history = [45], version(1, 45, better=False).cells()
    for number, anchor in enumerate(tries, 2):
        champion = version(1, served[-1], better=False)
        challenger = version(number, anchor, better=True)
        said = judge(GATE, challenger, champion, past_cells=history, probed=FINE)
        if said.word == "promote":
            served.append(anchor)
            history += version(number, anchor, better=False).cells()
        assert served[-1] >= max(served) - 1
