"""The meter that samples updates at boundaries agrees with the one that counts them all."""

from __future__ import annotations

import pytest
import torch

from perdure.batch import Batch
from perdure.bench.boundary import BoundaryMeter
from perdure.learner import Learner
from perdure.measure import Meter
from perdure.method import Method
from perdure.methods import EWC, Joint


def test_sampled_updates_cost_what_counted_ones_do() -> None:
    """Alike updates have equal FLOPs, so that the mean of a few is the mean of all."""
    sampled = spent(BoundaryMeter(learner(Joint(steps=25)), every=10))
    counted = spent(Meter(learner(Joint(steps=25))))
    assert counted.cost.flops == sampled.cost.flops
    assert counted.cost.updates == sampled.cost.updates == 25
    assert 3 / 25 == pytest.approx(sampled.cost.flops_counted / sampled.cost.flops)


def test_what_is_no_update_is_counted_in_full() -> None:
    """A Fisher information has no updates to sample: both meters say the same."""
    sampled, counted = (spent(kind(learner(EWC()))) for kind in (BoundaryMeter, Meter))
    assert counted.cost.flops == sampled.cost.flops
    assert counted.cost.rows == sampled.cost.rows


def test_updates_and_the_rest_of_a_boundary_add_up() -> None:
    """A method that measures between its updates: the count goes on where it paused."""
    sampled, counted = (spent(kind(learner(Both()))) for kind in (BoundaryMeter, Meter))
    assert counted.cost.flops == sampled.cost.flops > 0


def test_the_learner_is_left_as_it_was() -> None:
    """The meter stands in the way of `update` only during a boundary, and if that fails too."""
    watched = learner(Fails())
    meter = BoundaryMeter(watched)
    with pytest.raises(ArithmeticError), meter:
        meter.consolidate(ROWS)
    assert watched.update == Learner.update.__get__(watched)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        watched.update(ROWS)
    assert counter.get_total_flops() > 0


def test_time_is_charged_as_if_nothing_had_been_counted() -> None:
    """The counted update is charged what the others took: less than the block lasted."""
    meter = spent(BoundaryMeter(learner(Joint(steps=40)), every=1000))
    assert 0 < meter.cost.cpu_seconds < super(BoundaryMeter, meter).cost.cpu_seconds


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


def learner(method: Method) -> Learner:
    return Learner(torch.nn.Linear(4, 2), method)


def spent(meter: Meter) -> Meter:
    with meter:
        meter.observe(ROWS)
        meter.consolidate(ROWS)
    return meter
