"""Updates at a boundary are sampled like any others; all else there is counted."""

from __future__ import annotations

import time

import pytest
import torch

from perdure.batch import Batch
from perdure.learner import Learner
from perdure.measure import Meter
from perdure.method import Method
from perdure.methods import EWC, Joint


def test_sampled_updates_cost_what_counted_ones_do() -> None:
    """Of 25 alike ones the first, 3rd, 13th and 23rd are counted: their mean is that of all."""
    sampled = spent(Meter(learner(Joint(steps=25)), every=10))
    counted = spent(Meter(learner(Joint(steps=25)), every=1))
    assert counted.cost.flops == sampled.cost.flops
    assert counted.cost.updates == sampled.cost.updates == 25
    assert 4 / 25 == pytest.approx(sampled.cost.flops_counted / sampled.cost.flops)


def test_what_is_set_up_in_the_first_update_at_a_boundary_is_charged_once() -> None:
    """Ten more rows pass through the layer then, and in no later update of the boundary."""
    meter = Meter(learner(SetsUp()), every=10)
    with meter:
        for _ in range(2):
            meter.consolidate(ROWS)
    update, extra = 2 * 2 * 4 * 4 * 2, 2 * 10 * 4 * 2
    assert 2 * (25 * update + extra) == meter.cost.flops


def test_boundary_updates_of_another_shape_are_counted_anew() -> None:
    """A short last batch costs what it costs, not what the others do."""
    sampled, counted = (spent(Meter(learner(Uneven()), every)) for every in (10, 1))
    assert counted.cost.flops == sampled.cost.flops
    assert sampled.cost.flops_counted < sampled.cost.flops


def test_what_is_no_update_is_counted_in_full() -> None:
    """A Fisher information has no updates to sample: the rate changes nothing."""
    sampled, counted = (spent(Meter(learner(EWC()), every)) for every in (100, 1))
    assert counted.cost.flops == sampled.cost.flops
    assert counted.cost.rows == sampled.cost.rows


def test_updates_and_the_rest_of_a_boundary_add_up() -> None:
    """A method that measures between its updates: the count goes on where it paused."""
    sampled, counted = (spent(Meter(learner(Both()), every)) for every in (100, 1))
    assert counted.cost.flops == sampled.cost.flops == 3 * 2 * 2 * 4 * 4 * 2 + 2 * 2 * 4**3


def test_the_learner_is_left_as_it_was() -> None:
    """The meter stands in the way of `update` only during a boundary, and if that fails too."""
    watched = learner(Fails())
    meter = Meter(watched)
    with pytest.raises(ArithmeticError), meter:
        meter.consolidate(ROWS)
    assert watched.update == Learner.update.__get__(watched)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        watched.update(ROWS)
    assert counter.get_total_flops() > 0


def test_time_is_charged_as_if_nothing_had_been_counted() -> None:
    """Where the two that are counted take a fifth of a second each, it is not theirs."""
    meter = Meter(learner(SlowWhenCounted()), every=1000)
    with meter:
        meter.consolidate(ROWS)
    assert 0 < meter.cost.cpu_seconds < 0.2


def test_an_answer_is_counted() -> None:
    """Two products a weight for each row."""
    meter = Meter(learner())
    with meter:
        assert (4, 2) == meter.predict(ROWS.x).shape
    assert (2 * 4 * 4 * 2, 0, 0) == (meter.cost.flops, meter.cost.rows, meter.cost.updates)


class Retrains(Method):
    """Makes 25 updates at a boundary."""

    def consolidate(self, learner: Learner, data: list[Batch]) -> None:
        for _ in range(25):
            learner.update(ROWS)


class SetsUp(Retrains):
    """As methods place adapters by the inputs of the first rows: at updates 0, 25, 50."""

    def recall(self, step) -> None:
        if step.learner.updates % 25 == 0:
            step.learner.forward(torch.zeros(10, 4), None)


class SlowWhenCounted(Retrains):
    """Spends a fifth of a second of CPU time on each of the two updates that are counted."""

    def settle(self, step) -> None:
        if step.learner.updates in (0, 2):
            end = time.process_time() + 0.2
            while time.process_time() < end:
                pass


class Uneven(Method):
    """Batches of 4, 4 and 1 rows, four times over."""

    def consolidate(self, learner: Learner, data: list[Batch]) -> None:
        for batch in data:
            for rows in (4, 4, 1) * 4:
                learner.update(batch[:rows])


class Both(Method):
    """Multiplies, updates, multiplies, at a boundary."""

    def consolidate(self, learner: Learner, data: list[Batch]) -> None:
        for batch in data:
            torch.eye(4) @ torch.eye(4)
            learner.update(batch)
            learner.update(batch)
            torch.eye(4) @ torch.eye(4)


class Fails(Method):
    """Gives up after an update at a boundary."""

    def consolidate(self, learner: Learner, data: list[Batch]) -> None:
        learner.update(ROWS)
        raise ArithmeticError


ROWS = Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]))


def learner(*methods: Method) -> Learner:
    return Learner(torch.nn.Linear(4, 2), *methods)


def spent(meter: Meter) -> Meter:
    with meter:
        meter.observe(ROWS)
        meter.consolidate(ROWS)
    return meter
