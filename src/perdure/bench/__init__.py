"""Comparing methods: one run in a few lines, or a grid of method, scenario and seed.

A configuration is a function that returns an `Experiment`; what it describes is run by `run`:

    result = run(Experiment(data="digits", scenario="class", method="er", seed=0))
    print(result.matrix, result.cost)

A grid is run by `run_grid`, which resumes, and told by `lines`, `to_json` and `write_report`.
A long stream is lived through by `life`, and told by `write_life_cycles`.
"""

from perdure.bench.experiment import Experiment
from perdure.bench.grids import finished, grid, pending, run_grid
from perdure.bench.lifecycle import life, live_through
from perdure.bench.report import write_report
from perdure.bench.report.lifecycle import write_life_cycles
from perdure.bench.result import NoResult, Record, Result
from perdure.bench.results import Results
from perdure.bench.running import evaluate, run
from perdure.bench.table import lines, tables, to_json
from perdure.bench.tuning import read_choices, tuned, write_choices

__all__ = [
    "Experiment",
    "NoResult",
    "Record",
    "Result",
    "Results",
    "evaluate",
    "finished",
    "grid",
    "life",
    "lines",
    "live_through",
    "pending",
    "read_choices",
    "run",
    "run_grid",
    "tables",
    "to_json",
    "tuned",
    "write_choices",
    "write_life_cycles",
    "write_report",
]
