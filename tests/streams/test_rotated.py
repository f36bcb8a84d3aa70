"""Rotated: each task turns the images by its own angle."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, rotated
from perdure.streams.data import arrays
from perdure.streams.rotated import Rotation


def shown(task):
    return next(iter(task.train)).x


@pytest.mark.parametrize(("angle", "quarters"), [(90, 1), (180, 2), (270, 3), (-90, 3), (360, 0)])
def test_quarter_turns_only_move_pixels(angle, quarters):
    """Anticlockwise, exactly: bytes come back as bytes."""
    x = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    assert torch.equal(torch.rot90(x, quarters, (2, 3)), Rotation(angle)(x))


def test_a_half_turn_of_a_picture_that_is_no_square_is_exact():
    """Height and width are each turned in pixels, not in their own length."""
    x = torch.rand(2, 1, 4, 9)
    assert torch.allclose(x.flip(2, 3), Rotation(180)(x), atol=1e-6)


@given(angle=st.floats(-180, 180), height=st.integers(5, 12), width=st.integers(5, 12))
def test_rotation_agrees_with_scipy(angle, height, width):
    """Bilinear about the centre, 0 from outside, away from the rim where edges are treated
    differently.
    """
    generator = torch.Generator().manual_seed(height * 100 + width)
    picture = torch.zeros(height + 8, width + 8)
    picture[4:-4, 4:-4] = torch.rand(height, width, generator=generator)
    expected = ndimage.rotate(picture.double().numpy(), angle, reshape=False, order=1)
    found = Rotation(angle)(picture[None, None].double())[0, 0]
    inside = slice(2, -2), slice(2, -2)
    assert np.allclose(expected[inside], found[inside].numpy(), atol=1e-4)


def test_there_and_back_is_the_same_in_the_middle_of_a_smooth_picture():
    """What interpolation loses is small where nothing changes quickly."""
    ramp = torch.linspace(0, 1, 20).expand(1, 1, 20, 20)
    back = Rotation(-30)(Rotation(30)(ramp))
    assert torch.allclose(ramp[..., 7:13, 7:13], back[..., 7:13, 7:13], atol=1e-5)


def test_angles_spread_from_0_to_180_unless_given(toy):
    """And the tasks are named by them; an angle may come back."""
    assert ["0°", "45°", "90°", "135°", "180°"] == [t.name for t in rotated(toy())]
    again = rotated(toy(), angles=[0, 22.5, 0])
    assert ["0°", "22.5°", "0°"] == [task.name for task in again]
    assert torch.equal(shown(again.tasks[0]), shown(again.tasks[2]))


def test_the_angle_0_leaves_the_rows_as_they_are(toy):
    """No interpolation at all."""
    data = toy()
    assert rotated(data).tasks[0].train.transform is None
    assert torch.equal(data.train_x, shown(rotated(data).tasks[0]))


def test_flat_rows_of_a_square_are_turned_as_squares():
    """And come back flat."""
    images = torch.rand(10, 1, 3, 3)
    y = torch.zeros(10, dtype=torch.int64)
    flat = Data("flat", images.flatten(1), y, images.flatten(1), y, ("a",))
    task = rotated(flat, angles=[90]).tasks[0]
    assert torch.allclose(torch.rot90(images, 1, (2, 3)).flatten(1), shown(task), atol=1e-6)


@pytest.mark.parametrize("scenario", ["task", "domain", "free"])
def test_every_task_keeps_the_labels(toy, scenario):
    """In the three scenarios in which that makes sense."""
    data = toy()
    stream = rotated(data, 3, scenario)
    assert all(torch.equal(data.train_y, task.train.labels()) for task in stream)
    assert ("rotated toy", 6) == (stream.name, stream.classes)


def test_scenario_class_is_refused(toy):
    """A turned 3 is a 3: no task brings a class."""
    with pytest.raises(Impossible, match="none brings new ones"):
        rotated(toy(), 3, "class")


def test_what_is_no_image_is_refused():
    """Seven numbers make no square, and no angle makes no task."""
    data = arrays(torch.rand(10, 7), [0, 1] * 5)
    with pytest.raises(InvalidValue, match=r"shape \(7,\)"):
        rotated(data)
    with pytest.raises(InvalidValue, match="tasks is 0"):
        rotated(data, 0)
