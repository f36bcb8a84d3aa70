"""perdure: continual learning for PyTorch, from the research bench to production.

A learner is a fold over its stream: `state = fold(observe, stream)`.

Names are imported when they are first used, so that `perdure --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure import errors, measure, memory, methods, nets, streams
    from perdure.batch import Batch
    from perdure.client import Client
    from perdure.engine import Engine
    from perdure.folding import Position, Schedule, fold
    from perdure.learner import Learner
    from perdure.method import Method, Needs
    from perdure.ranks import Ranks
    from perdure.scenario import Scenario
    from perdure.step import Step

_HOME = {
    "Batch": "batch",
    "Client": "client",
    "Engine": "engine",
    "Learner": "learner",
    "Method": "method",
    "Needs": "method",
    "Position": "folding",
    "Ranks": "ranks",
    "Scenario": "scenario",
    "Schedule": "folding",
    "Step": "step",
    "fold": "folding",
}
_MODULES = ("errors", "measure", "memory", "methods", "nets", "streams")

__all__ = [
    "Batch",
    "Client",
    "Engine",
    "Learner",
    "Method",
    "Needs",
    "Position",
    "Ranks",
    "Scenario",
    "Schedule",
    "Step",
    "errors",
    "fold",
    "measure",
    "memory",
    "methods",
    "nets",
    "streams",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"perdure.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"perdure.{name}")
    else:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
