"""Functions of results: accuracy, transfer, forgetting, cost, calibration, plasticity."""

from perdure.measure import flops  # torch's counter learns of decompositions
from perdure.measure.calibration import (
    ReliabilityBin,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)
from perdure.measure.comparison import (
    Difference,
    Savings,
    Summary,
    paired_difference,
    savings,
    summarise,
)
from perdure.measure.cost import Cost
from perdure.measure.diagnostics import (
    Share,
    dormant_share,
    effective_rank,
    pinned_share,
    stable_rank,
)
from perdure.measure.flips import Flips, count_flips
from perdure.measure.lifecycle import (
    LifeCycle,
    LifeCycleSavings,
    Moment,
    Saved,
    life_cycle_savings,
)
from perdure.measure.matrix import AccuracyMatrix
from perdure.measure.meter import Meter, peak_memory_bytes
from perdure.measure.prequential import Prequential, SlicedPrequential

__all__ = [
    "AccuracyMatrix",
    "Cost",
    "Difference",
    "Flips",
    "LifeCycle",
    "LifeCycleSavings",
    "Meter",
    "Moment",
    "Prequential",
    "ReliabilityBin",
    "Saved",
    "Savings",
    "Share",
    "SlicedPrequential",
    "Summary",
    "brier_score",
    "count_flips",
    "dormant_share",
    "effective_rank",
    "expected_calibration_error",
    "flops",
    "life_cycle_savings",
    "negative_log_likelihood",
    "paired_difference",
    "peak_memory_bytes",
    "pinned_share",
    "reliability",
    "savings",
    "stable_rank",
    "summarise",
]
