"""Measuring a learner: FLOPs against closed forms, counted on a sample of the updates."""

import resource
import sys
import time
from itertools import pairwise

import pytest
import torch
from torch import nn

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.measure import Meter, peak_memory_bytes
from perdure.method import Method, Needs

SIZES = (12, 8, 5, 3)


class Remember(Method):
    """Recall as many rows as given, from the batch itself."""

    keeps = ("held",)

    def __init__(self, schedule):
        self.schedule = schedule
        self.held = torch.zeros(6)

    def recall(self, step):
        rows = self.schedule(step.learner.updates)
        return batch_of(rows) if rows else None


class Probe(Method):
    """One matrix product a row at each consolidation."""

    needs = Needs(data=True)

    def consolidate(self, learner, data):
        for batch in data:
            learner.model(batch.x)


def network():
    layers = [nn.Linear(m, n) for m, n in pairwise(SIZES)]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def batch_of(rows):
    return Batch(torch.randn(rows, SIZES[0]), torch.zeros(rows, dtype=torch.long))


def flops_of(rows):
    """2 m n k a product: one forward and two backward a layer, less the first one's inputs."""
    products = [2 * rows * m * n for m, n in pairwise(SIZES)]
    return 3 * sum(products) - products[0]


def observe(learner, rows, every=100):
    """The cost of a stream of batches with so many rows each."""
    with Meter(learner, every) as meter:
        for n in rows:
            meter.observe(batch_of(n))
    return meter.cost


def test_flops_of_a_network_are_those_of_its_products():
    """2 m n k each, forward and backward, when every update is counted."""
    cost = observe(Learner(network()), [7] * 4, every=1)
    assert cost.flops == 4 * flops_of(7)
    assert cost.counted_share == 1


def test_alike_updates_are_extrapolated_exactly():
    """Of 25 the first, 3rd, 13th and 23rd are counted, and the total is that of counting all."""
    cost = observe(Learner(network()), [7] * 25, every=10)
    assert cost.flops == 25 * flops_of(7)
    assert cost.flops_counted == 4 * flops_of(7)
    assert cost.counted_share == pytest.approx(4 / 25)


def test_what_is_set_up_in_the_first_update_of_a_task_is_charged_once():
    """Ten more rows pass through the network then, and in no later update."""

    class SetsUp(Method):
        """As methods place adapters by the inputs of a task's first rows."""

        def recall(self, step):
            if step.learner.updates % 20 == 0:
                step.learner.forward(torch.zeros(10, 12), None)

    learner = Learner(network(), SetsUp())
    with Meter(learner) as meter:
        for _ in range(3):
            for _ in range(20):
                meter.observe(batch_of(7))
            meter.consolidate()
    forward = 2 * 10 * (12 * 8 + 8 * 5 + 5 * 3)
    assert meter.cost.flops == 60 * flops_of(7) + 3 * forward


def test_a_batch_of_another_shape_is_counted_anew():
    """The short last batch of each pass, as the first and the third of its kind."""
    rows = [8, 8, 3] * 4
    cost = observe(Learner(network()), rows)
    assert cost.flops == sum(map(flops_of, rows))
    assert cost.flops_counted == 2 * (flops_of(8) + flops_of(3))


def test_recalled_rows_count_though_they_come_later():
    """An empty memory recalls nothing at the first update; the next ones cost more than that."""
    learner = Learner(network(), Remember(lambda update: 5 if update else 0))
    cost = observe(learner, [7] * 10)
    assert cost.flops == flops_of(7) + 9 * flops_of(12)
    assert cost.rows == 7 + 9 * 12


def test_a_memory_that_fills_up_row_by_row_is_charged_by_the_row():
    """Each size comes once and half of them are counted; products grow with the rows."""
    learner = Learner(network(), Remember(lambda update: update))
    cost = observe(learner, [4] * 10)
    assert cost.flops == pytest.approx(sum(flops_of(4 + update) for update in range(10)), abs=10)
    assert cost.counted_share < 1


def test_parameters_that_come_later_are_counted_anew():
    """Unfreezing a layer adds its gradients to every update from then on."""
    learner = Learner(network())
    for parameter in learner.model[0].parameters():
        parameter.requires_grad_(False)
    learner.refresh()
    with Meter(learner) as meter:
        for _ in range(5):
            meter.observe(batch_of(7))
        frozen = meter.cost.flops
        for parameter in learner.model[0].parameters():
            parameter.requires_grad_(True)
        learner.refresh()
        for _ in range(5):
            meter.observe(batch_of(7))
    first, second = 2 * 7 * 12 * 8, 2 * 7 * 8 * 5
    assert frozen == 5 * (flops_of(7) - first - second)
    assert meter.cost.flops == frozen + 5 * flops_of(7)


def test_updates_after_a_consolidation_are_counted_anew():
    """A method may do more for every task that ended, at the same shapes."""
    learner = Learner(network())
    with Meter(learner) as meter:
        for _ in range(3):
            for _ in range(5):
                meter.observe(batch_of(7))
            meter.consolidate()
    assert meter.cost.flops_counted == 6 * flops_of(7)
    assert meter.cost.flops == 15 * flops_of(7)


