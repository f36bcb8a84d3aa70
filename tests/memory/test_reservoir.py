"""Algorithm R: every row ever added is held with the same probability."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from perdure import Batch
from perdure.memory import Reservoir

TRIALS = 1200


@pytest.mark.parametrize(
    "sizes", [[40], [1] * 40, [1, 7, 30, 2], [9, 2, 29]], ids=["at once", "singly", "mixed", "over"]
)
def test_every_row_is_held_with_probability_capacity_over_rows(sizes) -> None:
    """10 of 40 rows in batches of any sizes: the counts over many seeds pass a chi-square test."""
    counts = torch.zeros(40)
    for seed in range(TRIALS // min(8, len(sizes))):
        counts[added(10, sizes, seed)] += 1
    assert uniform_pvalue(counts, 10 / 40 * (TRIALS // min(8, len(sizes))), 10 / 40) > 0.001


@pytest.mark.parametrize("sizes", [[4], [1, 1, 1, 1], [2, 2], [3, 1]], ids=str)
def test_every_pair_of_rows_is_equally_likely(sizes) -> None:
    """2 of 4 rows: the six pairs are uniform, however the rows are batched."""
    pairs = list(combinations(range(4), 2))
    counts = torch.zeros(6)
    for seed in range(TRIALS):
        counts[pairs.index(tuple(sorted(added(2, sizes, seed).tolist())))] += 1
    assert uniform_pvalue(counts, TRIALS / 6, 0.0) > 0.001


@pytest.mark.parametrize("number", [4, 5])
def test_row_number_t_enters_with_probability_capacity_over_t(number) -> None:
    """Row number t, counted from 1, right after it came: capacity / t, not capacity / (t + 1)."""
    entered = sum(number - 1 in added(3, [number], seed) for seed in range(TRIALS))
    assert binomtest(entered, TRIALS, 3 / number).pvalue > 0.001
    assert binomtest(entered, TRIALS, 3 / (number + 1)).pvalue < 0.001


def test_all_rows_are_held_until_the_capacity_is_reached() -> None:
    """The first `capacity` rows, in order, whatever their batches."""
    assert list(range(9)) == added(10, [4, 5], 0).tolist()
    assert list(range(10)) == added(10, [4, 6], 0).tolist()
    assert 10 == len(added(10, [4, 60], 0))


def test_erased_rows_leave_a_uniform_sample_of_the_others() -> None:
    """Of 60 rows the first 15 are erased half-way: the other 45 are held equally often."""
    counts = torch.zeros(60)
    for seed in range(TRIALS):
        memory = Reservoir(10)
        memory.seed(seed)
        memory.add(rows(range(30)))
        memory.erase(memory.rows().y < 15)
        memory.add(rows(range(30, 60)))
        counts[memory.rows().y] += 1
    assert 0 == counts[:15].sum()
    assert uniform_pvalue(counts[15:], TRIALS * 10 / 60, 10 / 60) > 0.001


def test_a_memory_that_was_erased_fills_again() -> None:
    """Emptied at 50 rows, it is full again some thousands of rows later, never above capacity."""
    memory = Reservoir(10)
    memory.add(rows(range(50)))
    assert 10 == memory.erase(torch.arange(10))
    for start in range(50, 5000, 50):
        memory.add(rows(range(start, start + 50)))
        assert len(memory) <= 10
    assert 10 == len(memory)


def test_groups_are_counted_by_label() -> None:
    """What `group_counts` says of a memory without groups of its own."""
    memory = Reservoir(10)
    memory.add(Batch(torch.zeros(5, 1), torch.tensor([3, 1, 3, 3, 0]), task=2))
    assert {0: 1, 1: 1, 3: 3} == memory.group_counts()


@given(
    st.integers(1, 8),
    st.lists(
        st.tuples(st.sampled_from(["add", "erase", "reload"]), st.integers(0, 12)), max_size=12
    ),
)
def test_any_history_agrees_with_algorithm_r_on_a_list(capacity, history) -> None:
    """Row by row on a python list with holes: the same rows as the vectorised memory holds."""
    memory, model, generator = Reservoir(capacity), [], torch.Generator().manual_seed(0)
    seen = 0
    for event, count in history:
        if event == "add":
            memory.add(rows(range(seen, seen + count)))
            draws = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
            plain_algorithm_r(model, range(seen, seen + count), draws, capacity)
            seen += count
        elif event == "erase" and model:
            doomed = sorted({count % len(model), count // 2 % len(model)})
            memory.erase(torch.tensor(doomed))
            for at in reversed(doomed):
                del model[at]
        else:
            again = Reservoir(capacity)
            again.load_state_dict(memory.state_dict())
            memory = again
        held = memory.rows()
        assert model == ([] if held is None else held.y.tolist())


def plain_algorithm_r(model: list[int], numbers: range, draws: list[float], capacity: int) -> None:
    """Algorithm R over slots, the empty ones behind the filled ones; writes `model`."""
    slots: dict[int, int] = dict(enumerate(model))
    for number, draw in zip(numbers, draws, strict=True):
        slot = number if number < capacity else int(draw * (number + 1))
        if slot < capacity:
            slots[slot] = number
    model[:] = [slots[slot] for slot in sorted(slots)]


def added(capacity: int, sizes: list[int], seed: int) -> torch.Tensor:
    """The numbers of the rows held after batches of these sizes."""
    memory = Reservoir(capacity)
    memory.seed(seed)
    start = 0
    for size in sizes:
        memory.add(rows(range(start, start + size)))
        start += size
    return memory.rows().y


def rows(numbers: range) -> Batch:
    y = torch.tensor(numbers, dtype=torch.long)
    return Batch(y[:, None].to(torch.uint8), y)


def uniform_pvalue(counts: torch.Tensor, expected: float, inclusion: float) -> float:
    """Chi-square of counts whose trials each include a fixed number of the cells without repeat.

    Such counts have variance expected * (1 - inclusion) and sum to a constant.
    """
    scale = expected * (1 - inclusion)
    statistic = float((counts - expected).square().sum()) / scale
    statistic *= (len(counts) - 1) / len(counts) if inclusion else 1
    return float(chi2.sf(statistic, len(counts) - 1))
