"""Rules on what is so, and not on what a sample says: there is nothing to estimate."""

from __future__ import annotations

from scipy import stats

from perdure.live.answers import ANCHOR
from perdure.live.gate.comparison import Comparison, Tested
from perdure.live.gate.verdict import Finding, Outcome, shown
from perdure.live.probed import Probed


def floor(c: Comparison) -> list[Tested | Finding]:
    """Accuracy of at least the floor must be proved, with or without a champion.

    The test is the exact one of a binomial share (Clopper & Pearson 1934).
    """
    limit = c.settings.floor
    if not limit:
        return []
    right = c.challenger.right[c.current]
    rows, correct = len(right), int(right.sum())
    if rows < c.settings.min_rows:
        reason = f"{rows} held-out rows cannot prove an accuracy of {shown(limit)}"
        return [Finding("floor", "", "vacuous", reason, blocks=True, rows=rows, limit=limit)]
    said = f"accuracy {shown(correct / rows)} against a floor of {shown(limit)}"
    proved = float(stats.binom.sf(correct - 1, rows, limit)) <= c.error
    finding = Finding(
        "floor",
        "",
        "pass" if proved else "undecided",
        said if proved else f"{said}: {rows} rows do not prove that it is reached",
        blocks=not proved,
        rows=rows,
        value=correct / rows,
        limit=limit,
        p=float(stats.binom.cdf(correct, rows, limit)),
    )
    return [Tested(finding, f"{said}: it is below")]


def anchor(c: Comparison) -> list[Finding]:
    """On the operator's own rows accuracy never falls by more than the margin, ever.

    They are the requirement itself and no sample of it, so the comparison is exact, and with the
    best version that ever served: many small steps cannot add up.
    """
    rows = c.challenger.rows
    count = int(rows.anchor.sum())
    if not count:
        return []
    name = f"anchor:{rows.anchor_digest()}"
    served = [cell.correct for cell in c.past if cell.span == ANCHOR and cell.slice == name]
    if c.champion is not None:
        served.append(int(c.champion.right[rows.anchor].sum()))
    if not served:
        reason = f"{count} anchor rows, and no version before to compare with"
        return [Finding("anchor", "", "vacuous", reason, rows=count)]
    correct, best = int(c.challenger.right[rows.anchor].sum()), max(served)
    allowed = int(c.settings.margin * count + 1e-9)
    said = f"{correct} of {count} anchor rows right, {best} at best before; {allowed} may be lost"
    outcome: Outcome = "pass" if best - correct <= allowed else "refuse"
    fall, limit = (correct - best) / count, -c.settings.margin
    return [Finding("anchor", "", outcome, said, rows=count, value=fall, limit=limit)]


def step(c: Comparison, movement: float | None) -> list[Finding]:
    """How far the parameters moved, over how large they were."""
    limit = c.settings.max_step
    if limit is None or c.champion is None:
        return []
    if movement is None:
        return [Finding("step", "", "vacuous", "the movement was not measured", blocks=True)]
    keeps = movement <= limit
    said = f"the parameters moved by {movement:.3g} of their size; the limit is {limit:.3g}"
    if not keeps:
        said += "; look at what was learnt, and promote it by hand if it is right"
    return [Finding("step", "", "pass" if keeps else "refuse", said, value=movement, limit=limit)]


def infrastructure(c: Comparison, probed: Probed | None) -> list[Finding]:
    """Loaded from its files by another process, it answers; and not much slower than before."""
    if probed is None:
        return [Finding("infrastructure", "", "vacuous", "it was not loaded and asked")]
    found = [Finding("infrastructure", "", "pass" if probed.ok else "refuse", probed.reason)]
    ratio, limit = probed.latency_ratio, c.settings.max_latency_ratio
    if ratio is not None:
        said = f"a call takes {ratio:.2f} times as long as the champion's; the limit is {limit:g}"
        outcome: Outcome = "pass" if ratio <= limit else "refuse"
        found.append(Finding("latency", "", outcome, said, value=ratio, limit=limit))
    return found
