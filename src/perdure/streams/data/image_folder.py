"""Image folder: a data set from pictures on disk, one sub-folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perdure.errors import DataUnavailable, InvalidValue, require
from perdure.streams.dataset import Data
from perdure.streams.draws import stratified

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

DEEP = ("I", "F")
"""Modes of pillow, such as I;16, with more than 8 bits a channel."""


def image_folder(
    folder: str | Path,
    *,
    test: float | str | Path = 0.2,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    seed: int = 0,
) -> Data:
    """A data set from pictures: uint8 (n, 3, height, width), all held in memory.

    The names of the sub-folders, sorted, are the classes; hidden ones, and files with other
    suffixes than those of pictures, are passed over. For more pictures than memory holds, use
    `torch_dataset`.

    Args:
        folder: has one sub-folder a class.
        test: the share of each class to measure on, in (0, 1), or a second folder of that kind.
        size: (height, width) to resize to, or the side of a square; None takes them as they are.
        grey: one channel instead of three.
        seed: of the choice of test pictures.

    Raises:
        InvalidValue: pictures differ in size and none is given, one has more than 8 bits a channel,
            a sub-folder has no picture, or a class is only in `test`.
        DataUnavailable: there is no such folder, no picture in it, or a picture is damaged.
        MissingExtra: pillow is not installed.
    """
    classes = _classes(Path(folder))
    shape = (size, size) if isinstance(size, int) else size
    x, y = _pictures(Path(folder), classes, shape, grey=grey)
    empty = sorted(set(range(len(classes))) - set(y.tolist()))
    if empty:
        raise InvalidValue(
            f"{folder} has no picture in {[classes[label] for label in empty]}; a sub-folder is a "
            "class, so take these away"
        )
    if isinstance(test, str | Path):
        strangers = sorted(set(_classes(Path(test))) - set(classes))
        if strangers:
            raise InvalidValue(f"{test} has the classes {strangers}, which {folder} lacks")
        shown_x, shown_y = _pictures(Path(test), classes, shape, grey=grey)
        return Data(Path(folder).name, x, y, shown_x, shown_y, classes)
    train, shown = stratified(y, test, seed)
    return Data(Path(folder).name, x[train], y[train], x[shown], y[shown], classes)


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataUnavailable(f"there is no folder {folder.absolute()}")
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _pictures(
    folder: Path, classes: tuple[str, ...], shape: tuple[int, int] | None, *, grey: bool
) -> tuple[Tensor, Tensor]:
    found = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise DataUnavailable(
            f"{folder.absolute()} has no sub-folder with pictures; put them into one sub-folder a "
            "class"
        )
    pictures = [_picture(path, shape, grey=grey) for path, _ in found]
    for (path, _), picture in zip(found, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise InvalidValue(
                f"{found[0][0]} is {tuple(pictures[0].shape[1:])} and {path} is "
                f"{tuple(picture.shape[1:])} (height, width); give size=(height, width)"
            )
    return torch.stack(pictures), torch.tensor([label for _, label in found])


def _picture(path: Path, shape: tuple[int, int] | None, *, grey: bool) -> Tensor:  # (c, h, w)
    image = require("PIL.Image", "images")
    try:
        with image.open(path) as opened:
            if opened.mode.startswith(DEEP):
                raise InvalidValue(
                    f"{path} has more than 8 bits a channel (mode {opened.mode}), which would be "
                    "cut to white; convert it first"
                )
            picture = opened.convert("L" if grey else "RGB")
    except OSError as error:
        raise DataUnavailable(f"the picture {path} cannot be read: {error}") from error
    if shape is not None:
        picture = picture.resize((shape[1], shape[0]))
    pixels = torch.from_numpy(np.array(picture, np.uint8))
    return pixels.unsqueeze(0) if grey else pixels.permute(2, 0, 1).contiguous()
