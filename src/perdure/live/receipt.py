"""What was erased, what remains, and the proof that this directory said so."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

State = Literal["dry run", "pending", "done"]
Rebuild = Literal["none", "exact", "scheduled"]

REMAINS = (
    "weights and optimiser state of versions {tainted} still are what the subject's rows made them",
    "counts that the rows took part in: accuracies, verdicts, costs and drifts",
    "names of classes and sources, copies made by `perdure export`, and backups",
)


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Args:
        state: "pending" until every byte is gone; "dry run" where nothing was done.
        subject: an HMAC of the name: who knows the name can find the receipt, nobody else.
        actor: who asked.
        at: seconds since the epoch.
        finished: the same, when it was done; while it is pending, when it was last tried.
        rows: of the log, unlabelled ones and predictions included.
        held_out: rows of the held-out memory.
        first: the seq at which the subject could first be learnt; None where it never was.
        learnt: version -> rows of the subject that it learnt itself, as far as the log still knew.
        tainted: versions that learnt from the subject, themselves or by what they came from.
        redacted: versions whose memories held rows of the subject, and were rewritten without.
        removed: versions whose memories could not be opened: their files are gone as a whole.
        rebuild: what was asked for.
        job: of the exact rebuild.
        key: what stands for the subject in memories; None once it is done.
        problem: why it is still pending.
        signature: HMAC-SHA256 of all the rest under the directory's secret.
    """

    state: State
    subject: str
    actor: str
    at: float
    rows: int
    held_out: int
    first: int | None
    learnt: dict[str, int]
    tainted: tuple[int, ...]
    rebuild: Rebuild
    redacted: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    finished: float | None = None
    job: int | None = None
    key: int | None = None
    problem: str | None = None
    signature: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `text` wrote."""
        held = json.loads(text)
        for name in ("tainted", "redacted", "removed"):
            held[name] = tuple(held[name])
        return cls(**{name: value for name, value in held.items() if name != "remains"})

    @property
    def remains(self) -> list[str]:
        """What of the subject is not erased, sentence by sentence."""
        first = [] if not self.tainted else [REMAINS[0].format(tainted=_listed(self.tainted))]
        return [*first, *REMAINS[1:]]

    def signed(self, secret: str) -> Self:
        """The same with its signature."""
        return replace(self, signature=self._signature(secret))

    def is_signed(self, secret: str) -> bool:
        """Whether this directory wrote it, as it is."""
        return hmac.compare_digest(self.signature, self._signature(secret))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "remains": self.remains}

    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        """For people, a line each."""
        said = [
            f"{self.state}: subject {self.subject[:16]}, erased by {self.actor} {_when(self.at)}",
            f"  {self.rows} rows of the log and {self.held_out} held-out rows",
            f"  rewritten without them: versions {_listed(self.redacted)}",
            f"  marked, since they learnt from them: versions {_listed(self.tainted)}",
        ]
        said += [f"  removed: versions {_listed(self.removed)}"] if self.removed else []
        said += [f"  rebuild: job {self.job}"] if self.job else []
        said += [f"  still to do: {self.problem}"] if self.problem else []
        said += [f"  remains: {sentence}" for sentence in self.remains]
        return "\n".join([*said, f"  signature: {self.signature or 'none yet'}"])

    def _signature(self, secret: str) -> str:
        said = json.dumps(self.to_dict() | {"signature": ""}, sort_keys=True)
        return hmac.new(bytes.fromhex(secret), said.encode(), hashlib.sha256).hexdigest()


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
