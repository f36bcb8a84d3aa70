"""Data sets by name."""

import pytest
import torch

from perdure.errors import InvalidValue
from perdure.streams import load, split
from perdure.streams.data import as_data, digits


def test_digits_are_small_images_with_a_fixed_fifth_for_testing():
    """1,797 rows of 8 by 8 in [0, 1], every class with its share on both sides."""
    data = load("digits")
    assert (1, 8, 8) == data.shape
    assert torch.float32 == data.train_x.dtype
    assert (0, 1) == (float(data.train_x.min()), float(data.train_x.max()))
    assert 1797 == len(data.train_y) + len(data.test_y)
    for label in range(10):
        shown = int((data.test_y == label).sum())
        assert round(0.2 * (shown + int((data.train_y == label).sum()))) == shown


def test_digits_are_the_same_each_time():
    """Whatever the global seed."""
    first = digits()
    torch.manual_seed(77)
    assert torch.equal(first.test_x, digits().test_x)


def test_no_digit_is_in_both_parts():
    """Images of the test part are not among those to learn from."""
    data = digits()
    train = {tuple(x) for x in data.train_x.flatten(1).tolist()}
    assert not any(tuple(x) in train for x in data.test_x.flatten(1).tolist())


def test_an_unknown_name_is_refused_with_the_nearest():
    """And with all that are known."""
    with pytest.raises(InvalidValue, match=r"'fashion_mnist'; did you mean 'fashion-mnist'\?"):
        load("fashion_mnist")
    with pytest.raises(InvalidValue, match=r"did you mean 'cifar-10'\?.*digits, fashion-mnist"):
        load("CIFAR10")
    with pytest.raises(InvalidValue, match="did you mean 'digits'"):
        split("digit")


def test_data_may_stand_where_a_name_stands(toy):
    """It is passed on as it is."""
    data = toy()
    assert as_data(data) is data
    assert "digits" == as_data("digits").name
