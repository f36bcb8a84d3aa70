"""What came of loading a version in a process of its own and asking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Probed:
    """Does a version answer as it must, and how fast?

    Args:
        ok: whether it answered as it must.
        reason: a sentence.
        latency_ms: the median of a call, in milliseconds.
        latency_ratio: to that of the champion, in the same process; None without a champion.
    """

    ok: bool
    reason: str
    latency_ms: float | None = None
    latency_ratio: float | None = None

    @classmethod
    def failed(cls, reason: str) -> Self:
        """It did not answer as it must."""
        return cls(ok=False, reason=reason)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))
