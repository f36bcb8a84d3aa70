"""The multi-layer backbone."""

from __future__ import annotations

import pytest
import torch

from perdure.errors import InvalidValue
from perdure.nets import MLP


def test_it_has_the_parameters_of_its_layers() -> None:
    """784-400-400: 784*400 + 400 + 400*400 + 400 = 474,400, as in the field's tables."""
    assert sum(p.numel() for p in MLP(784).parameters()) == 474_400


def test_it_flattens_and_ends_in_a_relu() -> None:
    """Images go in, features that are nowhere negative come out."""
    features = MLP(2 * 3 * 4, (9, 7))(torch.randn(5, 2, 3, 4))
    assert features.shape == (5, 7)
    assert float(features.detach().min()) == 0.0


def test_it_is_the_equation() -> None:
    """relu(W2 relu(W1 x + b1) + b2), by hand."""
    net, x = MLP(3, (4, 2)), torch.randn(6, 3)
    w1, b1, w2, b2 = net.parameters()
    expected = torch.relu(torch.relu(x @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(net(x), expected)


def test_it_says_the_width_of_its_features() -> None:
    """No hidden layer at all leaves the flattened inputs."""
    assert MLP(3, (4, 2)).out_features == 2
    assert MLP(6, ()).out_features == 6
    x = torch.randn(2, 2, 3)
    assert torch.equal(MLP(6, ())(x), x.flatten(1))


@pytest.mark.parametrize(("inputs", "hidden"), [(0, (4,)), (4, (3, 0))])
def test_an_impossible_width_is_refused(inputs: int, hidden: tuple[int, ...]) -> None:
    """At construction, with the range."""
    with pytest.raises(InvalidValue, match="MLP: a width is 0"):
        MLP(inputs, hidden)
