"""Drift detectors beside one that always gives the alarm and one that never does.

Each stream is steady, then changes once. False alarms are those before the change; a change is
found if an alarm follows within the rows after it; F1 is that of all alarms, of which one a change
is right. Without the two dummies a number says little: on streams with many small changes the one
that always fires has a better F1 than most detectors.

    python benchmarks/drift.py              # minutes
    python benchmarks/drift.py --seeds 2
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from options import options

from perdure.live.drift import ErrorDetector, FeatureDrift

STEADY, CHANGED, COLUMNS = 10_000, 3_000, 16
ERT, LONG = 20_000, 50_000

Rows = NDArray[np.float64]
Detector = Callable[[Rows], Sequence[int]]


def errors(rng: np.random.Generator, after: float) -> Rows:
    """A tenth of the answers is wrong, then another share."""
    return np.concatenate((rng.random(STEADY) < 0.1, rng.random(CHANGED) < after)).astype(float)


def features(rng: np.random.Generator, shift: float = 0.0, scale: float = 1.0) -> Rows:
    """Normal features, of which a quarter shifts, or all of which widen."""
    rows = rng.standard_normal((STEADY + CHANGED, COLUMNS))
    rows[STEADY:] *= scale
    rows[STEADY:, : COLUMNS // 4] += shift
    return rows


def error_alarms(name: str) -> Detector:
    """Rises alone, as the watch counts them."""

    def alarms(rows: Rows) -> list[int]:
        detector, found = ErrorDetector(name), []
        for index, wrong in enumerate(rows):
            change = detector.update(bool(wrong))
            if change is not None and change.rose:
                found.append(index)
        return found

    return alarms


def feature_alarms(rows: Rows) -> list[int]:
    detector = FeatureDrift(ert=ERT)
    return [alarm.row for alarm in detector.update(torch.from_numpy(rows))]


def always(rows: Rows) -> Sequence[int]:
    return range(len(rows))


def never(rows: Rows) -> Sequence[int]:
    return ()


def line(name: str, detector: Detector, streams: Sequence[Rows]) -> str:
    """One row of the table."""
    false, right, delays = 0, 0, []
    total = 0
    for rows in streams:
        alarms = list(detector(rows))
        total += len(alarms)
        false += sum(alarm < STEADY for alarm in alarms)
        after = [alarm - STEADY for alarm in alarms if alarm >= STEADY]
        right += bool(after)
        delays += after[:1]
    rate = false / (STEADY * len(streams) / 10_000)
    f1 = 2 * right / (total + len(streams))
    delay = f"{median(delays):.0f}" if delays else "-"
    found = f"{right}/{len(streams)}"
    return f"| {name} | {rate:.2f} | {found} | {delay} | {f1:.3f} |"


def steady(rng: np.random.Generator, memory: float) -> Rows:
    """Normal features of which each row resembles the one before it by so much."""
    rows = rng.standard_normal((LONG, COLUMNS))
    for index in range(1, LONG):
        rows[index] = memory * rows[index - 1] + np.sqrt(1 - memory**2) * rows[index]
    return rows


def run_times(seeds: Sequence[int]) -> None:
    """How many steady rows there are to a false alarm, against how many were asked for."""
    print(f"\nfeatures, {len(seeds)} steady streams of {LONG} rows, asked for: {ERT} rows\n")
    print("| resemblance of neighbours | rows to a false alarm |\n|---|---|")
    for memory in (0.0, 0.5, 0.9):
        alarms = sum(len(feature_alarms(steady(np.random.default_rng(s), memory))) for s in seeds)
        print(f"| {memory} | {LONG * len(seeds) / max(1, alarms):.0f} |", flush=True)


def main() -> None:
    """A table for each kind of change, and one of run times."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="streams of each kind; %(default)s")
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    dummies: dict[str, Detector] = {"always": always, "never": never}
    of_errors = {name: error_alarms(name) for name in ("adwin", "page-hinkley")}
    cases: dict[str, tuple[dict[str, Detector], Callable[[np.random.Generator], Rows]]] = {
        "errors, 10% to 20%": (of_errors, lambda rng: errors(rng, 0.2)),
        "errors, 10% to 40%": (of_errors, lambda rng: errors(rng, 0.4)),
        "features, a quarter of them shifts by half a deviation": (
            {"features": feature_alarms},
            lambda rng: features(rng, shift=0.5),
        ),
        "features, all widen by a half": (
            {"features": feature_alarms},
            lambda rng: features(rng, scale=1.5),
        ),
    }
    print(f"{len(seeds)} streams of {STEADY} steady rows and {CHANGED} changed ones, ERT {ERT}")
    for title, (detectors, stream) in cases.items():
        streams = [stream(np.random.default_rng(seed)) for seed in seeds]
        print(f"\n{title}\n")
        print("| detector | false alarms per 10,000 rows | found | median delay, rows | F1 |")
        print("|---|---|---|---|---|")
        for name, detector in {**detectors, **dummies}.items():
            print(line(name, detector, streams), flush=True)
    run_times(seeds)


if __name__ == "__main__":
    main()
