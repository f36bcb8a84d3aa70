"""Forgetting in numbers: from the best that served, with the doubt that its rows leave."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from perdure.live.answers import Answers, Cell, HeldOut
from perdure.live.gate import judge
from perdure.live.settings import GateSettings


def now(*spans):
    """A challenger, equal to its champion, with (rows, right) of each span."""
    span = np.repeat(np.arange(1, len(spans) + 1), [rows for rows, _ in spans])
    right = np.concatenate([np.arange(rows) < correct for rows, correct in spans])
    n = len(span)
    held = HeldOut(np.arange(n), np.zeros(n, dtype=np.int64), span, np.arange(n))
    return tuple(Answers(k, held, np.where(right, 0, -1)) for k in (1, 2))


def forgotten(spans, past, **gate):
    champion, challenger = now(*spans)
    verdict = judge(GateSettings(**gate), challenger, champion, past_cells=past)
    return {one.name: one for one in verdict.findings if one.rule == "forgetting"}


def cell(version, span, rows, correct):
    return Cell(version, span, "", rows, correct)


def test_it_is_measured_from_the_best_that_served():
    """Of three versions the second was best on the span: Chaudhry et al. 2018."""
    past = [cell(1, 1, 100, 80), cell(2, 1, 100, 95), cell(3, 1, 100, 90)]
    found = forgotten([(100, 85)], past)
    assert found["1"].value == pytest.approx(0.95 - 0.85)
    assert found["1"].rows == 100


def test_the_evidence_by_hand():
    """Agresti & Caffo: (96/102 - 71/102 - 0.1) over its error, times two versions, is the p."""
    past = [cell(1, 1, 100, 95), cell(2, 1, 100, 60)]
    shares = np.array([96 / 102, 71 / 102])
    error = float(np.sqrt((shares * (1 - shares) / 102).sum()))
    alone = stats.norm.sf((shares[0] - shares[1] - 0.1) / error)
    champion, challenger = now((100, 70))
    tests = judge(GateSettings(), challenger, champion, past_cells=past).findings
    family = sum(one.p is not None for one in tests)
    found = next(one for one in tests if one.rule == "forgetting")
    assert found.p == pytest.approx(2 * alone * family, rel=1e-6)
    assert found.outcome == "refuse"


def test_few_rows_on_either_side_say_nothing():
    """Under the least number of rows, then or now, a span is not compared."""
    assert not forgotten([(100, 50)], [cell(1, 1, 29, 29)])
    assert not forgotten([(29, 10)], [cell(1, 1, 100, 100)])
    assert set(forgotten([(30, 10), (30, 30)], [cell(1, 1, 30, 30)])) == {"1"}


def test_a_span_that_is_better_than_ever_is_no_forgetting():
    """The value is negative then, and passes even at a limit of zero."""
    found = forgotten([(100, 99)], [cell(1, 1, 100, 60)], max_forgetting=0.0)
    assert found["1"].value == pytest.approx(-0.39)
    assert found["1"].outcome == "pass"


def test_slices_and_the_anchor_are_no_spans():
    """Their cells stand in the same table and are left alone."""
    past = [Cell(1, 1, "class:3", 100, 100), Cell(1, -1, "anchor:ab", 100, 100)]
    assert not forgotten([(100, 10)], past)


@settings(max_examples=30)
@given(st.integers(30, 200), st.integers(30, 200), st.data())
def test_more_forgotten_is_more_evidence(before, after, data):
    """With every row that goes wrong now, p falls."""
    best = data.draw(st.integers(0, before))
    right = data.draw(st.integers(1, after))
    p = [
        forgotten([(after, correct)], [cell(1, 1, before, best)])["1"].p
        for correct in (right, right - 1)
    ]
    assert p[1] <= p[0] + 1e-12


def test_an_acceptable_loss_is_refused_one_time_in_twenty_at_most():
    """Truly 10% below the best, on eight spans: what the limit allows."""
    rng, refused = np.random.default_rng(0), 0
    for _ in range(100):
        past = [cell(1, s, 80, int(rng.binomial(80, 0.9))) for s in range(1, 9)]
        spans = [(80, int(rng.binomial(80, 0.8))) for _ in range(8)]
        found = forgotten(spans, past)
        refused += any(one.outcome == "refuse" for one in found.values())
    assert refused <= 7
