"""Many tests at once, and a small chance that any of them is wrong."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the chance that any true hypothesis gets one below `error` is `error`.

        adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)),  p_(1) <= ... <= p_(m)

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure". It asks for no
    independence: a row may lie in a span and in slices.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
