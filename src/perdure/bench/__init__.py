"""Comparing methods: one run in a few lines, or a grid of method, scenario and seed."""

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
