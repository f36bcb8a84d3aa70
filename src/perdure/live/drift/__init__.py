"""Has the world changed? By the errors made, by the features seen, by the confidences given."""

from perdure.live.drift.change import Change, change_point
from perdure.live.drift.error_rate import ErrorDetector
from perdure.live.drift.expected import Estimate, ExpectedAccuracy
from perdure.live.drift.features import FeatureDrift, Shifted

__all__ = [
    "Change",
    "ErrorDetector",
    "Estimate",
    "ExpectedAccuracy",
    "FeatureDrift",
    "Shifted",
    "change_point",
]
