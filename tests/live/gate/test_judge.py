"""The verdict: what must be proved, what must not be disproved, and what is simply so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perdure.errors import InvalidValue
from perdure.live.answers import Answers, Cell
from perdure.live.gate import Probed, judge
from perdure.live.settings import GateSettings

GATE = GateSettings()
FINE = Probed(ok=True, reason="it answered", latency_ms=1.0, latency_ratio=1.1)


def found(verdict, rule, name=None):
    """The findings of a rule, or the one of a name."""
    held = [one for one in verdict.findings if one.rule == rule]
    return held if name is None else next(one for one in held if one.name == name)


# -- proved, or it waits -------------------------------------------------------------------------


def test_an_equal_challenger_with_enough_rows_is_promoted(pair):
    """Ten flips either way of a thousand rows exclude a loss of two percent."""
    champion, challenger = pair([(500, 5, 5), (500, 5, 5)])
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "promote"
    assert found(verdict, "accuracy", "").low > -0.02
    assert verdict.reasons[0].startswith("in all it loses less than 2.0%")


def test_an_equal_challenger_with_few_rows_must_wait(pair):
    """The same flips of a tenth of the rows prove nothing, and the verdict says how many would."""
    champion, challenger = pair([(50, 1, 1), (50, 1, 1)])
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "not enough evidence"
    assert "about " in verdict.reasons[0]
    assert "rows would do" in verdict.reasons[0]


def test_no_held_out_rows_are_no_evidence(pair):
    """Under the least number of rows nothing is compared, and nothing promoted."""
    champion, challenger = pair([(10, 0, 10)])
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "not enough evidence"
    assert found(verdict, "accuracy", "").outcome == "vacuous"
    assert "10 held-out rows say nothing" in verdict.reasons[0]


def test_a_young_system_may_learn_something_new(pair):
    """Thirty old rows cannot prove that nothing was forgotten; a clear gain makes up for it."""
    champion, challenger = pair([(30, 1, 0), (30, 0, 25)], right=1.0)
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "promote"
    assert found(verdict, "past", "").outcome == "undecided"
    assert any("neither proved nor disproved" in reason for reason in verdict.reasons)


def test_a_gain_does_not_pay_for_the_past(pair):
    """The same gain with a tenth of the past gone: the estimate breaks the limit, so it waits."""
    champion, challenger = pair([(40, 4, 0), (40, 0, 35)], right=1.0)
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "not enough evidence"
    assert verdict.reasons[0].startswith("on the past")


def test_without_a_gain_the_past_must_be_proved(pair):
    """Safe in all, with two thirds of the rows new: 60 old rows with a loss prove too little."""
    champion, challenger = pair([(60, 1, 0), (400, 0, 1)])
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert found(verdict, "accuracy", "").outcome == "pass"
    assert verdict.word == "not enough evidence"


@pytest.mark.parametrize(
    ("floor", "word"),
    [(0.5, "promote"), (0.9, "not enough evidence"), (0.99, "refuse")],
)
def test_the_floor_must_be_proved(pair, floor, word):
    """At 92% of 400 rows: 50% is proved, 90% is neither proved nor disproved, 99% is disproved."""
    champion, challenger = pair([(400, 0, 20)], right=0.92)
    assert judge(gate_with(floor=floor), challenger, champion, probed=FINE).word == word


# -- not disproved -------------------------------------------------------------------------------


def test_one_span_that_is_hit_hard_is_found(pair):
    """A third of one span of ten lost, and a gain elsewhere that hides it in the whole."""
    spans = [(60, 0, 0)] * 8 + [(60, 20, 0), (60, 0, 40)]
    champion, challenger = pair(spans)
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "refuse"
    assert found(verdict, "span", "9").outcome == "refuse"
    assert any(reason.startswith("on span 9") for reason in verdict.reasons)


def test_a_slice_across_spans_is_found(pair):
    """One class of four wrong everywhere: no span is, and the slice is."""
    champion, challenger = pair([(80, 0, 0)] * 4, right=1.0, slices=4)
    hit = champion.rows.slices["class:2"] & (champion.rows.keys % 3 > 0)
    worse = Answers(2, champion.rows, np.where(hit, -1, challenger.predicted))
    assert found(judge(GATE, worse, champion), "slice", "class:2").outcome == "refuse"


def test_a_little_on_one_span_is_named_and_does_not_block(pair):
    """Two rows of fifty lost may be chance, among so many cells: it is said aloud."""
    champion, challenger = pair([(50, 2, 0)] + [(200, 1, 1)] * 5)
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert verdict.word == "promote"
    assert found(verdict, "span", "1").outcome == "undecided"
    assert "span 1" in verdict.reasons[-1]


def test_many_negative_flips_are_refused_though_accuracy_grows(pair):
    """A fifth of the rows goes wrong that went right: people who relied on them notice."""
    champion, challenger = pair([(400, 80, 100)])
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert found(verdict, "negative flips", "").outcome == "refuse"
    assert verdict.word == "refuse"


def test_small_cells_are_named_vacuous(pair):
    """Slices under the least number of rows are counted and named, never passed in silence."""
    champion, challenger = pair([(600, 0, 0)], slices=40)
    verdict = judge(GATE, challenger, champion, probed=FINE)
    assert found(verdict, "slice")[0].outcome == "vacuous"
    assert any("40 slices have fewer than 30 rows" in reason for reason in verdict.reasons)


# -- forgetting ----------------------------------------------------------------------------------


def past(version, *cells):
    return [Cell(version, span, "", rows, correct) for span, rows, correct in cells]


def test_small_steps_down_are_held_against_the_best_version_ever(pair):
    """The champion lost nothing to its predecessor worth refusing; the best past shows the sum."""
    champion, challenger = pair([(200, 2, 0), (200, 0, 2)], right=0.75)
    history = past(7, (1, 200, 190)) + past(8, (1, 200, 170))
    verdict = judge(GATE, challenger, champion, past_cells=history, probed=FINE)
    assert verdict.word == "refuse"
    assert found(verdict, "forgetting", "1").value == pytest.approx(0.95 - 0.7425 + 0.005, abs=0.02)
    assert not found(judge(GATE, challenger, champion, probed=FINE), "forgetting")


def test_a_decline_of_every_span_shows_in_their_mean(pair):
    """Each of ten spans fell by 16% of 60 rows, which alone is no evidence for more than 10%."""
    champion, challenger = pair([(60, 0, 0)] * 10, right=0.75)
    history = past(3, *[(span, 60, 55) for span in range(1, 11)])
    verdict = judge(GATE, challenger, champion, past_cells=history, probed=FINE)
    assert found(verdict, "forgetting", "mean").outcome == "refuse"
    assert all(found(verdict, "forgetting", str(s)).outcome != "refuse" for s in range(1, 11))


def test_the_luck_of_the_best_of_many_versions_is_paid_for(pair):
    """Forty equal versions: the best looks better by chance, and nothing is refused for it."""
    rng = np.random.default_rng(0)
    champion, challenger = pair([(60, 0, 0)] * 5, right=0.8)
    refused = 0
    for _ in range(20):
        history = [
            cell
            for version in range(40)
            for cell in past(version, *[(s, 60, int(rng.binomial(60, 0.8))) for s in range(1, 6)])
        ]
        said = judge(gate_with(max_forgetting=0.0), challenger, champion, past_cells=history)
        refused += any(one.outcome == "refuse" for one in found(said, "forgetting"))
    assert refused <= 2


# -- facts ---------------------------------------------------------------------------------------


def test_the_anchor_never_loses_more_than_the_margin(pair):
    """Of a hundred rows two may go wrong, and not three, however good the rest is."""
    for after, word in [(96, "promote"), (95, "refuse")]:
        champion, challenger = pair([(400, 0, 40)], anchor=(98, after, 100))
        verdict = judge(GATE, challenger, champion, probed=FINE)
        assert found(verdict, "anchor", "").outcome == ("pass" if word == "promote" else "refuse")
        assert verdict.word == word
        assert verdict.rows == 400


def test_the_anchor_is_held_against_the_best_version_ever(pair):
    """Many small steps cannot add up: the limit does not move with the champion."""
    champion, challenger = pair([(400, 0, 40)], anchor=(96, 95, 100))
    name = f"anchor:{champion.rows.anchor_digest()}"
    best = [Cell(1, -1, name, 100, 98)]
    assert judge(GATE, challenger, champion, past_cells=best, probed=FINE).word == "refuse"
    other = [replace(best[0], slice="anchor:another")]
    assert judge(GATE, challenger, champion, past_cells=other, probed=FINE).word == "promote"


def test_a_version_that_cannot_be_asked_is_refused(pair):
    """Whatever it knows: what does not load does not serve."""
    champion, challenger = pair([(400, 0, 40)])
    broken = Probed.failed("version 2 could not be asked: out of memory")
    verdict = judge(GATE, challenger, champion, probed=broken)
    assert verdict.word == "refuse"
    assert verdict.reasons == ("version 2 could not be asked: out of memory",)


def test_a_slow_version_is_refused(pair):
    """Four times the champion's latency is more than the limit of three."""
    champion, challenger = pair([(400, 0, 40)])
    verdict = judge(GATE, challenger, champion, probed=replace(FINE, latency_ratio=4.0))
    assert verdict.word == "refuse"
    assert "4.00 times as long" in verdict.reasons[0]


