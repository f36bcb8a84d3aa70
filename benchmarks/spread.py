"""What several runs come to: "91.20 ± 0.40 (n=3)"."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.measure import summarise


def spread(values: Sequence[float]) -> str:
    """Mean, standard deviation (n - 1 in the denominator) and number of runs; one has no deviation.

    Args:
        values: one a run, at least one.
    """
    found = summarise([{"": value} for value in values])[""]
    return f"{found:.2f} (n={len(values)})"
