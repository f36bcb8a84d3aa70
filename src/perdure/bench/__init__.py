"""Comparing methods: one run in a few lines, or a grid of method, scenario and seed.

A configuration is a function that returns an `Experiment`; what it describes is run by `run`:

    result = run(Experiment(data="digits", scenario="class", method="er", seed=0))
    print(result.matrix, result.cost)

A grid is run by `run_grid`, which resumes, and told by `lines`, `to_json` and `write_report`.
"""

from perdure.bench.experiment import Experiment
from perdure.bench.grids import finished, grid, pending, run_grid
from perdure.bench.report import write_report
from perdure.bench.result import NoResult, Record, Result
from perdure.bench.results import Results
from perdure.bench.running import evaluate, run
from perdure.bench.table import lines, tables, to_json
from perdure.bench.tuning import tune, tuned

__all__ = [
    "Experiment",
    "NoResult",
    "Record",
    "Result",
    "Results",
    "evaluate",
    "finished",
    "grid",
    "lines",
    "pending",
    "run",
    "run_grid",
    "tables",
    "to_json",
    "tune",
    "tuned",
    "write_report",
]
