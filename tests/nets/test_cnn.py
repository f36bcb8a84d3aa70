"""The small convolutional backbone."""

from __future__ import annotations

import pytest
import torch

from perdure.errors import InvalidValue
from perdure.nets import CNN


@pytest.mark.parametrize("size", [4, 7, 28, 32])
def test_any_image_size_gives_the_same_width(size: int) -> None:
    """The last map is averaged over positions."""
    net = CNN(channels=1, width=6)
    assert net(torch.randn(2, 1, size, size)).shape == (2, net.out_features) == (2, 24)


def test_it_has_the_parameters_of_its_convolutions() -> None:
    """(9 a + 1) b for each convolution from a to b channels."""
    expected = (9 * 3 + 1) * 8 + (9 * 8 + 1) * 16 + (9 * 16 + 1) * 32
    assert sum(p.numel() for p in CNN(width=8).parameters()) == expected


def test_a_row_does_not_see_its_batch() -> None:
    """No normalisation: one row alone gets what it gets among others, in training too."""
    net, x = CNN(width=4), torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(net.train()(x)[2:3], net(x[2:3]))


@pytest.mark.parametrize(("channels", "width", "name"), [(0, 4, "channels"), (3, 0, "width")])
def test_an_impossible_number_is_refused(channels: int, width: int, name: str) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidValue, match=f"CNN: {name} is 0"):
        CNN(channels, width)
