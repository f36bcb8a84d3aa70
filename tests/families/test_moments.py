"""Sums by class: equal to numpy's, whatever the order, the batches and the ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.families.moments import Kind, Moments
from perdure.method import Stateful

KINDS: tuple[Kind, ...] = ("spherical", "shared", "each")


def rows(seed: int, n: int = 40, d: int = 4, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Features far from the origin, labels with gaps, task ids."""
    generator = torch.Generator().manual_seed(seed)
    f = 3 + torch.randn(n, d, generator=generator)
    y = 2 * torch.randint(classes, (n,), generator=generator)
    return f, y, torch.randint(3, (n,), generator=generator)


def held(kind: Kind, f: Tensor, y: Tensor, pieces: list[int]) -> Moments:
    """The sums of rows that came in batches of these sizes."""
    found = Moments(kind)
    for part, labels in zip(f.split(pieces), y.split(pieces), strict=True):
        found.add(part, labels)
    return found


# -- what is summed ------------------------------------------------------------------------------


def test_two_classes_by_hand() -> None:
    """Rows 1 and 3 of class 0, row 5 of class 2: means 2 and 5, spread (1 + 1) + 0 = 2."""
    found = Moments("spherical")
    found.add(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2]))
    assert [0, 2] == found.labels.tolist()
    assert [2.0, 1.0] == found.count.tolist()
    assert [[2.0], [5.0]] == found.means.tolist()
    assert 35.0 == float(found.second)  # 1 + 9 + 25
    assert 2.0 == float(found.within())
    assert (3.0, 2) == (found.rows, found.classes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_spread_within_classes_is_numpys(kind: Kind) -> None:
    """Each class's covariance times its rows, added up as the kind says."""
    f, y, _ = rows(0, 200)
    each = [np.cov(f[y == c].double().T, bias=True) * int((y == c).sum()) for c in y.unique()]
    expected = {"spherical": sum(np.trace(c) for c in each), "shared": sum(each), "each": each}
    np.testing.assert_allclose(np.array(expected[kind]), held(kind, f, y, [200]).within(), 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 30), min_size=1, max_size=5), st.randoms())
def test_neither_order_nor_batches_matter(
    kind: Kind, seed: int, sizes: list, random: object
) -> None:
    """The same rows in another order and other batches give the same sums, to rounding."""
    f, y, _ = rows(seed, sum(sizes))
    order = torch.tensor(random.sample(range(len(y)), len(y)))
    one, other = held(kind, f, y, sizes), held(kind, f[order], y[order], [1] * len(y))
    for name, total in one.state_dict().items():
        torch.testing.assert_close(total, other.state_dict()[name], rtol=1e-12, atol=1e-12)


def test_classes_that_come_late_take_their_place() -> None:
    """Groups are in the order of their labels, whichever came first."""
    found = Moments("each")
    found.add(torch.full((1, 2), 9.0), torch.tensor([9]))
    found.add(torch.full((2, 2), 4.0), torch.tensor([4, 4]))
    found.add(torch.full((1, 2), 6.0), torch.tensor([6]))
    assert [4, 6, 9] == found.labels.tolist()
    assert [2.0, 1.0, 1.0] == found.count.tolist()
    assert [32.0, 36.0, 81.0] == found.second[:, 0, 1].tolist()


def test_a_label_of_two_tasks_is_two_groups() -> None:
    """With `per_task` alone; the groups say which task each belongs to."""
    f, y, task = torch.eye(4), torch.tensor([0, 0, 1, 0]), torch.tensor([0, 7, 7, 0])
    found = Moments("shared", per_task=True)
    found.add(f, y, task)
    assert [0, 0, 1] == found.labels.tolist()
    assert [0, 7, 7] == found.tasks.tolist()
    assert [2.0, 1.0, 1.0] == found.count.tolist()
    assert 2 == found.classes
    with pytest.raises(InvalidValue, match="task id"):
        found.add(f, y)


def test_float64_holds_what_float32_would_lose() -> None:
    """A million rows at 1000 +- 1 have a spread of 1, though their squares add up to 1e12."""
    f = 1000 + torch.tensor([-1.0, 1.0]).repeat(500_000)[:, None]
    found = Moments("spherical")
    for part in f.split(100_000):
        found.add(part, torch.zeros(len(part), dtype=torch.int64))
    assert 1.0 == pytest.approx(float(found.within()) / found.rows, rel=1e-6)


def test_identical_rows_have_no_spread_that_counts() -> None:
    """What rounding leaves of it lies below the floor."""
    found = Moments("shared")
    found.add(torch.full((50, 3), 0.1), torch.zeros(50, dtype=torch.int64))
    assert float(found.within().abs().max()) / found.rows < found.floor < 1e-12
    assert 1.0 == Moments("each").floor


# -- refusals and state --------------------------------------------------------------------------


@pytest.mark.parametrize("y", [torch.tensor([0.5]), torch.tensor([-1]), torch.tensor([[1]])])
def test_targets_that_are_no_labels_are_refused(y: Tensor) -> None:
    """Regression targets, negative labels and tables."""
    with pytest.raises(InvalidValue, match="class labels"):
        Moments("shared").add(torch.ones(1, 2), y)


def test_features_of_another_width_are_refused() -> None:
    """Their backbone is another one; and an unknown kind has no meaning."""
    found = Moments("shared")
    found.add(torch.ones(1, 2), torch.tensor([0]))
    with pytest.raises(InvalidValue, match="2 wide and are 3"):
        found.add(torch.ones(1, 3), torch.tensor([0]))
    with pytest.raises(InvalidValue, match="kind"):
        Moments("diagonal")


@pytest.mark.parametrize("kind", KINDS)
def test_state_comes_back_and_shares_nothing(kind: Kind) -> None:
    """What is added to the one that was loaded does not reach the state that it came from."""
    f, y, _ = rows(1)
    first = held(kind, f, y, [40])
    assert isinstance(first, Stateful)
    state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    second = Moments(kind)
    second.load_state_dict(state)
    second.add(f, y)
    assert 2 * first.rows == second.rows
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_state_of_another_kind_is_refused() -> None:
    """By its shape; and unknown names are refused too."""
    with pytest.raises(CheckpointMismatch, match="kind 'each'"):
        Moments("each").load_state_dict(Moments("shared").state_dict())
    with pytest.raises(CheckpointMismatch, match="more"):
        Moments("each").load_state_dict({**Moments("each").state_dict(), "more": 1})


def test_state_does_not_grow_with_rows() -> None:
    """The millionth row costs what the thousandth did: no tensor has another shape."""
    f, y, _ = rows(2, 1000)
    found = held("shared", f, y, [1000])
    shapes = {name: tensor.shape for name, tensor in found.state_dict().items()}
    for _ in range(999):
        found.add(f, y)
    assert 1_000_000 == found.rows
    assert shapes == {name: tensor.shape for name, tensor in found.state_dict().items()}


# -- ranks ---------------------------------------------------------------------------------------


def test_one_alone_keeps_its_own() -> None:
    """Without ranks there is nothing to add."""
    found = Moments("shared")
    assert found is found.over(Engine())
