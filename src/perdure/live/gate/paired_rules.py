"""Rules on the difference to the champion, in all, on the past, by span and by slice."""

from __future__ import annotations

from math import ceil

from scipy import stats

from perdure.live.answers import Mask
from perdure.live.gate.comparison import Comparison, Tested
from perdure.live.gate.paired import Paired
from perdure.live.gate.verdict import Finding, shown

NAMED = 8  # cells that a sentence names


def accuracy(c: Comparison) -> list[Tested | Finding]:
    """In all: that the loss is below the margin must be proved."""
    return [_cell(c, "accuracy", "", c.current, c.settings.margin, blocks=True)]


def past(c: Comparison) -> list[Tested | Finding]:
    """Every span but the newest: backward transfer, each held-out row weighing the same.

    Proved, unless the challenger is proved to be better in all: then the best estimate must keep
    the limit.
    """
    limit = c.settings.max_bwt_drop
    seen = c.counts(c.challenger.rows.past)
    if seen is None:
        return []
    if seen.rows < c.settings.min_rows:
        return [_vacuous(c, "past", "", seen)]
    within = c.gains and -seen.difference <= limit
    return [_cell(c, "past", "", c.challenger.rows.past, limit, blocks=not within)]


def spans(c: Comparison) -> list[Tested | Finding]:
    """Each span: refused where the evidence says so; said aloud where there is too little."""
    rows = c.challenger.rows
    return [
        _cell(c, "span", rows.called(span), mask, c.settings.margin)
        for span, mask in rows.by_span()
    ]


def slices(c: Comparison) -> list[Tested | Finding]:
    """Each slice, as each span; those with too few rows in one finding."""
    least = c.settings.min_rows
    masks = {name: mask & c.current for name, mask in c.challenger.rows.slices.items()}
    small = [name for name, mask in masks.items() if mask.sum() < least]
    found: list[Tested | Finding] = [
        _cell(c, "slice", name, mask, c.settings.margin)
        for name, mask in masks.items()
        if name not in small
    ]
    if small:
        listed = ", ".join(small[:NAMED]) + ", ..." * (len(small) > NAMED)
        reason = f"{len(small)} slices have fewer than {least} rows and say nothing: {listed}"
        found.append(Finding("slice", f"{len(small)} small ones", "vacuous", reason))
    return found


def negative_flips(c: Comparison) -> list[Tested | Finding]:
    """The share of rows that the champion had right and the challenger has wrong."""
    limit, seen = c.settings.max_negative_flips, c.counts(c.current)
    if seen is None or seen.rows < c.settings.min_rows:
        return [_vacuous(c, "negative flips", "", seen)]
    worth, share = c.worth(seen), seen.lost / seen.rows
    said = f"{shown(share)} of the rows that went right go wrong now"
    keeps = share <= limit
    finding = Finding(
        "negative flips",
        "",
        "pass" if keeps else "undecided",
        f"{said}; the limit is {shown(limit)}" + ("" if keeps else ", and more rows must decide"),
        blocks=not keeps,
        rows=seen.rows,
        value=share,
        limit=limit,
        p=float(stats.binom.sf(worth.lost - 1, worth.rows, limit)),
        lost=seen.lost,
        gained=seen.gained,
    )
    return [Tested(finding, f"{said}; the limit is {shown(limit)}")]


def gain(c: Comparison, *, asked: bool) -> list[Tested | Finding]:
    """On the newest span: whether the challenger is proved to be better there.

    It is asked of one that was moved towards the champion: it must still know what it was made for.
    Rows with wrong labels cannot give it that without taking from the past what they contradict.
    """
    rows = c.challenger.rows
    mask = rows.span == rows.newest
    seen = c.counts(mask)
    if seen is None or seen.rows < c.settings.min_rows:
        return [_vacuous(c, "gain", "newest span", seen, blocks=asked)]
    worth = c.worth(seen)
    low, high = worth.interval(c.error)
    proved = low > 0
    said = f"on the newest span: accuracy {_numbers(c, mask)}"
    finding = Finding(
        "gain",
        "newest span",
        "pass" if proved else "undecided",
        f"{said}, {'better than' if proved else 'not proved to be better than'} the champion",
        blocks=asked and not proved,
        rows=seen.rows,
        value=seen.difference,
        low=low,
        high=high,
        limit=0.0,
        lost=seen.lost,
        gained=seen.gained,
    )
    return [finding]


def _cell(
    c: Comparison, rule: str, name: str, mask: Mask, limit: float, *, blocks: bool = False
) -> Tested | Finding:
    seen = c.counts(mask)
    if seen is None or seen.rows < c.settings.min_rows:
        return _vacuous(c, rule, name, seen, blocks=blocks)
    worth = c.worth(seen)
    low, high = worth.interval(c.error, limit)
    safe = low > -limit
    place = called(rule, name)
    said = f"{place}: accuracy {_numbers(c, mask)}, a difference of {seen.difference:+.1%}"
    if safe:
        reason = f"{said}; a loss above {shown(limit)} is excluded"
    else:
        reason = f"{said}; a loss above {shown(limit)} is not excluded{_needed(worth, limit, c)}"
    finding = Finding(
        rule,
        name,
        "pass" if safe else "undecided",
        reason,
        blocks and not safe,
        seen.rows,
        seen.difference,
        low,
        high,
        -limit,
        worth.p_worse(limit),
        seen.lost,
        seen.gained,
    )
    return Tested(finding, f"{said}: worse by more than {shown(limit)}")


def called(rule: str, name: str) -> str:
    """A cell in a sentence."""
    whole = {"accuracy": "in all", "past": "on the past", "gain": "on the newest span"}
    return whole.get(rule, f"on {rule} {name}" if rule != "slice" else f"on {name}")


def _vacuous(
    c: Comparison, rule: str, name: str, seen: Paired | None, *, blocks: bool = False
) -> Finding:
    rows = 0 if seen is None else seen.rows
    reason = (
        f"{called(rule, name)}: {rows} held-out rows say nothing; "
        f"{c.settings.min_rows} are the least that count"
    )
    return Finding(rule, name, "vacuous", reason, blocks, rows)


def _numbers(c: Comparison, mask: Mask) -> str:
    before = None if c.champion is None else c.champion.accuracy(mask)
    return f"{shown(before)} -> {shown(c.challenger.accuracy(mask))}"


def _needed(worth: Paired, limit: float, c: Comparison) -> str:
    """How many rows would decide, if the difference stays what it is."""
    ahead = worth.difference + limit
    if ahead <= 0:
        return ""
    changing = (worth.lost + worth.gained) / worth.rows or limit
    variance = changing - worth.difference**2
    rows = ceil(c.effect * variance * (stats.norm.isf(c.error) / ahead) ** 2)
    return f"; about {rows} rows would do, if the difference stays what it is"
