"""Draws: choices that their seed alone decides."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.streams.draws import seeded, stratified

labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)
shares = st.floats(0.05, 0.95)


@given(labels=labels, share=shares, seed=st.integers(0, 99))
def test_the_two_parts_are_all_rows_and_share_none(labels, share, seed):
    """Both ascending."""
    kept, held = (part.tolist() for part in stratified(torch.tensor(labels), share, seed))
    assert list(range(len(labels))) == sorted(kept + held)
    assert kept == sorted(kept)
    assert held == sorted(held)


@given(labels=labels, share=shares, seed=st.integers(0, 99))
def test_each_class_keeps_its_share_to_within_a_row(labels, share, seed):
    """Rounded, but at least one row on either side where there are two."""
    y = torch.tensor(labels)
    _, held = stratified(y, share, seed)
    for label in set(labels):
        rows, taken = labels.count(label), int((y[held] == label).sum())
        assert min(max(round(share * rows), 1), rows - 1) == taken


def test_targets_of_a_regression_are_split_by_number_alone():
    """A quarter of 100 floating targets is 25 rows."""
    kept, held = stratified(torch.rand(100, 2), 0.25, seed=0)
    assert (75, 25) == (len(kept), len(held))


def test_the_choice_depends_on_the_seed_alone():
    """Not on the global generator."""
    y = torch.arange(100) % 2
    first = stratified(y, 0.3, seed=1)[1]
    torch.manual_seed(99)
    assert torch.equal(first, stratified(y, 0.3, seed=1)[1])
    assert not torch.equal(first, stratified(y, 0.3, seed=2)[1])


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share):
    """Nothing, or everything, is no split."""
    with pytest.raises(InvalidValue, match="between 0 and 1"):
        stratified(torch.tensor([0, 1]), share, seed=0)


def test_generators_of_other_keys_are_others():
    """(1, 12) is not (11, 2), though they read the same without a separator."""
    draws = [torch.rand((), generator=seeded(*key)).item() for key in ((1, 12), (11, 2), ("a", 1))]
    assert 3 == len(set(draws))
    assert draws[0] == torch.rand((), generator=seeded(1, 12)).item()
