"""How often the gate is wrong, and how often it makes a good model wait."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from perdure.live.answers import Answers, HeldOut
from perdure.live.gate import Probed, judge
from perdure.live.gate.holm import holm
from perdure.live.gate.paired import Paired
from perdure.live.settings import GateSettings

GATE = GateSettings()
FINE = Probed(ok=True, reason="it answered")


def words(sizes, lost, gained, runs):
    """Verdicts on random challengers; chances of a row being lost or gained, by span."""
    rng, found = np.random.default_rng(0), Counter()
    span = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    n = len(span)
    rows = HeldOut(np.arange(n), np.zeros(n, dtype=np.int64), span, np.arange(n))
    lose, gain = (np.broadcast_to(chance, len(sizes))[span - 1] for chance in (lost, gained))
    for _ in range(runs):
        u, same = rng.random(n), rng.random(n) < 0.9
        goes, comes = u < lose, (u >= lose) & (u < lose + gain)
        before, after = np.where(comes, False, same | goes), np.where(goes, False, same | comes)
        champion, challenger = (
            Answers(k, rows, np.where(right, 0, -1)) for k, right in ((1, before), (2, after))
        )
        found[judge(GATE, challenger, champion, probed=FINE).word] += 1
    return {word: count / runs for word, count in found.items()}


def chance_of_proof(rows, lost, gained, margin, error):
    """Exactly: the chance that the test excludes a loss of the margin."""
    total = 0.0
    for c in range(int(stats.binom.isf(1e-7, rows, gained)) + 1):
        b = -1
        while b + 1 + c <= rows and Paired(rows, b + 1, c).p_safe(margin) <= error:
            b += 1
        seen = stats.binom.cdf(b, rows - c, lost / (1 - gained))
        total += stats.binom.pmf(c, rows, gained) * seen
    return total


@pytest.mark.parametrize("rows", [150, 300, 700])
@pytest.mark.parametrize("gained", [0.0, 0.01, 0.03])
def test_a_challenger_worse_by_the_margin_is_promoted_one_time_in_forty(rows, gained):
    """The first look at a champion has half of the 5%, exactly computed and never exceeded."""
    assert chance_of_proof(rows, gained + 0.02, gained, 0.02, 0.025) <= 0.025


def test_twenty_tries_with_worse_challengers_get_past_once_in_twenty():
    """Whoever tries again and again: the errors of all looks at one champion sum to below 5%."""
    looks = [judge_error(k) for k in range(1, 21)]
    assert sum(chance_of_proof(300, 0.03, 0.01, 0.02, error) for error in looks) <= 0.05


def judge_error(attempt):
    rows = HeldOut(*(np.arange(40) for _ in range(4)))
    return judge(GATE, Answers(2, rows, rows.y), attempt=attempt).error


def test_worse_challengers_are_not_promoted():
    """By exactly the margin, through all the rules: no more than one time in twenty."""
    assert words([300], 0.03, 0.01, runs=150).get("promote", 0) <= 0.05
    assert words([300], 0.05, 0.01, runs=50).get("promote", 0) <= 0.02


def test_equal_challengers_with_enough_rows_are_promoted():
    """Flips of 1% either way of 1,000 rows: nine times in ten, and never refused by chance."""
    found = words([1000], 0.01, 0.01, runs=100)
    assert found["promote"] >= 0.9
    assert "refuse" not in found


def test_good_challengers_are_refused_by_chance_one_time_in_twenty():
    """Fifty cells, all worse by the margin, which is still acceptable on each: at most 5%."""
    rng, refused = np.random.default_rng(0), 0
    for _ in range(200):
        lost, gained, _ = rng.multinomial(60, [0.05, 0.03, 0.92], size=50).T
        cells = [Paired(60, int(b), int(c)) for b, c in zip(lost, gained, strict=True)]
        refused += min(holm([cell.p_worse(0.02) for cell in cells])) <= 0.05
    assert refused / 200 <= 0.05


def test_improvements_pass_with_a_few_hundred_rows():
    """Better by 3% on 300 rows, or a new class on 60: a live system does not stand still."""
    assert words([300], 0.01, 0.04, runs=50)["promote"] >= 0.9
    assert words([30, 30], [0.02, 0.0], [0.02, 0.8], runs=30)["promote"] >= 0.85


def test_poisoned_challengers_are_refused():
    """A quarter lost everywhere; or one span ruined while the newest learns: always."""
    assert words([300], 0.25, 0.02, runs=20) == {"refuse": 1.0}
    assert words([60] * 4, [0.8, 0, 0, 0], [0, 0, 0, 0.9], runs=20) == {"refuse": 1.0}
