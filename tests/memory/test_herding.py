"""Herding: the greedy choice by its definition, and what the memory keeps of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from perdure import Batch
from perdure.errors import InvalidValue
from perdure.memory import Herding, embed, feature_sums, herd


@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 30), st.integers(0, 2**31))
def test_herding_follows_its_definition_pick_by_pick(n, d, picks, seed) -> None:
    """Each pick, as algorithm 4 says it in a loop over all rows, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    chosen = herd(features, picks).tolist()
    assert min(n, picks) == len(chosen) == len({*chosen})
    unit = features / features.norm(dim=1, keepdim=True)
    mean = F.normalize(unit.mean(0), dim=0)  # of rows that cancel out: zero
    for k, pick in enumerate(chosen, 1):
        before = chosen[: k - 1]
        distances = {
            row: float((mean - unit[[*before, row]].sum(0) / k).norm())
            for row in range(n)
            if row not in before
        }
        assert distances[pick] <= min(distances.values()) + 1e-9


def test_three_rows_by_hand() -> None:
    """Of east, north-east and north the mean is north-east: it comes first, then either side."""
    features = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    assert 1 == herd(features, 1).item()
    assert [0, 1, 2] == sorted(herd(features, 9).tolist())


def test_rows_without_any_feature_are_picked_last() -> None:
    """Zeros cannot be scaled to unit length; they do not poison the mean."""
    features = torch.tensor([[0.0, 0.0], [1.0, 0.1], [1.0, -0.1]])
    assert [0] == herd(features, 3).tolist()[2:]


def test_few_herded_rows_have_a_better_mean_than_random_ones() -> None:
    """10 of 500 rows: their mean is nearer to that of all than any of 200 random choices of 10."""
    features = torch.randn(500, 8) + 2 * torch.randn(8)
    unit = F.normalize(features, dim=1)
    mean = F.normalize(unit.mean(0), dim=0)
    ours = (unit[herd(features, 10)].mean(0) - mean).norm()
    others = [(unit[torch.randperm(500)[:10]].mean(0) - mean).norm() for _ in range(200)]
    assert ours < min(others)


def test_exemplars_of_old_classes_are_cut_from_the_end() -> None:
    """12 of class 0, then 6: the first 6 that were picked; the features themselves are not kept."""
    memory = Herding(12)
    first, second = featured(0, seed=1), featured(1, seed=2)
    memory.add(first)
    order = herd(first.extras["features"], 12)
    assert {*order.tolist()} == {*memory.rows().x[:, 0].tolist()}
    memory.add(second)
    kept = memory.rows()
    assert {*order[:6].tolist()} == {*kept.x[kept.y == 0, 0].tolist()}
    assert {0: 6, 1: 6} == memory.group_counts()
    assert {} == kept.extras


def test_a_quota_caps_the_exemplars_of_a_class() -> None:
    """5 a class though there is room for 100."""
    memory = Herding(100, quota=5)
    for label in range(4):
        memory.add(featured(label, seed=label))
    assert dict.fromkeys(range(4), 5) == memory.group_counts()


def test_a_class_in_two_tasks_is_two_groups() -> None:
    """Domain streams: the label is the same, the rows are not."""
    memory = Herding(8)
    for task in range(2):
        rows = featured(3, seed=task)
        memory.add(Batch(rows.x, rows.y, task, rows.extras))
    assert {(0, 3): 4, (1, 3): 4} == memory.group_counts()


def test_a_class_that_comes_again_shares_in_proportion_to_its_rows() -> None:
    """40 rows, then 120 more of the same class: 3 of 12 exemplars stay, 9 are new."""
    memory = Herding(12)
    memory.add(featured(0, seed=1, rows=40))
    again = featured(0, seed=2, rows=120)
    memory.add(Batch(again.x + 1000, again.y, extras=again.extras))
    old = int((memory.rows().x[:, 0] < 1000).sum())
    assert (3, 9) == (old, len(memory) - old)


def test_rows_without_features_are_refused() -> None:
    """The message says which call brings them."""
    with pytest.raises(InvalidValue, match="add_all"):
        Herding(5).add(Batch(torch.zeros(2, 1), torch.zeros(2).long()))


def test_choosing_from_batches_is_choosing_from_the_whole_task() -> None:
    """17 rows in batches of 4 and an empty one, features taken on the way."""
    rows, projection = featured(0, seed=3, rows=17), torch.randn(1, 5)
    whole, parts = Herding(6), Herding(6)

    def features(x):
        return torch.sin(x.float() @ projection)

    whole.add(Batch(rows.x, rows.y).with_extras(features=features(rows.x)))
    plain = Batch(rows.x, rows.y)
    parts.add_all([plain[:4], plain[4:4], plain[4:8], plain[8:12], plain[12:]], features)
    assert torch.equal(whole.rows().x, parts.rows().x)


def test_a_task_without_rows_changes_nothing() -> None:
    """A boundary may come before any row."""
    memory = Herding(6)
    memory.add_all([], lambda x: x)
    assert 0 == len(memory)


def test_features_are_taken_in_parts() -> None:
    """7 rows by 3: three calls of at most 3 rows, one result."""
    sizes = []

    def features(x):
        sizes.append(len(x))
        return 2.0 * x

    x = torch.rand(7, 2)
    assert torch.equal(2 * x, embed(features, x, rows=3))
    assert [3, 3, 1] == sizes


def test_feature_sums_add_unit_vectors_by_label() -> None:
    """(3, 4) is (0.6, 0.8); label 1 has no row; labels beyond `classes` widen the result."""
    rows = Batch(torch.tensor([[3.0, 4.0], [0.0, 2.0], [5.0, 0.0]]), torch.tensor([0, 0, 2]))
    expected = torch.tensor([[0.6, 1.8], [0.0, 0.0], [1.0, 0.0]])
    assert torch.allclose(expected, feature_sums(rows, lambda x: x, classes=2))
    assert (5, 2) == feature_sums(rows, lambda x: x, classes=5).shape


def featured(label: int, seed: int, rows: int = 40) -> Batch:
    """Rows of one class, x being their number, with random features."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(rows)[:, None]
    features = torch.randn(rows, 5, generator=generator) + 1
    return Batch(x, torch.full((rows,), label), extras={"features": features})
