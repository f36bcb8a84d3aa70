"""The gate: may a challenger take the champion's place?

Both answer the same held-out rows, and what is compared are the rows that one had right and the
other wrong. With a few hundred rows not everything can be proved of every span and slice, and with
a hundred cells something always looks bad; so rules differ in which way doubt counts.

**Proved, or it waits.** Doubt speaks against the challenger: in all it loses no more than `margin`.
The interval is exact and its error is that of promoting a model that is worse by more than that:
(1 - confidence) / (k (k + 1)) at the k-th challenger of one champion, which sums to 1 - confidence
however often the gate is asked. (The first is half of it: the usual two-sided interval.) On the
past, which is every span but the newest, it loses no more than `max_bwt_drop`: proved in the same
way; but a challenger that is proved to be *better* in all need only keep that limit by its best
estimate, so that a young system, which has few old rows, can learn something new. Accuracy above
`floor`, if there is one, is proved, champion or not.

**Not disproved.** Doubt speaks for it: on each span and slice it is not worse by more than
`margin`; on no span is it `max_forgetting` below the best version that ever served, nor in the mean
of them; no more than `max_negative_flips` of the rows go from right to wrong. These tests, and the
proofs above turned round, are one family: the chance that an acceptable challenger is refused by
any of them is at most 1 - confidence (Holm 1979). So one span may be hit hard and found, or all of
them a little and be found; a little on one span is not, and is named: "neither proved nor
disproved". Cells under `min_rows` are named too: they say nothing.

**Facts.** No estimate: the anchor rows, against the best version that ever served; the step of the
parameters; loading, asking and latency in another process.

Evidence against it refuses; a proof that is missing is "not enough evidence"; else it is promoted,
and, where there was no champion to compare with, rubber-stamped, which the verdict says.

A challenger that is better on the newest span and still is not let through has learnt something at
the price of something else. `examine` then moves its weights towards the champion, and asks of what
lies between all of the above and that the gain on the newest span is still proved (`repair`).

What it cannot do: rows that arrive with wrong labels are held out as well, and ask for the wrong
answer. Against these stand the past, the anchor, and the limits on what one source may send.
"""

from perdure.live.gate.examination import Examined, examine, record
from perdure.live.gate.judge import judge
from perdure.live.gate.verdict import Finding, Verdict
from perdure.live.probed import Probed

__all__ = ["Examined", "Finding", "Probed", "Verdict", "examine", "judge", "record"]
