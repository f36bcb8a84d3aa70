"""Every method in every scenario on Split Fashion-MNIST, at an equal budget, over five seeds.

    python benchmarks/methods.py                      # what is missing; hours on two cores
    python benchmarks/methods.py --methods slda,er --seeds 1

Five tasks of two classes, all 60,000 rows once, batches of 64; MLP 784-256-256, Adam at 1e-3;
order of classes, rows and weights by the seed. Methods with a memory keep 500 rows. Settings are
those of `perdure.bench.presets`, none of them chosen on test rows. Closed-form methods read the
pixels themselves, or what their own random projection makes of them.

Runs are kept in benchmarks/results/methods, and are not repeated; the summary is methods.json,
which the cards in docs/methods are made from.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import track

from perdure.bench import Experiment, finished, lines, pending, run_grid
from perdure.bench.grids import grid
from perdure.bench.presets import PRESETS
from perdure.bench.running import environment
from perdure.bench.table import in_order
from perdure.folding import Schedule

HERE = Path(__file__).parent
BASE = Experiment("fashion-mnist", schedule=Schedule(batch_size=64, epochs=1))
SCENARIOS = ("task", "domain", "class")


def main(
    methods: str = typer.Option("", help="names, separated by commas; all by default"),
    seeds: int = typer.Option(5, help="runs of each"),
    folder: Path = typer.Option(HERE / "results" / "methods", help="where runs are kept"),  # noqa: B008
    workers: int = typer.Option(2, help="processes at a time"),
) -> None:
    """Run what is missing, and summarise all that is there."""
    names = methods.split(",") if methods else list(PRESETS)
    wanted = grid(BASE, names, SCENARIOS, range(seeds))
    # One seed of everything first: a table with every method is worth more than a few in full.
    wanted.sort(key=lambda experiment: experiment.seed)
    left = len(pending(wanted, folder))
    for _ in track(run_grid(wanted, folder, workers), f"{left} runs", left, console=Console()):
        pass
    every = grid(BASE, list(PRESETS), SCENARIOS, range(seeds))
    held = in_order(finished(every, folder))
    summary = {
        "commit": _commit(),
        "environment": environment(),
        "protocol": " ".join((__doc__ or "").split("\n\n")[2].split()),
        "lines": [
            {
                "method": line.method,
                "scenario": line.scenario,
                "seeds": len(line.results),
                "reason": line.reason,
                "measures": {
                    name: None if found is None else {"mean": found.mean, "std": found.std}
                    for name, found in line.summaries.items()
                },
            }
            for line in lines(held)
        ],
    }
    (folder.parent / "methods.json").write_text(json.dumps(summary, indent=1) + "\n")


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
