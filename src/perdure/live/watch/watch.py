"""The watch: a fold over answers and their outcomes that tells when something has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor

from perdure.errors import InvalidValue, check_range
from perdure.live.drift import ErrorDetector, FeatureDrift
from perdure.live.shift import ScenarioShift
from perdure.live.watch.scores import Scores


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer and the label that came for it.

    Attributes:
        seq: of the example.
        version: that answered.
        predicted, label: numbers of classes; predicted is -1 where it could not answer.
        confidence: in [0, 1].
        served: whether somebody was given this answer; else it was made up for the watch.
        at: seconds since the epoch, when the label came.
        task, source: of the row.
    """

    seq: int
    version: int
    predicted: int
    label: int
    confidence: float
    served: bool
    at: float
    task: int | None = None
    source: str | None = None

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices that it is scored in."""
        task = () if self.task is None else (f"task:{self.task}",)
        source = () if self.source is None else (f"source:{self.source}",)
        return (f"class:{self.label}", *task, *source)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A row that came in, whether or not it has a label.

    Attributes:
        position: in the log.
        at: seconds since the epoch, when it came.
        version: that answered it; None where nobody asked.
        confidence: of that answer.
        task: whether it came with a task id.
    """

    position: int
    at: float
    version: int | None = None
    confidence: float | None = None
    task: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """Something changed.

    Attributes:
        detector: "adwin" or "page-hinkley" on errors, "features" on inputs, "scenario" on task ids.
        seq: the example at which it was found; for rows without labels, the last one scored.
        at: seconds since the epoch, when it was found.
        detail: plain values for people.
    """

    detector: str
    seq: int
    at: float
    detail: dict[str, Any]


class Watch:
    """Scores outcomes in the order of their labels and rows in the order of their arrival.

    The errors are those of what was answered, whichever version answered it. Fewer errors are no
    drift, but a new normal. One change gives one alarm: whichever detector sees it first, all
    detectors of errors start anew. How outcomes and rows are batched changes nothing.

    Args:
        window: rows of each windowed accuracy.
        decay: in (0, 1], of each fading accuracy.
        versions: that have scores, at least 1: those that answered last.
        slices: of each version that are scored apart.
        errors: detectors on the errors; ADWIN and Page-Hinkley by default.
        features: detector on the inputs.
        shift: watches for task ids; None where rows have none.
    """

    def __init__(
        self,
        window: int = 1000,
        decay: float = 0.999,
        versions: int = 4,
        slices: int = 64,
        errors: Sequence[ErrorDetector] | None = None,
        features: FeatureDrift | None = None,
        shift: ScenarioShift | None = None,
    ) -> None:
        check_range("Watch", "versions", versions, 1, float("inf"))
        self.window, self.decay = window, decay
        self.versions, self.slices = versions, slices
        self.scores: dict[int, Scores] = {}
        self.errors = (
            (ErrorDetector("adwin"), ErrorDetector("page-hinkley"))
            if errors is None
            else tuple(errors)
        )
        self.features = features or FeatureDrift()
        self.encoder: int | None = None
        self.shift = shift

    def observe(self, outcomes: Sequence[Outcome]) -> list[Drift]:
        """Score outcomes in the order of `seq`; the drifts that they show."""
        for version, run in groupby(outcomes, lambda outcome: outcome.version):
            mine = list(run)
            self._scores_of(version).observe(
                [one.predicted == one.label for one in mine],
                [one.confidence for one in mine],
                [one.slices for one in mine],
            )
        found = [self._detect(outcome) for outcome in outcomes]
        return [drift for drift in found if drift is not None]

    def see(self, rows: Sequence[Sighting], features: Tensor, seq: int = 0) -> list[Drift]:
        """Take rows in the order of their arrival; the drifts that show without labels.

        Args:
            rows: n.
            features: (n, ...), of the version `encoder`; rows where they are not finite are passed
                over.
            seq: of the last example that was scored.

        Raises:
            InvalidValue: there are not as many features as rows.
        """
        if len(rows) != len(features):
            raise InvalidValue(f"{len(rows)} rows need as many features; got {len(features)}")
        found = [self._shifted(row, seq) for row in rows if row.version is not None]
        for row in rows:
            if row.version is not None and row.confidence is not None:
                self._scores_of(row.version).expected.observe(row.confidence)
        finite = features.flatten(1).isfinite().all(1)  # a row may be too large for a model
        fit = [row for row, held in zip(rows, finite.tolist(), strict=True) if held]
        for alarm in self.features.update(features[finite]):
            row = fit[alarm.row]
            detail = {
                "position": row.position,
                "statistic": alarm.statistic,
                "threshold": alarm.threshold,
                "window": self.features.window,
            }
            found.append(Drift("features", seq, row.at, detail))
        return [drift for drift in found if drift is not None]

    def encode_by(self, version: int) -> None:
        """Say which version the features come from, 0 for the inputs as they are.

        Features of another one are not to be compared: the reference begins anew.
        """
        if version != self.encoder:
            self.encoder = version
            self.features.restart()

    def state_dict(self) -> dict[str, Any]:
        """The state of every score and detector, as tensors and plain values."""
        return {
            "scores": {str(version): held.state_dict() for version, held in self.scores.items()},
            "errors": [detector.state_dict() for detector in self.errors],
            "features": self.features.state_dict(),
            "encoder": self.encoder,
            "shift": None if self.shift is None else self.shift.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, bit for bit.

        Raises:
            CheckpointMismatch: a part has other settings.
        """
        for detector, held in zip(self.errors, state["errors"], strict=True):
            detector.load_state_dict(held)
        self.features.load_state_dict(state["features"])
        self.encoder = state["encoder"]
        if self.shift is not None and state["shift"] is not None:
            self.shift.load_state_dict(state["shift"])
        self.scores = {}
        for version, held in state["scores"].items():
            self._scores_of(int(version)).load_state_dict(held)

    def _scores_of(self, version: int) -> Scores:
        """A version's scores, which are now the last to go."""
        held = self.scores.pop(version, None) or Scores(self.window, self.decay, self.slices)
        self.scores[version] = held
        while len(self.scores) > self.versions:
            del self.scores[next(iter(self.scores))]
        return held

    def _detect(self, outcome: Outcome) -> Drift | None:
        wrong = outcome.predicted != outcome.label
        changes = [(detector.name, detector.update(wrong)) for detector in self.errors]
        name, change = next(((n, c) for n, c in changes if c is not None), ("", None))
        if change is None:
            return None
        for detector in self.errors:
            detector.restart()
        if not change.rose:
            return None
        detail = {
            "error_before": change.before,
            "error_since": change.after,
            "rows_since": change.rows,
            "version": outcome.version,
        }
        return Drift(name, outcome.seq, outcome.at, detail)

    def _shifted(self, row: Sighting, seq: int) -> Drift | None:
        if self.shift is None or not self.shift.observe(row.task):
            return None
        detail = {"without_task": self.shift.share(), "requests": self.shift.rows}
        return Drift("scenario", seq, row.at, detail)
