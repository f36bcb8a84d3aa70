"""What the gate says of a challenger, with every number and reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from rich.console import Group
from rich.table import Table
from rich.text import Text

Word = Literal["promote", "refuse", "not enough evidence"]
Outcome = Literal["pass", "refuse", "undecided", "vacuous"]


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Args:
        rule: its name: "accuracy", "past", "span", "slice", "gain", "forgetting", "negative flips",
            "floor", "anchor", "step", "latency", "infrastructure".
        name: what it looked at: a span's or slice's name, or "" for the whole.
        outcome: "pass"; "refuse", on evidence; "undecided", for want of it; "vacuous", where there
            were too few rows to say anything, or nothing to compare with.
        reason: a sentence.
        blocks: whether this outcome alone keeps the challenger from serving.
        rows: that were looked at; None where the rule looks at none.
        value: what was found: an accuracy difference, share or ratio.
        low, high: its interval.
        limit: what it was held against.
        p: adjusted p-value of the limit being kept; a small one refuses.
        lost, gained: rows that went from right to wrong, and from wrong to right.
    """

    rule: str
    name: str
    outcome: Outcome
    reason: str
    blocks: bool = False
    rows: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    p: float | None = None
    lost: int | None = None
    gained: int | None = None


@dataclass(frozen=True)
class Verdict:
    """May the challenger serve? `str` and rich print it for people, `to_dict` for machines.

    Args:
        word: "promote", "refuse" or "not enough evidence".
        version: the challenger's.
        champion: the version it was held against; None: it was rubber-stamped.
        reasons: sentences, the weightiest first.
        findings: one a rule, span and slice.
        rows: held-out rows that both answered, without the anchor.
        effect: how many rows are worth one independent row: see `clusters`.
        accuracy: the challenger's on these rows.
        champion_accuracy: the champion's.
        error: the chance of promoting a model that is worse by more than the margin.
        attempt: which look at this champion's challengers this was, from 1.
        looks: how many looks it took, repairs included: the next attempt comes after them.
        share: of the challenger in the weights, where it was moved towards the champion; or None.
        data: identifies the held-out rows.
    """

    word: Word
    version: int
    champion: int | None
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    rows: int
    effect: float
    accuracy: float | None
    champion_accuracy: float | None
    error: float
    attempt: int
    looks: int
    share: float | None
    data: str

    @property
    def rubber_stamped(self) -> bool:
        """Whether there was no champion to compare with."""
        return self.champion is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "rubber_stamped": self.rubber_stamped}

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Self:
        """The verdict that `to_dict` was called on."""
        fields = {name: value for name, value in held.items() if name != "rubber_stamped"}
        findings = tuple(Finding(**one) for one in held["findings"])
        return cls(**{**fields, "findings": findings, "reasons": tuple(held["reasons"])})

    @property
    def summary(self) -> str:
        """The verdict and its weightiest reason, for a line in a log."""
        return f"{self.word}: {self.reasons[0]}"

    def title(self) -> str:
        """The verdict and what it compared, in one line."""
        against = "no champion" if self.champion is None else f"champion {self.champion}"
        numbers = f"{shown(self.champion_accuracy)} -> {shown(self.accuracy)}"
        return (
            f"{self.word}: version {self.version} against {against}, {self.rows} rows, "
            f"accuracy {shown(self.accuracy) if self.champion is None else numbers}"
        )

    def __str__(self) -> str:
        """Title, reasons and the table of rules, in plain text."""
        lines = [_HEADS, *(_cells(one) for one in self.findings)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        reasons = [f"- {reason}" for reason in self.reasons]
        return "\n".join([self.title(), *reasons, "", *table])

    def __rich__(self) -> Group:
        """The same in colour."""
        table = Table(*_HEADS, box=None, pad_edge=False)
        for one in self.findings:
            table.add_row(*map(Text, _cells(one)), style=_COLOURS[one.outcome])
        title = Text(self.title(), style="bold")
        return Group(title, *(Text(f"- {reason}") for reason in self.reasons), Text(), table)


_HEADS = ("rule", "of", "outcome", "rows", "lost", "gained", "value", "interval", "limit")
_COLOURS = {"pass": "", "refuse": "red", "undecided": "yellow", "vacuous": "dim"}


def shown(value: float | None) -> str:
    """A share as percent."""
    return "not measured" if value is None else f"{value:.1%}"


def _cells(one: Finding) -> tuple[str, ...]:
    interval = "" if one.low is None or one.high is None else f"[{one.low:+.3f}, {one.high:+.3f}]"
    counts = ["" if count is None else str(count) for count in (one.rows, one.lost, one.gained)]
    numbers = ["" if number is None else f"{number:+.3f}" for number in (one.value, one.limit)]
    return (one.rule, one.name, one.outcome, *counts, numbers[0], interval, numbers[1])
