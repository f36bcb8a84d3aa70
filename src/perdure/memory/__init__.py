"""Bounded memories of past rows: which rows stay, and where they lie."""

from perdure.memory.balanced import Balanced
from perdure.memory.everything import Everything
from perdure.memory.herding import Herding, embed, feature_sums, herd
from perdure.memory.memory import By, Memory
from perdure.memory.reservoir import Reservoir
from perdure.memory.storage import RamStorage

__all__ = [
    "Balanced",
    "By",
    "Everything",
    "Herding",
    "Memory",
    "RamStorage",
    "Reservoir",
    "embed",
    "feature_sums",
    "herd",
]
