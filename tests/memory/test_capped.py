"""No source more than its share, and of the others a uniform sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from perdure import Batch
from perdure.errors import InvalidValue
from perdure.memory import Capped

TRIALS = 300


def test_a_source_that_floods_the_stream_gets_no_more_than_its_share() -> None:
    """9,900 rows of one source before, between and after 100 rows of others: 25 of 100 slots."""
    memory = Capped(100, share=0.25)
    for part in range(10):
        memory.add(of([7] * 900, 1000 * part))
        memory.add(of(list(range(100, 110)), 1000 * part + 900))
        memory.add(of([7] * 90, 1000 * part + 910))
        counts = memory.group_counts()
        assert counts[7] == 25
        assert len(memory) == min(100, 25 + 10 * (part + 1))
    assert 75 == sum(rows for source, rows in counts.items() if source != 7)


@pytest.mark.parametrize(
    ("capacity", "share", "held"), [(10, 0.3, 3), (100, 0.29, 29), (3, 0.1, 1), (5, 1.0, 5)]
)
def test_the_cap_in_rows(capacity, share, held) -> None:
    """The part of the capacity, rounded down; one row at least."""
    memory = Capped(capacity, share)
    memory.add(of([4] * 200, 0))
    assert {4: held} == memory.group_counts()


@pytest.mark.parametrize("size", [60, 17], ids=["at once", "by 17"])
def test_rows_of_sources_below_their_cap_are_equally_likely(size) -> None:
    """40 rows of one source, capped at 5 of 15, and 20 rows of as many others."""
    counts = torch.zeros(60)
    sources = [9] * 30 + list(range(10, 30)) + [9] * 10
    for seed in range(TRIALS):
        memory = Capped(15, share=1 / 3)
        memory.seed(seed)
        for start in range(0, 60, size):
            memory.add(of(sources[start : start + size], start))
        counts[memory.rows().x[:, 0]] += 1
    flood = torch.tensor(sources) == 9
    assert counts[flood].sum() == 5 * TRIALS
    assert uniform_pvalue(counts[flood], TRIALS, 5) > 0.001
    assert uniform_pvalue(counts[~flood], TRIALS, 10) > 0.001


def test_erased_rows_leave_a_uniform_sample_of_their_source() -> None:
    """Of a source at its cap ten rows are erased half-way: its other 30 are held equally often."""
    counts = torch.zeros(40)
    for seed in range(TRIALS):
        memory = Capped(30, share=0.2)
        memory.seed(seed)
        memory.add(of([5] * 20, 0))
        memory.add(of(list(range(20)), 100))
        memory.erase(memory.rows().x[:, 0] < 10)
        memory.add(of([5] * 20, 20))
        held = memory.rows().x[:, 0]
        counts[held[held < 100]] += 1
    assert 0 == counts[:10].sum()
    others = counts[10:]
    spread = others.mean() * (1 - others.mean() / TRIALS)
    assert chi2.sf(float((others - others.mean()).square().sum() / spread), 29) > 0.001


sources_lists = st.lists(st.integers(0, 4), max_size=15)


@given(st.integers(1, 9), st.floats(0.05, 1), st.lists(sources_lists, max_size=8))
def test_any_history_is_a_sort_of_all_rows_by_their_keys(capacity, share, batches) -> None:
    """Of each source the smallest keys up to its cap; of these the smallest of all."""
    memory, generator = Capped(capacity, share), torch.Generator().manual_seed(0)
    cap = max(1, int(share * capacity + 1e-9))
    everything, start = [], 0
    for sources in batches:
        memory.add(of(sources, start))
        keys = torch.rand(len(sources), generator=generator, dtype=torch.float64).tolist()
        everything += zip(keys, sources, range(start, start + len(sources)), strict=True)
        start += len(sources)
        fair = []
        for one in sorted(everything):
            if sum(source == one[1] for _, source, _ in fair) < cap:
                fair.append(one)
        expected = sorted(number for _, _, number in fair[:capacity])
        held = memory.rows()
        assert expected == ([] if held is None else sorted(held.x[:, 0].tolist()))


def test_what_is_known_of_sources_is_bounded_too() -> None:
    """A million sources would be a million limits: known are those of sources that have rows."""
    memory = Capped(20, share=0.1)
    for start in range(0, 6000, 60):
        memory.add(of([start + i // 3 for i in range(60)], start))
        assert len(memory.limits) <= len(memory.group_counts()) <= 20
    assert memory.limit < 1


def test_nothing_is_known_any_more_of_a_source_that_was_erased() -> None:
    """Its number may be a person's."""
    memory = Capped(20, share=0.1)
    memory.add(of([12345] * 30, 0))
    memory.add(of([4] * 30, 30))
    assert {"4", "12345"} == memory.state_dict()["limits"].keys()
    memory.erase(memory.column("source") == 12345)
    state = memory.state_dict()
    assert {"4"} == state["limits"].keys()
    assert 12345 not in state["ids"]
    assert 12345 not in state["rows"]["source"]


def test_classes_and_tasks_can_be_capped_too() -> None:
    """Two of ten rows a label; a task's rows are a share of the memory."""
    rows = Batch(torch.zeros(90, 1), torch.arange(90) % 9, task=torch.arange(90) // 45)
    by_class, by_task = Capped(10, 0.2, by="class"), Capped(10, 0.2, by="task")
    for memory in (by_class, by_task):
        memory.add(rows)
    assert max(by_class.group_counts().values()) == 2
    assert len(by_class) == 10
    assert {0: 2, 1: 2} == by_task.group_counts()


def test_rows_without_a_source_and_shares_that_are_none_are_refused() -> None:
    """The message says which column is missing, or what a share is."""
    with pytest.raises(InvalidValue, match='extra "source"'):
        Capped(10).add(Batch(torch.zeros(2, 1), torch.zeros(2).long()))
    for share in (0.0, 1.1):
        with pytest.raises(InvalidValue, match="share"):
            Capped(10, share)
    with pytest.raises(InvalidValue, match="'source' or one of"):
        Capped(10, by="subject")


def of(sources: list[int], start: int) -> Batch:
    """Rows numbered from `start` on, x being their number."""
    numbers = torch.arange(start, start + len(sources))
    extras = {"source": torch.tensor(sources, dtype=torch.long)}
    return Batch(numbers[:, None], numbers % 2, extras=extras)


def uniform_pvalue(counts: torch.Tensor, trials: int, held: int) -> float:
    """Chi-square of how often each of n rows was among the `held` ones, which do not repeat."""
    share = held / len(counts)
    spread = trials * share * (1 - share) * len(counts) / (len(counts) - 1)
    return float(chi2.sf(float((counts - trials * share).square().sum()) / spread, len(counts) - 1))
