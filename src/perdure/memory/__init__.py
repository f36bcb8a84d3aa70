"""Bounded memories of past rows: which rows stay, where they lie, and how they are let go."""

from perdure.memory.balanced import Balanced
from perdure.memory.capped import Capped
from perdure.memory.database import DatabaseStorage
from perdure.memory.erasing import forget, memories
from perdure.memory.everything import Everything
from perdure.memory.herding import Herding, class_means, embed, feature_sums, herd
from perdure.memory.mapped import MappedStorage
from perdure.memory.memory import By, Memory
from perdure.memory.ram import RamStorage
from perdure.memory.reservoir import Reservoir
from perdure.memory.retention import capacity_within, retain
from perdure.memory.storage import Storage

__all__ = [
    "Balanced",
    "By",
    "Capped",
    "DatabaseStorage",
    "Everything",
    "Herding",
    "MappedStorage",
    "Memory",
    "RamStorage",
    "Reservoir",
    "Storage",
    "capacity_within",
    "class_means",
    "embed",
    "feature_sums",
    "forget",
    "herd",
    "memories",
    "retain",
]
