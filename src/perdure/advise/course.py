"""Whether to retrain from scratch, to fine-tune, or to learn continually at all."""

from __future__ import annotations

from enum import StrEnum

from perdure.advise.answers import duration
from perdure.advise.questions import Situation


class Course(StrEnum):
    """What to do when new rows come."""

    RETRAIN = "retrain from scratch"
    """Train a new model on all rows."""
    FINE_TUNE = "fine-tune"
    """Go on training on the new rows, and let the past be forgotten."""
    CONTINUAL = "learn continually"
    """Go on training on the new rows, and keep the past by a method."""


def course_of(situation: Situation) -> tuple[Course, tuple[str, ...]]:
    """What to do and why, first what decided it.

    Args:
        situation: as it was told; what is unknown is assumed, except for durations.
    """
    full = situation.assumed()
    if not full.past_matters:
        return Course.FINE_TUNE, (
            "nobody will ask about the past, so forgetting it costs nothing",
            "a method against forgetting would only slow the learning of what is new",
        )
    if not (full.task_known or full.growing or full.drifting):
        return Course.FINE_TUNE, (
            "neither inputs nor classes change: new rows are more of the same, nothing gets lost",
            "retrain from scratch now and then, when it is convenient",
        )
    if full.tasks == 1:
        return Course.RETRAIN, ("with one task there is no past: train once, as usual",)
    if full.zero_forgetting and full.task_known:
        return Course.CONTINUAL, (
            "old answers must not change at all, and retraining from scratch changes them all",
        )
    if not full.keep_raw:
        return Course.CONTINUAL, (
            "retraining from scratch reads all rows of the past, and none may be kept",
        )
    return _by_cost(full)


def _by_cost(situation: Situation) -> tuple[Course, tuple[str, ...]]:
    retrain, budget = situation.retrain, situation.budget
    if retrain is None or budget is None:
        unknown = (
            "it is not known whether retraining from scratch fits into the budget of one update: "
            "time one training; where it fits and all rows may be kept, retrain instead"
        )
        return Course.CONTINUAL, (unknown, *_savings(situation))
    said = f"training from scratch takes {duration(retrain)} on today's rows"
    if retrain > budget:
        over = f"{said}, and one update may take {duration(budget)}"
        return Course.CONTINUAL, (over, *_savings(situation))
    lasts, growth = _updates_that_fit(situation, retrain, budget)
    if lasts == 0:
        barely = f"{said}: that fits into {duration(budget)}, but {growth}"
        return Course.CONTINUAL, (barely, *_savings(situation))
    return Course.RETRAIN, (
        f"{said}, and one update may take {duration(budget)}: it fits; {growth}",
        "it is what all methods are measured against, and there is nothing to tune",
        "it needs all rows of the past to be kept; where only some may be, learn continually",
    )


def _updates_that_fit(
    situation: Situation, retrain: float, budget: float
) -> tuple[int | None, str]:
    """For how many updates retraining stays within the budget, and the arithmetic in words.

    retrain * (rows + k * new_rows) / rows <= budget
    """
    rows, new, tasks = situation.rows, situation.new_rows, situation.tasks
    if rows is None or new is None:
        return None, "it takes longer as rows are added, so time it again now and then"
    lasts = int((budget / retrain - 1) * rows / new)
    last = lasts if tasks is None else min(lasts, tasks)
    counted = max(last, 1)
    takes = duration(retrain * (rows + counted * new) / rows)
    added = f"{rows:,} + {counted:,} x {new:,} rows take {takes}"
    if lasts == 0:
        return 0, f"with the next update it no longer does: {added}"
    if last == tasks:
        return last, f"after all {last:,} updates it still does: {added}"
    return last, f"so it will for {last:,} updates ({added}); from then on, learn continually"


def _savings(situation: Situation) -> tuple[str, ...]:
    """What an update with replay reads, and takes, beside retraining; empty where unknown."""
    rows, new, budget = situation.rows, situation.new_rows, situation.budget
    if rows is None or new is None:
        return ()
    reads, all_rows = 2 * new, rows + new
    if reads >= all_rows:
        no_less = f"an update with replay reads 2 x {new:,} rows a pass, retraining {all_rows:,}"
        return (f"there is nothing to save yet: {no_less}",)
    said = (
        f"with replay an update reads about 2 x {new:,} rows a pass, retraining "
        f"{rows:,} + {new:,}: {all_rows / reads:.1f} times as many"
    )
    if situation.retrain is None:
        return (said,)
    takes = situation.retrain * reads / rows
    late = budget is not None and takes > budget
    end = ": still too long, so take fewer passes or more time" if late else ""
    return (f"{said}; at as many passes it takes about {duration(takes)}{end}",)
