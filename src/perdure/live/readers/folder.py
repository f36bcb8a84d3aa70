"""A folder of images: each sub-folder is a class, images outside one have no label yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from perdure.errors import InvalidValue

ENDINGS = {".png", ".jpg", ".jpeg"}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The images as bytes, in the order of their paths; each is read when its turn comes."""
    for file in images(path):
        label = file.parent.name if file.parent != path else None
        yield {"image": file.read_bytes(), "label": label}


def count(path: Path) -> int:
    """How many images there are."""
    return len(images(path))


def images(path: Path) -> list[Path]:
    """The image files of a folder and of its sub-folders.

    Raises:
        InvalidValue: there are none.
    """
    found = sorted(
        file
        for pattern in ("*", "*/*")
        for file in path.glob(pattern)
        if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if not found:
        raise InvalidValue(
            f"{path} holds no image; put files that end in {', '.join(sorted(ENDINGS))} there, in "
            "a sub-folder for each class"
        )
    return found
