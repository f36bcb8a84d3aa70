"""What learning cost: arithmetic, time, rows, memory and parameters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What learning cost; `a + b` is the cost of one after the other, and `Cost()` of nothing.

    Amounts add up. What is held at once (peak memory, state, parameters) takes the larger.

    Attributes:
        flops: floating-point operations, a multiplication and an addition counting as two.
        flops_counted: those of them that were counted; the others are extrapolated.
        seconds: of wall-clock time.
        cpu_seconds: of the process's CPU time, all threads together.
        rows: rows that updates were given, recalled ones included, and rows read at consolidations.
        updates: of the learner: a step of its optimiser, or what a method in closed form does in
            its place. Steps of an optimiser that a method has of its own, such as a generator's,
            are not among them; their FLOPs are.
        peak_memory_bytes: see `Meter`; None where it was not measured.
        state_bytes: tensors in the state of the methods.
        parameters: of the model, frozen ones included.
    """

    flops: int = 0
    flops_counted: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    rows: int = 0
    updates: int = 0
    peak_memory_bytes: int | None = None
    state_bytes: int = 0
    parameters: int = 0

    @property
    def counted_share(self) -> float | None:
        """The share of `flops` that was counted, not extrapolated; None where there are none."""
        return self.flops_counted / self.flops if self.flops else None

    def __add__(self, other: Cost) -> Cost:
        both = (self.peak_memory_bytes, other.peak_memory_bytes)
        peaks = [peak for peak in both if peak is not None]
        return Cost(
            self.flops + other.flops,
            self.flops_counted + other.flops_counted,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.rows + other.rows,
            self.updates + other.updates,
            max(peaks, default=None),
            max(self.state_bytes, other.state_bytes),
            max(self.parameters, other.parameters),
        )

    def __str__(self) -> str:
        """One line, with the share of the FLOPs that was counted."""
        share = self.counted_share
        mark = "" if share is None else f" ({share:.1%} counted)"
        peak = self.peak_memory_bytes
        held = "not measured" if peak is None else f"{peak / 2**20:.0f} MiB"
        return (
            f"{self.flops:.4g} FLOPs{mark}, {self.seconds:.2f} s ({self.cpu_seconds:.2f} s CPU), "
            f"{self.rows:,} rows, {self.updates:,} updates, {self.parameters:,} parameters, "
            f"{self.state_bytes:,} bytes of state, peak memory {held}"
        )
