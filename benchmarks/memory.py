"""Random reads from each storage beside one file a row, written and read with torch by hand.

Draws of 64 images of 784 bytes out of 5,000. Rounds alternate between all sides, so that a busy
machine troubles them alike; a number is the median over rounds. One thread, files in the page
cache.

    python benchmarks/memory.py           # seconds
    python benchmarks/memory.py --write   # and keep the numbers in benchmarks/results/memory.json
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from options import options
from rich.console import Console
from rich.table import Table
from torch import Tensor

from perdure import Batch
from perdure.memory import DatabaseStorage, MappedStorage, RamStorage, Storage

RESULTS = Path(__file__).parent / "results" / "memory.json"
ROWS, SIZE, DRAWS, ROUNDS = 5000, 64, 10, 15
BY_HAND = "torch.save, a file a row"
Read = Callable[[Tensor], object]


def stored(storage: Storage, batch: Batch) -> Read:
    """One of ours, filled."""
    every = torch.arange(len(batch))
    for rows in every.split(1000):
        storage.write(rows, batch, rows)
    return storage.read


def by_hand(folder: Path, batch: Batch) -> Read:
    """What is written first where rows must not stay in RAM: a file each, and a stack of them."""
    folder.mkdir()
    for number in range(len(batch)):
        torch.save((batch.x[number].clone(), batch.y[number].clone()), folder / f"{number}.pt")

    def read(rows: Tensor) -> object:
        held = [torch.load(folder / f"{number}.pt") for number in rows.tolist()]
        return torch.stack([x for x, _ in held]), torch.stack([y for _, y in held])

    return read


def seconds(read: Read, draws: list[Tensor]) -> float:
    """Of reading every draw."""
    start = time.perf_counter()
    for rows in draws:
        read(rows)
    return time.perf_counter() - start


def measure(folder: Path) -> dict[str, float]:
    """Rows a second, by storage."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (ROWS, 784), dtype=torch.uint8, generator=generator)
    batch = Batch(x, torch.arange(ROWS))
    sides = {
        "RAM": stored(RamStorage(ROWS), batch),
        "memory-mapped files": stored(MappedStorage(ROWS, folder / "mapped"), batch),
        "SQLite": stored(DatabaseStorage(ROWS, folder / "memory.db"), batch),
        BY_HAND: by_hand(folder / "files", batch),
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        draws = [torch.randint(ROWS, (SIZE,), generator=generator) for _ in range(DRAWS)]
        for name, read in sides.items():
            spent[name].append(seconds(read, draws))
    return {name: SIZE * DRAWS / median(times) for name, times in spent.items()}


def main() -> None:
    """Measure, print a table, and keep the numbers where asked to."""
    parser = options(__doc__)
    parser.add_argument("--write", action="store_true", help="keep the numbers")
    said = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rates = measure(Path(folder))
    table = Table("storage", "rows a second", "times a file a row")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates[BY_HAND]:,.1f}")
    Console().print(table)
    if said.write:
        kept = {
            "machine": {"processor": platform.machine(), "torch": torch.__version__},
            "rows a second": {name: round(rate) for name, rate in rates.items()},
            "times a file a row": {n: round(r / rates[BY_HAND], 1) for n, r in rates.items()},
        }
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
