"""The combination of all rules into one verdict."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.live.answers import Answers, Cell
from perdure.live.gate.comparison import Comparison, Tested
from perdure.live.gate.facts import anchor, floor, infrastructure, step
from perdure.live.gate.forgetting import forgetting
from perdure.live.gate.holm import holm
from perdure.live.gate.paired_rules import accuracy, gain, negative_flips, past, slices, spans
from perdure.live.gate.verdict import Finding, Verdict, Word, shown
from perdure.live.probed import Probed
from perdure.live.settings import GateSettings

NAMED = 8  # cells that a sentence names


def judge(
    settings: GateSettings,
    challenger: Answers,
    champion: Answers | None = None,
    *,
    past_cells: Sequence[Cell] = (),
    probed: Probed | None = None,
    movement: float | None = None,
    attempt: int = 1,
    share: float | None = None,
) -> Verdict:
    """Hold a challenger against the champion; see `perdure.live.gate` for what must be proved.

    Args:
        settings: the limits.
        challenger: its answers to the held-out rows.
        champion: answers to the same rows; None where nothing serves: the challenger is then
            rubber-stamped, unless a fact speaks against it.
        past_cells: what versions that served had right, on the rows that there were then.
        probed: what came of loading and asking the challenger; None where that was not tried.
        movement: relative movement of the parameters.
        attempt: which look at this champion's challengers this is, from 1.
        share: of the challenger in the weights, where it was moved towards the champion: it must
            then be better on the newest span.

    Raises:
        InvalidValue: champion and challenger answered different rows.
    """
    error = (1 - settings.confidence) / (attempt * (attempt + 1))
    c = Comparison(settings, challenger, champion, past_cells, error)
    found: list[Tested | Finding] = [*infrastructure(c, probed), *step(c, movement), *anchor(c)]
    found += floor(c)
    if champion is not None:
        rules = (accuracy, past, negative_flips, forgetting, spans, slices)
        found += [one for rule in rules for one in rule(c)]
        found += gain(c, asked=share is not None)
    findings = _settled(found, 1 - settings.confidence)
    word = _word(findings)
    return Verdict(
        word,
        challenger.version,
        None if champion is None else champion.version,
        tuple(_reasons(c, word, findings, share)),
        findings,
        int(c.current.sum()),
        c.effect,
        challenger.accuracy(),
        None if champion is None else champion.accuracy(),
        error,
        attempt,
        1,
        share,
        challenger.rows.digest(),
    )


def unfit(version: int, champion: int | None, probed: Probed, attempt: int = 1) -> Verdict:
    """The verdict on a version that does not answer: there is nothing to compare."""
    found = Finding("infrastructure", "", "refuse", probed.reason)
    return Verdict(
        "refuse",
        version,
        champion,
        (probed.reason,),
        (found,),
        rows=0,
        effect=1.0,
        accuracy=None,
        champion_accuracy=None,
        error=0.0,
        attempt=attempt,
        looks=0,
        share=None,
        data="",
    )


def _settled(found: Sequence[Tested | Finding], error: float) -> tuple[Finding, ...]:
    """Every finding, refused where its evidence outlives the correction for their number."""
    tested = [one for one in found if isinstance(one, Tested)]
    adjusted = iter(holm([one.finding.p or 0.0 for one in tested]))
    return tuple(
        one.settled(next(adjusted), error) if isinstance(one, Tested) else one for one in found
    )


def _word(findings: Sequence[Finding]) -> Word:
    if any(one.outcome == "refuse" for one in findings):
        return "refuse"
    if any(one.blocks and one.outcome != "pass" for one in findings):
        return "not enough evidence"
    return "promote"


def _reasons(
    c: Comparison, word: Word, findings: Sequence[Finding], share: float | None
) -> list[str]:
    """What decided, then what nobody could know: too few rows are said aloud."""
    refused = [one.reason for one in findings if one.outcome == "refuse"]
    blocking = [one.reason for one in findings if one.blocks and one.outcome != "pass"]
    decided = refused or blocking or [_praise(c)]
    if share is not None:
        decided.append(f"its weights are {shown(share)} challenger and the rest champion")
    vacuous = [one.reason for one in findings if one.outcome == "vacuous" and not one.blocks]
    return [*decided, *vacuous, *_open(findings)]


def _praise(c: Comparison) -> str:
    if c.champion is None:
        count = int(c.current.sum())
        right = f"its accuracy is {shown(c.challenger.accuracy())} on {count} held-out rows"
        return f"there was no champion to compare with, so it is rubber-stamped; {right}"
    margin = shown(c.settings.margin)
    before, after = shown(c.champion.accuracy()), shown(c.challenger.accuracy())
    how = "is better" if c.gains else f"loses less than {margin}"
    return f"in all it {how}: accuracy {before} -> {after}; no rule speaks against it"


def _open(findings: Sequence[Finding]) -> list[str]:
    cells = [
        one
        for one in findings
        if one.outcome == "undecided" and not one.blocks and one.rule in ("span", "slice", "past")
    ]
    if not cells:
        return []
    names = ", ".join(f"{one.rule} {one.name}".strip() for one in cells[:NAMED])
    more = ", ..." * (len(cells) > NAMED)
    return [f"neither proved nor disproved, with the rows that there are: {names}{more}"]
