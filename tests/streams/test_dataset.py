"""Data: a data set before it becomes a stream."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data
from perdure.streams.images import image_shape, on_images


def test_data_says_its_shape_and_how_many_outputs_it_needs(toy):
    """Classes, or the numbers that a target is."""
    data = toy()
    assert ((1, 4, 4), 6) == (data.shape, data.outputs)
    x = torch.rand(4, 7)
    assert 1 == Data("single", x, torch.rand(4), x, torch.rand(4)).outputs
    assert 3 == Data("triple", x, torch.rand(4, 3), x, torch.rand(4, 3)).outputs


def test_data_is_frozen(toy):
    """What tasks share must not change under them."""
    with pytest.raises(FrozenInstanceError):
        toy().name = "other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_y": torch.zeros(3, dtype=torch.int64)}, "train columns differ in length"),
        ({"columns": {"day": (np.zeros(60), np.zeros(3))}}, "test columns .*'day': 3"),
        ({"test_y": torch.arange(24)}, "run from 0 to 23; there are 6 classes"),
        ({"train_y": torch.arange(60) - 1}, "run from -1"),
        ({"train_y": torch.zeros(60, dtype=torch.int32)}, "int32"),
        ({"train_y": torch.zeros(60, 1, dtype=torch.int64)}, r"\(60, 1\); int64 \(n,\)"),
        ({"classes": ()}, "labels need the names of their classes"),
    ],
    ids=["length", "column", "too many", "negative", "dtype", "shape", "no names"],
)
def test_columns_that_do_not_belong_together_are_refused(toy, change, message):
    """At once, with the numbers."""
    with pytest.raises(InvalidValue, match=message):
        replace(toy(), **change)


def test_a_wish_for_classes_is_refused_of_a_regression(toy):
    """And granted to a classification."""
    toy().need_classes("anything")
    x = torch.rand(4, 7)
    with pytest.raises(Impossible, match="balance needs class labels and flow is a regression"):
        Data("flow", x, torch.rand(4), x, torch.rand(4)).need_classes("balance")


@pytest.mark.parametrize(
    ("shape", "image"),
    [((3, 4, 5), (3, 4, 5)), ((4, 5), (1, 4, 5)), ((49,), (1, 7, 7))],
    ids=str,
)
def test_pixels_are_found_in_every_form(shape, image):
    """Colour, grey, and flat squares; a change of them returns to the form."""
    assert image == image_shape(shape)
    x = torch.rand(2, *shape)
    seen = []
    assert torch.equal(x, on_images(x, lambda images: seen.append(images.shape) or images))
    assert [(2, *image)] == seen


@pytest.mark.parametrize("shape", [(), (1,), (8,), (2, 3, 4, 5)], ids=str)
def test_what_has_no_pixels_is_refused(shape):
    """One number is no picture, and a film is too much."""
    with pytest.raises(InvalidValue, match="it must be"):
        image_shape(shape)


def test_every_byte_survives_a_change_that_changes_nothing():
    """All 256 levels go through float and back."""
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(x, on_images(x, lambda images: images))
