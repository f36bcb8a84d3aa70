"""Scenario shift: a model trained with task ids, and requests that no longer bring them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from perdure.advise.architecture import architecture_of
from perdure.advise.compatibility import judge
from perdure.errors import CheckpointMismatch, check_range
from perdure.learner import Learner
from perdure.live.project import Project
from perdure.model import takes_task
from perdure.scenario import Scenario

LEAST = 20
"""Requests before anything is said."""


class ScenarioShift:
    """The share of the last `window` requests that came without a task id.

    Args:
        window: requests, at least 20.
        share: in (0, 1], from which on the scenario has shifted; below half of it, it is back.

    Raises:
        InvalidValue: a number is out of range.
    """

    def __init__(self, window: int = 500, share: float = 0.2) -> None:
        check_range("ScenarioShift", "window", window, LEAST, float("inf"))
        check_range("ScenarioShift", "share", share, 0.0, 1.0, open_low=True)
        self.window = window
        self.limit = share
        self.shifted = False
        self._bare = bytearray()
        self._count = 0

    @property
    def rows(self) -> int:
        """Requests in the window."""
        return len(self._bare)

    def share(self) -> float | None:
        """Without a task id; None before the first request."""
        return self._count / len(self._bare) if self._bare else None

    def observe(self, with_task: bool) -> bool:
        """Take one request; True where it is the one by which the scenario has shifted."""
        self._bare.append(not with_task)
        self._count += not with_task
        if len(self._bare) > self.window:
            self._count -= self._bare.pop(0)
        share, before = self._count / len(self._bare), self.shifted
        if self.shifted:
            self.shifted = share >= self.limit / 2
        elif len(self._bare) >= LEAST:
            self.shifted = share >= self.limit
        return self.shifted and not before

    def state_dict(self) -> dict[str, Any]:
        """The settings and one bit a request, packed."""
        packed = np.packbits(np.frombuffer(bytes(self._bare), dtype=np.uint8))
        return {
            "window": self.window,
            "share": self.limit,
            "shifted": self.shifted,
            "rows": len(self._bare),
            "without": self._count,
            "bare": torch.from_numpy(packed),  # (ceil(rows / 8),) uint8
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            CheckpointMismatch: it has another window or share.
        """
        if (state["window"], state["share"]) != (self.window, self.limit):
            raise CheckpointMismatch(
                f"the state has window={state['window']}, share={state['share']}; this "
                f"ScenarioShift has window={self.window}, share={self.limit}: give it the same"
            )
        self.shifted = state["shifted"]
        self._bare = bytearray(np.unpackbits(state["bare"].numpy(), count=state["rows"]))
        self._count = state["without"]


@dataclass(frozen=True)
class Dependence:
    """What a learner does with task ids, and what would do without them.

    Attributes:
        reason: why it cannot answer without; empty where it can.
        instead: methods and architectures that would, as "er on a GrowingHead".
    """

    reason: str
    instead: tuple[str, ...]


def dependence(learner: Learner, scenario: Scenario) -> Dependence:
    """Whether a learner can answer in a scenario that gives no task id."""
    architecture = architecture_of(learner.model)
    for method in learner.methods or (None,):
        verdict = judge(scenario, architecture, method)
        if not verdict.possible:
            return Dependence(verdict.reason, verdict.instead)
    return Dependence("", ())


def needs_task(learner: Learner) -> bool:
    """Whether it answers nothing without a task id."""
    return takes_task(learner.model) or any(m.needs.task_at_inference for m in learner.methods)


def message(bare: float, rows: int, held: Dependence) -> str:
    """What to tell a person, with what to do."""
    said = f"{bare:.0%} of the last {rows} requests came without a task id, which this model was "
    if not held.reason:
        return (
            f"{said}trained with; it answers them from all of its outputs: send the id, or "
            "evaluate it without"
        )
    return (
        f"{said}made for: {held.reason}. Send the id, or switch to what answers without: "
        f"{'; '.join(held.instead)}"
    )


def found(project: Project) -> str | None:
    """What to tell a person where the requests have stopped carrying task ids; None otherwise."""
    text = project.database.value("SELECT state FROM watch")
    if not text or not project.schema.tasks:
        return None
    held = json.loads(text)["shift"]
    if not held["shifted"]:
        return None
    share = held["without"] / held["rows"]
    return message(share, held["rows"], dependence(project.learner(), without(project)))


def without(project: Project) -> Scenario:
    """The scenario that is left without task ids: `class` where each task has its own labels."""
    shared = project.database.value(
        "SELECT 1 FROM examples JOIN rows USING (position) WHERE task IS NOT NULL"
        " GROUP BY label HAVING count(DISTINCT task) > 1 LIMIT 1"
    )
    return Scenario.CLASS if shared is None else Scenario.DOMAIN
