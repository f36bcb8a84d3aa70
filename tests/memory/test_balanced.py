"""Equal shares for all groups, and of each group a uniform sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from perdure import Batch
from perdure.errors import InvalidValue
from perdure.memory import Balanced

TRIALS = 500


def test_a_new_class_takes_its_room_from_the_largest() -> None:
    """12 rows for one class, then 6 and 6, then 4 each: full at any time."""
    memory = Balanced(12)
    shares = []
    for label in (5, 1, 3):
        memory.add(of_class([label] * 50))
        shares.append(memory.group_counts())
    assert [{5: 12}, {1: 6, 5: 6}, {1: 4, 3: 4, 5: 4}] == shares


def test_a_small_class_leaves_room_to_the_others() -> None:
    """2 rows of class 0, 100 of classes 1 and 2 each: 2 + 9 + 9."""
    memory = Balanced(20)
    memory.add(of_class([0] * 2 + [1] * 100 + [2] * 100))
    assert {0: 2, 1: 9, 2: 9} == memory.group_counts()


def test_a_quota_caps_every_class_from_the_start() -> None:
    """10 rows a class in a memory of 100, until more than ten classes share it."""
    memory = Balanced(100, quota=10)
    for label in range(12):
        memory.add(of_class([label] * 40))
        assert {10} == {*memory.group_counts().values()} or label >= 10
    assert {8, 9} == {*memory.group_counts().values()}
    assert 100 == len(memory)


def test_the_rows_of_one_group_are_read_without_the_others() -> None:
    """All rows of a label as `rows()` has them, or some of them, none twice, drawn anew."""
    memory = Balanced(20)
    memory.add(Batch(torch.arange(60)[:, None], torch.arange(60) // 30 * 3 + 1))
    assert [1, 4] == memory.groups()
    held = memory.rows()
    whole = memory.group(4).x[:, 0].tolist()
    assert held.x[held.y == 4][:, 0].tolist() == whole
    some = [memory.group(4, rows=3).x[:, 0].tolist() for _ in range(10)]
    assert all(len({*drawn}) == 3 and {*drawn} <= {*whole} for drawn in some)
    assert len({*map(tuple, some)}) > 1
    assert sorted(whole) == sorted(memory.group(4, rows=99).x[:, 0].tolist())
    assert [] == Balanced(3).groups()


def test_a_rare_class_is_kept_whole_however_late_its_rows_come() -> None:
    """One row of class 9 among every 100 of class 0: all 20 are there in the end."""
    memory = Balanced(60)
    for _ in range(20):
        memory.add(of_class([0] * 100 + [9]))
    assert {0: 40, 9: 20} == memory.group_counts()


@pytest.mark.parametrize(
    ("by", "counts"),
    [
        ("class", {0: 3, 1: 3}),
        ("task", {4: 3, 7: 3}),
        ("group", {(4, 0): 2, (7, 0): 2, (7, 1): 2}),
    ],
)
def test_a_group_is_a_class_a_task_or_a_class_within_a_task(by, counts) -> None:
    """Six rows of capacity over task 4 with label 0 and task 7 with labels 0 and 1."""
    memory = Balanced(6, by=by)
    memory.add(Batch(torch.zeros(30, 1), torch.zeros(30).long(), task=4))
    memory.add(Batch(torch.zeros(30, 1), torch.arange(30) % 2, task=7))
    found = memory.group_counts()
    assert 6 == sum(found.values())
    assert found == counts or by == "class"
    assert {*found} == {*counts}


def test_groups_of_rows_without_task_ids_are_their_classes() -> None:
    """`by="group"` works on a stream that knows no tasks."""
    memory = Balanced(6, by="group")
    memory.add(of_class([2] * 30 + [8] * 30))
    assert {2: 3, 8: 3} == memory.group_counts()


def test_an_unknown_grouping_is_refused() -> None:
    """The message lists the three that there are."""
    with pytest.raises(InvalidValue, match="'class', 'task', 'group'"):
        Balanced(6, by="label")


@pytest.mark.parametrize("size", [1, 13, 40], ids=["singly", "by 13", "by 40"])
def test_each_class_is_sampled_uniformly_also_after_others_took_its_room(size) -> None:
    """Class 0, then 1, then 0 again: all its rows are held equally often, however batched."""
    labels = torch.tensor([0] * 30 + [1] * 40 + [0] * 10)
    trials = TRIALS if size > 1 else TRIALS // 4
    counts = torch.zeros(80)
    for seed in range(trials):
        memory = Balanced(12)
        memory.seed(seed)
        for start in range(0, 80, size):
            memory.add(numbered(labels, start, size))
        assert {0: 6, 1: 6} == memory.group_counts()
        counts[memory.rows().x[:, 0]] += 1
    assert uniform_pvalue(counts[labels == 0], trials, 6) > 0.001
    assert uniform_pvalue(counts[labels == 1], trials, 6) > 0.001


def test_erased_rows_leave_a_uniform_sample_of_their_class() -> None:
    """Of class 0 ten of the first 30 rows are erased: the other 50 are held equally often."""
    labels = torch.zeros(60).long()
    counts = torch.zeros(60)
    for seed in range(TRIALS):
        memory = Balanced(12)
        memory.seed(seed)
        memory.add(numbered(labels, 0, 30))
        memory.erase(memory.rows().x[:, 0] < 10)
        memory.add(numbered(labels, 30, 30))
        counts[memory.rows().x[:, 0]] += 1
    assert 0 == counts[:10].sum()
    others = counts[10:]
    spread = others.mean() * (1 - others.mean() / TRIALS)
    assert chi2.sf(float((others - others.mean()).square().sum() / spread), 49) > 0.001


labels_lists = st.lists(st.integers(0, 3), max_size=15)


@given(st.integers(1, 9), st.none() | st.integers(1, 4), st.lists(labels_lists, max_size=8))
def test_any_history_agrees_with_keys_in_a_dict(capacity, quota, batches) -> None:
    """A plain model: per class the smallest keys below its limit; sizes as equal as rows allow."""
    memory, generator = Balanced(capacity, quota=quota), torch.Generator().manual_seed(0)
    held: dict[int, dict[int, float]] = {}
    limits: dict[int, float] = {}
    start = 0
    for labels in batches:
        memory.add(numbered(torch.tensor(labels, dtype=torch.long), 0, len(labels), start))
        keys = torch.rand(len(labels), generator=generator, dtype=torch.float64).tolist()
        for number, (label, key) in enumerate(zip(labels, keys, strict=True), start):
            if key < limits.get(label, 2.0):
                held.setdefault(label, {})[number] = key
        start += len(labels)
        sizes = memory.group_counts()
        check_equal_shares({k: len(v) for k, v in held.items()}, sizes, capacity, quota)
        for label, entered in held.items():
            ranked = sorted(entered, key=entered.get)
            for number in ranked[sizes.get(label, 0) :]:
                limits[label] = min(limits.get(label, 2.0), entered.pop(number))
        rows = memory.rows()
        expected = sorted(number for entered in held.values() for number in entered)
        assert expected == ([] if rows is None else sorted(rows.x[:, 0].tolist()))


def check_equal_shares(wanted, given_, capacity, quota) -> None:
    """As many rows as fit; a class below what it wanted has no other more than one row ahead."""
    cap = capacity if quota is None else quota
    most = {label: min(size, cap) for label, size in wanted.items()}
    assert min(capacity, sum(most.values())) == sum(given_.values())
    for label, size in most.items():
        share = given_.get(label, 0)
        assert share == size or share >= max(given_.values()) - 1


def of_class(labels: list[int]) -> Batch:
    return Batch(torch.zeros(len(labels), 1), torch.tensor(labels))


def numbered(labels: torch.Tensor, start: int, size: int, offset: int = 0) -> Batch:
    """Rows `start` on, x being their number."""
    part = labels[start : start + size]
    return Batch(torch.arange(start, start + len(part))[:, None] + offset, part)


def uniform_pvalue(counts: torch.Tensor, trials: int, held: int) -> float:
    """Chi-square of how often each of n rows was among the `held` ones, which do not repeat."""
    share = held / len(counts)
    spread = trials * share * (1 - share) * len(counts) / (len(counts) - 1)
    return float(chi2.sf(float((counts - trials * share).square().sum()) / spread, len(counts) - 1))
