"""Arithmetic on parameters by name."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import tree

numbers = st.floats(-10, 10, width=32)
trees = st.dictionaries(
    st.sampled_from("abcd"), st.lists(numbers, min_size=3, max_size=3).map(torch.tensor)
)


@given(trees, trees, numbers)
def test_combine_is_a_plus_scale_times_b(a: tree.Tree, b: tree.Tree, scale: float) -> None:
    """A name that one side lacks is zero there."""
    both = tree.combine(a, b, scale)
    assert set(both) == set(a) | set(b)
    zero = torch.zeros(3)
    for name, value in both.items():
        torch.testing.assert_close(value, a.get(name, zero) + scale * b.get(name, zero))


@given(trees, trees)
def test_dot_runs_over_shared_names(a: tree.Tree, b: tree.Tree) -> None:
    """The inner product equals the sum of products, whatever the names."""
    expected = sum(float((a[n].double() * b[n].double()).sum()) for n in a if n in b)
    assert float(tree.dot(a, b)) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_copies_share_no_memory() -> None:
    """Writing into a copy leaves the original alone."""
    a = {"w": torch.zeros(2)}
    tree.copy(a)["w"].fill_(1)
    assert a["w"].tolist() == [0, 0]


def test_largest_and_size() -> None:
    """The largest absolute entry, and bytes."""
    a = {"w": torch.tensor([1.0, -3.0]), "b": torch.tensor([2.0])}
    assert tree.largest(a) == 3
    assert tree.largest({}) == 0
    assert tree.size_bytes(a) == 12
    assert tree.zeros(a)["w"].tolist() == [0, 0]
    assert tree.apply(torch.neg, a)["b"].tolist() == [-2]
