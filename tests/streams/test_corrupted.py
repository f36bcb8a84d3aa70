"""Corrupted: each task spoils the images in its own way."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, corrupted
from perdure.streams.corrupted import DEVIATION, Blur, Noise, fade


def data_of(x):
    y = torch.arange(len(x)) % 2
    return Data("images", x, y, x, y, ("a", "b"))


def shown(x, kind, **settings):
    """The first batch of the one task of this kind."""
    return next(iter(corrupted(data_of(x), [kind], **settings).tasks[0].train)).x


def test_every_kind_is_a_task_in_the_order_given(toy):
    """The first of the default ones is clean."""
    data = data_of(torch.rand(8, 1, 6, 6))
    stream = corrupted(data)
    names = ["clean", "noise", "blur", "contrast", "inversion"]
    assert names == [task.name for task in stream]
    assert torch.equal(data.train_x, next(iter(stream.tasks[0].train)).x)
    assert ["blur", "clean"] == [task.name for task in corrupted(data, ("blur", "clean"))]


@pytest.mark.parametrize("kind", ["clean", "noise", "blur", "contrast", "inversion"])
def test_bytes_stay_bytes_and_agree_with_floats(kind):
    """Spoiling bytes is spoiling them as floats in [0, 1], rounded."""
    x = torch.randint(0, 256, (8, 3, 7, 5), dtype=torch.uint8)
    spoilt, floats = shown(x, kind), shown(x.float() / 255, kind)
    assert spoilt.dtype == torch.uint8
    assert 0 <= float(floats.min()) <= float(floats.max()) <= 1
    assert torch.equal((floats * 255).round().to(torch.uint8), spoilt)


def test_noise_has_the_deviation_of_its_severity():
    """Mean 0; measured on mid-grey, where nothing is clipped."""
    grey = 0.45 + 0.1 * torch.rand(400, 1, 10, 10)
    for severity, deviation in enumerate(DEVIATION, 1):
        noise = shown(grey, "noise", severity=severity) - grey
        assert abs(float(noise.mean())) < 0.02 * deviation
        assert abs(float(noise.std()) / deviation - 1) < 0.02


def test_noise_belongs_to_the_image():
    """The same in whatever batch it is drawn, another for another image and another seed."""
    x = torch.rand(20, 1, 8, 8)
    task = corrupted(data_of(x), ["noise"]).tasks[0]
    whole = next(iter(task.train)).x
    alone = torch.cat([task.train.batch(torch.tensor([row])).x for row in range(20)])
    assert torch.equal(whole, alone)
    added = [tuple(row) for row in (whole - x).flatten(1).tolist()]
    assert 20 == len(set(added))
    assert not torch.equal(whole, shown(x, "noise", seed=1))


def test_noise_differs_for_images_that_differ_in_one_grey_level():
    """All 784 of them, each a step from black."""
    images = torch.zeros(784, 784).fill_diagonal_(1 / 255).view(784, 1, 28, 28)
    noise = Noise(0.1, 784, seed=0)(images) - images
    assert 784 == len(noise[:, 0, 0, :3].unique(dim=0))


@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.0])
def test_blur_agrees_with_scipy(sigma):
    """A Gaussian cut at 4 sigma, with the edge going on beyond the edge."""
    images = torch.rand(2, 3, 9, 6, dtype=torch.float64)
    expected = [
        [ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=4) for plane in image]
        for image in images.numpy()
    ]
    assert torch.allclose(torch.from_numpy(np.array(expected)), Blur(sigma)(images), atol=1e-6)


def test_less_contrast_keeps_the_mean_and_scales_what_differs_from_it():
    """0.2 and 0.6 at a quarter of their contrast: 0.35 and 0.45."""
    image = torch.tensor([[[[0.2, 0.6]]]])
    assert torch.allclose(torch.tensor([[[[0.35, 0.45]]]]), fade(image, 0.25))
    colour = torch.rand(3, 2, 4, 4)
    assert torch.allclose(colour.mean((2, 3)), fade(colour, 0.3).mean((2, 3)), atol=1e-6)


def test_inversion_twice_is_the_image_again():
    """White for black."""
    x = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(255 - x, shown(x, "inversion"))


def test_a_higher_severity_spoils_more():
    """By mean square error, for each kind that has one."""
    x = torch.rand(30, 1, 12, 12)
    for kind in ("noise", "blur", "contrast"):
        errors = [float((shown(x, kind, severity=s) - x).square().mean()) for s in range(1, 6)]
        assert sorted(errors) == errors
        assert 5 == len(set(errors))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["fog"]}, "choose from clean, noise, blur"),
        ({"kinds": []}, "kinds are"),
        ({"severity": 0}, "severity is 0"),
        ({"severity": 6}, "severity is 6"),
    ],
    ids=["unknown", "none", "too mild", "too strong"],
)
def test_what_cannot_be_is_refused(settings, message):
    """With what can be."""
    with pytest.raises(InvalidValue, match=message):
        corrupted(data_of(torch.rand(4, 1, 4, 4)), **settings)


def test_scenario_class_is_refused_and_so_are_inputs_that_are_no_images():
    """A blurred shoe is a shoe."""
    with pytest.raises(Impossible, match="corrupted tasks share their classes"):
        corrupted(data_of(torch.rand(4, 1, 4, 4)), scenario="class")
    with pytest.raises(InvalidValue, match=r"shape \(5,\)"):
        corrupted(data_of(torch.rand(4, 5)))
