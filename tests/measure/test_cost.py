"""What learning cost, as an amount that adds up."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.measure import Cost

whole = st.integers(0, 10**12)
costs = st.builds(
    Cost,
    flops=whole,
    flops_counted=whole,
    seconds=st.integers(0, 10**6).map(float),
    cpu_seconds=st.integers(0, 10**6).map(float),
    rows=whole,
    updates=whole,
    peak_memory_bytes=st.none() | whole,
    state_bytes=whole,
    parameters=whole,
)


def test_amounts_add_up_and_what_is_held_takes_the_larger():
    """Two updates one after the other."""
    a = Cost(10, 5, 1.0, 2.0, 64, 1, peak_memory_bytes=100, state_bytes=8, parameters=3)
    b = Cost(20, 20, 2.0, 3.0, 32, 2, peak_memory_bytes=70, state_bytes=16, parameters=5)
    assert a + b == Cost(30, 25, 3.0, 5.0, 96, 3, 100, 16, 5)


@given(costs, costs, costs)
def test_costs_add_in_any_order_and_grouping(a, b, c):
    """So a total may be summed over tasks, runs and ranks as it comes."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@given(costs)
def test_no_cost_adds_nothing(cost):
    """`sum(costs, Cost())` is the total."""
    assert sum([cost], Cost()) == cost


def test_peak_memory_that_nobody_measured_stays_unmeasured():
    """And gives way to one that somebody did."""
    assert (Cost() + Cost()).peak_memory_bytes is None
    assert (Cost() + Cost(peak_memory_bytes=0)).peak_memory_bytes == 0
    assert str(Cost()).endswith("peak memory not measured")


def test_the_share_of_counted_flops_is_told():
    """None where there were no FLOPs to count."""
    assert Cost(flops=200, flops_counted=50).counted_share == 0.25
    assert Cost().counted_share is None
    assert "200 FLOPs (25.0% counted)" in str(Cost(flops=200, flops_counted=50))


def test_a_cost_is_frozen_and_plain():
    """Its dictionary brings it back."""
    cost = Cost(flops=3, rows=2)
    assert Cost(**dataclasses.asdict(cost)) == cost
    with pytest.raises(dataclasses.FrozenInstanceError):
        cost.flops = 4
