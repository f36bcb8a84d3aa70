"""Choose method, settings and learning rate by living through the past again.

    source = LabSource(Experiment("digits", tasks=5), ("er", "der++", "ewc"))
    outcomes = search(source, "runs/tune", Budget(trials=40), print)
    choose(outcomes, prefer="accuracy").candidate

Candidates learn a stream of the past, each with the same updates, and are measured on rows held out
of spans that are over. Neither test rows nor the rows that a live project holds out are looked at.
"""

from perdure.tune.candidate import STAYS, Candidate, Space
from perdure.tune.lab import LabSource
from perdure.tune.outcome import Measured, Outcome, choose, front
from perdure.tune.search import Budget, search
from perdure.tune.source import Source

__all__ = [
    "STAYS",
    "Budget",
    "Candidate",
    "LabSource",
    "Measured",
    "Outcome",
    "Source",
    "Space",
    "choose",
    "front",
    "search",
]
