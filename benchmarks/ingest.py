"""Durable ingest: rows whose futures are waited for together, one by one, and a loop by hand.

A row is 784 bytes with a label. `Log.append` of a row resolves when it is on the disk; with many
callers in flight a commit, and its fsync, is shared by all who wait. By hand is a loop over sqlite3
as one writes it first: a table with a blob, WAL, synchronous=FULL, a commit a row. Rounds alternate
between all sides, so that a busy machine troubles them alike; a number is the median over rounds,
a ratio the median of the rounds' ratios.

    python benchmarks/ingest.py             # in the system's temporary folder
    python benchmarks/ingest.py /mnt/disk   # in a folder on the disk to measure
    python benchmarks/ingest.py --write     # and keep the numbers in benchmarks/results/ingest.json
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from options import options
from rich.console import Console
from rich.table import Table

from perdure.live.project import Project
from perdure.live.rows import Row

RESULTS = Path(__file__).parent / "results" / "ingest.json"
ROUNDS, SECONDS, FLIGHT, REQUEST = 7, 0.6, 256, 100
SETTINGS = """
name = "ingest"
[schema]
kind = "tensor"
dtype = "uint8"
shape = [784]
classes = ["a", "b"]
[learner]
methods = []
"""
X = np.random.default_rng(0).integers(0, 256, 784, dtype=np.uint8)
BY_HAND, ALONE = "by hand, a commit a row", "one row at a time"
Side = Callable[[float], int]


class Ours:
    """A log, and rows that nobody sent before."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "perdure.toml").write_text(SETTINGS)
        self.project = Project(folder)
        self.sent = 0

    def rows(self, count: int) -> list[Row]:
        self.sent += count
        return [Row(f"row-{n}", X, "ab"[n % 2]) for n in range(self.sent - count, self.sent)]

    def alone(self, until: float) -> int:
        first = self.sent
        while time.perf_counter() < until:
            self.project.log.append(self.rows(1)).result()
        return self.sent - first

    def in_flight(self, until: float) -> int:
        """As many callers as FLIGHT, each of whom waits for its own row."""
        first, waiting = self.sent, deque()
        while time.perf_counter() < until:
            waiting.append(self.project.log.append(self.rows(1)))
            if len(waiting) == FLIGHT:
                waiting.popleft().result()
        for future in waiting:
            future.result()
        return self.sent - first

    def requests(self, until: float) -> int:
        """One caller, many rows a request."""
        first = self.sent
        while time.perf_counter() < until:
            self.project.log.append(self.rows(REQUEST)).result()
        return self.sent - first


class ByHand:
    """What is written first."""

    def __init__(self, folder: Path) -> None:
        self.connection = sqlite3.connect(folder / "hand.db")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, label TEXT, x BLOB)")
        self.sent = 0

    def run(self, until: float) -> int:
        first = self.sent
        while time.perf_counter() < until:
            row = (f"row-{self.sent}", "ab"[self.sent % 2], X.tobytes())
            self.connection.execute("INSERT INTO rows VALUES (?, ?, ?)", row)
            self.connection.commit()
            self.sent += 1
        return self.sent - first


def fsync_seconds(folder: Path, times: int = 50) -> float:
    """What the disk takes to say that 4 KiB are on it: the median."""
    spent = []
    descriptor = os.open(folder / "probe", os.O_RDWR | os.O_CREAT)
    for _ in range(times):
        os.write(descriptor, bytes(4096))
        start = time.perf_counter()
        os.fsync(descriptor)
        spent.append(time.perf_counter() - start)
    os.close(descriptor)
    return median(spent)


def measure(folder: Path) -> dict[str, list[float]]:
    """Rows a second, by side and round."""
    ours, hand = Ours(folder / "ours"), ByHand(folder)
    sides: dict[str, Side] = {
        BY_HAND: hand.run,
        ALONE: ours.alone,
        f"{FLIGHT} rows in flight": ours.in_flight,
        f"{REQUEST} rows a request": ours.requests,
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.perf_counter()
            count = side(start + SECONDS)
            rates[name].append(count / (time.perf_counter() - start))
    stored = ours.project.database.value("SELECT count(*) FROM rows")
    assert stored == ours.sent, (stored, ours.sent)
    ours.project.close()
    hand.connection.close()
    return rates


def ratio(rates: dict[str, list[float]], name: str, to: str) -> float:
    """Of two sides, as the median over rounds."""
    return median(a / b for a, b in zip(rates[name], rates[to], strict=True))


def main() -> None:
    """Measure, print a table, and keep the numbers where asked to."""
    parser = options(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="on the disk to measure")
    parser.add_argument("--write", action="store_true", help="keep the numbers")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=said.folder) as name:
        sync = fsync_seconds(Path(name))
        rates = measure(Path(name))
    table = Table("durable ingest", "rows a second", "x one at a time", "x by hand")
    for side, held in rates.items():
        against = [f"{ratio(rates, side, other):.1f}" for other in (ALONE, BY_HAND)]
        table.add_row(side, f"{median(held):,.0f}", *against)
    Console().print(table, f"an fsync of 4 KiB takes {1e3 * sync:.2f} ms here", sep="\n")
    if said.write:
        kept = {
            "machine": {"processor": platform.machine(), "sqlite": sqlite3.sqlite_version},
            "fsync ms": round(1e3 * sync, 3),
            "rows a second": {side: round(median(held)) for side, held in rates.items()},
            "times one at a time": {s: round(ratio(rates, s, ALONE), 2) for s in rates},
            "times by hand": {s: round(ratio(rates, s, BY_HAND), 2) for s in rates},
        }
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
