"""Image folder: pictures on disk, one sub-folder a class."""

import numpy as np
import pytest
import torch
from PIL import Image

from perdure.errors import DataUnavailable, InvalidValue
from perdure.streams import split
from perdure.streams.data import image_folder


def picture(path, seed=0, shape=(6, 4)):
    """A random colour picture of (height, width), and its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def zoo(tmp_path):
    """Ten pictures each of cats and apes."""
    for label, name in enumerate(("ape", "cat")):
        for number in range(10):
            picture(tmp_path / "zoo" / name / f"{number}.png", seed=10 * label + number)
    return tmp_path / "zoo"


def test_sub_folders_are_classes_and_pictures_keep_their_bytes(tmp_path):
    """Channels first; sub-folders sorted by name, pictures deeper inside included."""
    cat = picture(tmp_path / "zoo/cat/wild/1.PNG", seed=1)
    ape = picture(tmp_path / "zoo/ape/1.png", seed=2)
    data = image_folder(tmp_path / "zoo", test=tmp_path / "zoo")
    assert ("zoo", ("ape", "cat"), [0, 1]) == (data.name, data.classes, data.train_y.tolist())
    assert torch.uint8 == data.train_x.dtype
    for pixels, x in zip((ape, cat), data.train_x, strict=True):
        assert torch.equal(torch.from_numpy(pixels).permute(2, 0, 1), x)


def test_a_share_of_each_class_is_for_testing(zoo):
    """And the classes can be split."""
    data = image_folder(zoo, test=0.3)
    assert [3, 3] == data.test_y.bincount().tolist()
    assert 14 == len(data.train_y)
    assert (3, 6, 4) == split(data, 2).input_shape


def test_pictures_may_be_grey_and_resized(zoo):
    """One channel; a number is the side of a square, a pair is (height, width)."""
    assert (1, 6, 4) == image_folder(zoo, grey=True).shape
    assert (3, 5, 5) == image_folder(zoo, size=5).shape
    assert (3, 2, 8) == image_folder(zoo, size=(2, 8)).shape


def test_other_files_are_passed_over(zoo):
    """Notes beside the pictures are none."""
    (zoo / "cat/notes.txt").write_text("purrs")
    (zoo / "readme.md").write_text("a zoo")
    assert 20 == len(image_folder(zoo, test=zoo).train_y)


def test_pictures_of_other_sizes_are_refused_with_both(zoo):
    """And with the setting that helps, which then does."""
    picture(zoo / "cat/wide.png", shape=(6, 9))
    with pytest.raises(InvalidValue, match=r"\(6, 4\) and .*wide.png is \(6, 9\).*give size="):
        image_folder(zoo)
    assert (3, 6, 6) == image_folder(zoo, size=6).shape


def test_a_class_that_is_only_tested_is_refused(zoo, tmp_path):
    """Nothing could learn it."""
    picture(tmp_path / "test/yak/1.png")
    with pytest.raises(InvalidValue, match=r"classes \['yak'\]"):
        image_folder(zoo, test=tmp_path / "test")


def test_folders_without_pictures_are_refused(tmp_path):
    """Missing, or with pictures but no sub-folder."""
    with pytest.raises(DataUnavailable, match=r"no folder .*gone"):
        image_folder(tmp_path / "gone")
    picture(tmp_path / "flat/1.png")
    with pytest.raises(DataUnavailable, match="one sub-folder a class"):
        image_folder(tmp_path / "flat")


def test_a_damaged_picture_is_refused_by_name(zoo):
    """Cut short, or no picture at all."""
    path = zoo / "cat/3.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataUnavailable, match=r"3.png cannot be read"):
        image_folder(zoo)
    path.write_bytes(b"meow")
    with pytest.raises(DataUnavailable, match=r"3.png cannot be read"):
        image_folder(zoo)


def test_hidden_folders_are_no_classes_and_empty_ones_are_refused(zoo):
    """What a notebook or git leaves there; a class without a picture can never be learnt."""
    picture(zoo / ".thumbnails" / "1.png")
    assert ("ape", "cat") == image_folder(zoo).classes
    (zoo / "dog").mkdir()
    with pytest.raises(InvalidValue, match=r"no picture in \['dog'\]"):
        image_folder(zoo)


def test_deep_pictures_are_refused_rather_than_cut_to_white(zoo):
    """16 bits a pixel, of which pillow keeps those up to 255."""
    deep = np.random.default_rng(0).integers(0, 65536, (6, 4), np.uint16)
    Image.fromarray(deep).save(zoo / "ape" / "deep.png")
    with pytest.raises(InvalidValue, match=r"deep.png has more than 8 bits a channel"):
        image_folder(zoo)