def test_consolidations_are_counted_and_their_rows_read():
    """Two batches of three rows, one forward pass each, whether as a list or as one batch."""
    for data in ([batch_of(3), batch_of(3)], batch_of(6)):
        with Meter(Learner(network(), Probe())) as meter:
            meter.consolidate(data)
        forward = sum(2 * 6 * m * n for m, n in pairwise(SIZES))
        assert (meter.cost.flops, meter.cost.flops_counted) == (forward, forward)
        assert (meter.cost.rows, meter.cost.updates) == (6, 0)


def test_metering_does_not_change_what_is_learnt():
    """The same parameters, to the last bit, with every update counted, some, or none."""
    learners = []
    for every in (None, 1, 3):
        torch.manual_seed(0)
        learner = Learner(network())
        if every is None:
            for _ in range(7):
                learner.observe(batch_of(4))
        else:
            observe(learner, [4] * 7, every)
        learners.append(learner.params)
    for other in learners[1:]:
        assert all(torch.equal(learners[0][name], other[name]) for name in learners[0])


def test_the_cost_also_tells_what_is_held():
    """Parameters, frozen ones too, bytes of method state, updates and peak memory."""
    learner = Learner(network(), Remember(lambda update: 0))
    learner.model[0].requires_grad_(False)
    learner.refresh()
    learner.observe(batch_of(2))
    cost = observe(learner, [2, 2])
    assert cost.parameters == sum(p.numel() for p in learner.model.parameters())
    assert cost.state_bytes == learner.methods[0].state_bytes() > 24
    assert cost.updates == 2
    assert cost.peak_memory_bytes >= 2**20


def test_peak_memory_is_that_of_the_process():
    """What the kernel reports, which only grows."""
    before = peak_memory_bytes()
    held = torch.ones(30_000_000)
    after = peak_memory_bytes("cpu")
    assert after >= before
    unit = 1 if sys.platform == "darwin" else 1024
    assert after == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert after > held.numel() * held.element_size()


def test_time_is_that_of_the_block():
    """Sleep counts as wall-clock time and not as CPU time; what comes after counts as neither."""
    learner = Learner(network())
    start = time.perf_counter()
    with Meter(learner) as meter:
        time.sleep(0.1)
    end = time.perf_counter()
    time.sleep(0.05)
    assert 0.1 <= meter.cost.seconds <= end - start
    assert meter.cost.cpu_seconds <= meter.cost.seconds - 0.05


def test_a_counted_update_is_charged_the_time_of_an_alike_one():
    """Where counting takes long, the ten updates cost ten ninths of the nine that were timed."""

    class SlowWhenCounted(Method):
        def settle(self, step):
            if step.learner.updates == 0:
                time.sleep(0.2)

    start = time.perf_counter()
    cost = observe(Learner(network(), SlowWhenCounted()), [7] * 10)
    elapsed = time.perf_counter() - start
    assert cost.seconds <= (elapsed - 0.2) * 10 / 9


def test_a_compiled_model_is_counted_without_a_warning():
    """The counter looks under the compiler, whose compiled kernels it could not see."""
    learner = Learner(torch.compile(network(), backend="eager"))
    assert observe(learner, [7] * 5, every=2).flops == 5 * flops_of(7)


def test_a_meter_goes_on_where_it_stopped():
    """Two blocks add up, and what the learner did between them is not charged."""
    learner = Learner(network())
    meter = Meter(learner)
    for _ in range(2):
        with meter:
            for _ in range(3):
                meter.observe(batch_of(7))
        learner.observe(batch_of(7))
    assert (meter.cost.flops, meter.cost.rows, meter.cost.updates) == (6 * flops_of(7), 42, 6)


def test_an_unused_meter_has_spent_nothing():
    """Nothing was measured, nor divided by."""
    cost = Meter(Learner(network())).cost
    assert (cost.flops, cost.seconds, cost.counted_share) == (0, 0.0, None)
    assert cost.peak_memory_bytes is None


def test_the_cost_can_be_read_inside_the_block():
    """For a budget that stops a run."""
    learner = Learner(network())
    with Meter(learner) as meter:
        while meter.cost.flops < 5 * flops_of(7):
            meter.observe(batch_of(7))
    assert learner.updates == 5


def test_a_batch_outside_the_block_is_refused():
    """Its time would be missing; the message shows the block."""
    learner = Learner(network())
    with pytest.raises(InvalidValue, match="with Meter"):
        Meter(learner).observe(batch_of(2))
    with pytest.raises(InvalidValue, match="with Meter"):
        Meter(learner).consolidate()
    assert learner.updates == 0


def test_a_meter_that_never_counts_is_refused():
    """Every update is the most often."""
    with pytest.raises(InvalidValue, match="every is 0"):
        Meter(Learner(network()), every=0)
