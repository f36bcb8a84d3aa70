"""Watching: every answer is scored when its label comes, and what is unusual is noticed."""

from perdure.live.watch.advance import accuracy, advance, last_drift
from perdure.live.watch.watch import Drift, Outcome, Sighting, Watch

__all__ = ["Drift", "Outcome", "Sighting", "Watch", "accuracy", "advance", "last_drift"]