def test_a_large_step_is_refused_and_an_unknown_one_waits(pair):
    """Only where a limit is set; a person may still promote it."""
    champion, challenger = pair([(400, 0, 40)])
    capped = gate_with(max_step=0.5)
    words = [
        judge(capped, challenger, champion, probed=FINE, movement=movement).word
        for movement in (0.4, 0.6, None)
    ]
    assert words == ["promote", "refuse", "not enough evidence"]
    assert judge(GATE, challenger, champion, probed=FINE, movement=9.0).word == "promote"


# -- the whole -----------------------------------------------------------------------------------


def test_without_a_champion_it_is_rubber_stamped_aloud(pair):
    """Nothing to compare with is no proof; the verdict and its first reason say so."""
    _, challenger = pair([(100, 0, 0)])
    verdict = judge(GATE, challenger, probed=FINE)
    assert verdict.word == "promote"
    assert verdict.rubber_stamped
    assert "rubber-stamped" in verdict.reasons[0]
    assert judge(gate_with(floor=0.99), challenger, probed=FINE).word == "refuse"


def test_each_look_at_a_champion_costs_evidence(pair):
    """Errors of 2.5%, 0.83%, ... sum to 5%: what passes at first may not at the tenth attempt."""
    champion, challenger = pair([(250, 2, 2), (250, 2, 2)])
    said = [judge(GATE, challenger, champion, probed=FINE, attempt=k) for k in (1, 10)]
    assert [one.word for one in said] == ["promote", "not enough evidence"]
    assert [one.error for one in said] == pytest.approx([0.05 / 2, 0.05 / 110])
    assert sum(judge(GATE, challenger, attempt=k).error for k in range(1, 60)) < 0.05


def test_one_between_both_must_still_know_what_it_was_made_for(pair):
    """A gain on the newest span is asked of it; its share is in the verdict."""
    champion, equal = pair([(500, 3, 40), (500, 3, 3)])
    assert judge(GATE, equal, champion, probed=FINE).word == "promote"
    verdict = judge(GATE, equal, champion, probed=FINE, share=0.5)
    assert verdict.word == "not enough evidence"
    assert "not proved to be better" in verdict.reasons[0]
    champion, better = pair([(500, 3, 3), (500, 3, 50)])
    verdict = judge(GATE, better, champion, probed=FINE, share=0.5)
    assert verdict.word == "promote"
    assert "50.0% challenger" in verdict.reasons[1]
    champion, young = pair([(500, 0, 0), (20, 0, 15)])
    assert judge(GATE, young, champion, probed=FINE, share=0.5).word == "not enough evidence"


def test_answers_to_different_rows_are_not_compared(pair):
    """A comparison of unlike things is an error, never a verdict."""
    champion, _ = pair([(100, 0, 0)])
    _, challenger = pair([(101, 0, 0)])
    with pytest.raises(InvalidValue, match="answered different rows"):
        judge(GATE, challenger, champion)


def gate_with(**said):
    return GateSettings(**said)
