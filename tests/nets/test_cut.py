"""A model run in two parts: equal to running it whole, and what is below the cut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perdure.errors import Impossible, InvalidValue
from perdure.nets import CNN, MLP, Classifier, FixedHead
from perdure.nets.cut import below, through


def model() -> Classifier:
    torch.manual_seed(0)
    return Classifier(MLP(4, (8, 6)), FixedHead(6, 3))


@pytest.mark.parametrize("at", ["backbone.layers.0", "backbone.layers.1", "backbone", "head"])
def test_stored_outputs_of_the_cut_end_as_their_rows_would(at: str) -> None:
    """Whatever the cut: rows that were stored there and others together are as all from below."""
    net, x = model(), torch.randn(7, 4)
    whole, latent = through(net, at, x, None, net)
    torch.testing.assert_close(net(x), whole)
    joint, first = through(net, at, x[:5], latent[5:], net)
    torch.testing.assert_close(joint, whole)
    torch.testing.assert_close(first, latent[:5])


def test_maps_of_images_are_cut_as_well() -> None:
    """A convolution's outputs (n, channels, h, w)."""
    net, x = Classifier(CNN(1, 2), FixedHead(8, 3)), torch.randn(4, 1, 8, 8)
    whole, latent = through(net, "backbone.layers.2", x, None, net)
    assert (4, 2, 4, 4) == tuple(latent.shape)
    joint, _ = through(net, "backbone.layers.2", x[:1], latent[1:], net)
    torch.testing.assert_close(joint, whole)


def test_what_the_cut_depends_on_is_below_it() -> None:
    """By name; nothing where all of that is frozen."""
    net, x = model(), torch.randn(2, 4)
    params = dict(net.named_parameters())
    first = ["backbone.layers.0.weight", "backbone.layers.0.bias"]
    _, latent = through(net, "backbone.layers.1", x, None, net)
    assert first == below(latent, params)
    _, latent = through(net, "backbone", x, None, net)
    assert 4 == len(below(latent, params))
    net.backbone.requires_grad_(False)
    _, latent = through(net, "backbone", x, None, net)
    assert [] == below(latent, dict(net.head.named_parameters()))


def test_the_model_is_left_as_it_was() -> None:
    """No hook stays behind, also where the pass fails."""
    net = model()
    through(net, "backbone", torch.randn(2, 4), torch.randn(3, 6), net)
    with pytest.raises(RuntimeError):
        through(net, "backbone", torch.randn(2, 5), torch.randn(3, 6), net)
    assert 2 == len(net(torch.randn(2, 4)))


@pytest.mark.parametrize("at", ["backbone.layers.9", "", "body"])
def test_a_module_that_is_not_there_is_refused_by_name(at: str) -> None:
    """With those that are."""
    with pytest.raises(Impossible, match=r"backbone\.layers\.3"):
        through(model(), at, torch.randn(2, 4), None, model())


def test_a_cut_that_gives_the_rows_themselves_is_refused() -> None:
    """It would store what must not be stored."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(InvalidValue, match="rows themselves"):
        through(net, "0", torch.randn(2, 2, 2), None, net)


def test_a_cut_through_which_rows_go_twice_is_refused() -> None:
    """Or not at all."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.idle = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(x))

    net = Twice()
    for at, times in (("layer", "2 times"), ("idle", "0 times")):
        with pytest.raises(Impossible, match=times):
            through(net, at, torch.randn(2, 4), None, net)
