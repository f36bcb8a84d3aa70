"""The four scenarios of continual learning, told apart by what is known at inference."""

from __future__ import annotations

from enum import StrEnum


class Scenario(StrEnum):
    """What is known at inference.

    Source: van de Ven, Tuytelaars & Tolias 2022, "Three types of incremental learning"; `free` is
    the task-free stream of Aljundi et al. 2019.
    """

    TASK = "task"
    """The task id comes with every input; each task has its own labels."""
    DOMAIN = "domain"
    """No task id; the labels stay the same while the inputs change."""
    CLASS = "class"
    """No task id; each task brings new classes into one growing label space."""
    FREE = "free"
    """No task id and no boundary: a stream of rows that changes when it likes."""

    @property
    def task_at_inference(self) -> bool:
        """Whether a prediction may use the task id."""
        return self is Scenario.TASK

    @property
    def boundaries(self) -> bool:
        """Whether the stream says where a task ends."""
        return self is not Scenario.FREE
