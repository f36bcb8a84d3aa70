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
from pathlib import Path
from typing import Any

from commit import commit
from options import options
from rich.console import Console
from rich.progress import track

from perdure.bench import Experiment, Record, finished, lines, pending, run_grid
from perdure.bench.grids import grid
from perdure.bench.presets import PRESETS
from perdure.bench.running import environment
from perdure.bench.table import in_order
from perdure.folding import Schedule

HERE = Path(__file__).parent
BASE = Experiment("fashion-mnist", schedule=Schedule(batch_size=64, epochs=1))
SLOW = ("l2p", "prompts")
SCENARIOS = ("task", "domain", "class")


def main() -> None:
    """Run what is missing, and summarise all that is there."""
    parser = options(__doc__)
    parser.add_argument("--methods", default="", help="names, separated by commas; all")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each; %(default)s")
    results = HERE / "results" / "methods"
    parser.add_argument("--folder", type=Path, default=results, help="where runs are kept")
    parser.add_argument("--workers", type=int, default=2, help="processes; %(default)s")
    parser.add_argument("--summary", action="store_true", help="only summarise what is there")
    said = parser.parse_args()
    methods, seeds, folder, workers = said.methods, said.seeds, said.folder, said.workers
    if not said.summary:
        names = methods.split(",") if methods else list(PRESETS)
        wanted = grid(BASE, names, SCENARIOS, range(seeds))
        # One seed of everything first: a table with every method is worth more than a few in full.
        # The transformers, whose runs take ten times as long, come last.
        wanted.sort(key=lambda experiment: (experiment.method in SLOW, experiment.seed))
        left = len(pending(wanted, folder))
        for _ in track(run_grid(wanted, folder, workers), f"{left} runs", left, console=Console()):
            pass
    held = in_order(finished(grid(BASE, list(PRESETS), SCENARIOS, range(seeds)), folder))
    text = json.dumps(_summary(held), indent=1)
    (folder.parent / "methods.json").write_text(text + "\n", encoding="utf-8")


def _summary(records: list[Record]) -> dict[str, Any]:
    found = [line for line in lines(records) if line.results or "refused" in line.reason]
    return {
        "commit": commit(),
        "environment": environment(),
        "protocol": " ".join((__doc__ or "").split("\n\n")[2].split()),
        "lines": [
            {
                "method": line.method,
                "scenario": line.scenario,
                "seeds": len(line.results),
                "reason": line.reason,
                "measures": {
                    name: None if one is None else {"mean": one.mean, "std": one.std}
                    for name, one in line.summaries.items()
                },
            }
            for line in found
        ],
    }


if __name__ == "__main__":
    main()
