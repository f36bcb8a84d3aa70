"""The format of MNIST and its kin: a header of big-endian numbers, then the bytes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perdure.errors import DataUnavailable
from perdure.streams.dataset import Data
from perdure.streams.source import RemoteFile, content

UNSIGNED_BYTE = 8


def parse_idx(raw: bytes, name: str) -> Tensor:
    """The array that the bytes of an idx file describe, uint8.

    Args:
        raw: the unpacked file.
        name: of the file, for the message.

    Raises:
        DataUnavailable: the bytes are no idx file of bytes, or are cut short.
    """
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        raise DataUnavailable(f"{name} is no idx file of bytes; it begins with {raw[:4].hex()}")
    head = 4 + 4 * raw[3]
    shape = struct.unpack(f">{raw[3]}I", raw[4:head]) if len(raw) >= head else ()
    if len(raw) - head != math.prod(shape) or len(shape) != raw[3]:
        raise DataUnavailable(
            f"{name} should hold {math.prod(shape)} bytes for an array of {shape} "
            f"and holds {len(raw) - head}"
        )
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=head).reshape(shape).copy())


@dataclass(frozen=True)
class IdxFiles:
    """The four files of a data set in this format."""

    train_x: RemoteFile
    train_y: RemoteFile
    test_x: RemoteFile
    test_y: RemoteFile


def idx_files(address: str, sha256: tuple[str, str, str, str]) -> IdxFiles:
    """The files as MNIST names them under an address, with the SHA-256 of their unpacked content:
    training images, training labels, test images, test labels.
    """
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = [
        RemoteFile(f"{name}-ubyte.gz", f"{address}{name}-ubyte.gz", digest, gzipped=True)
        for name, digest in zip(names, sha256, strict=True)
    ]
    return IdxFiles(*files)


def load_idx(
    name: str, files: IdxFiles, classes: tuple[str, ...], folder: str | Path | None = None
) -> Data:
    """A data set of grey images from its four files: uint8 (n, 1, height, width).

    Raises:
        DataUnavailable: a file is missing or damaged.
    """
    arrays = [
        parse_idx(content(file, name, folder), file.name)
        for file in (files.train_x, files.train_y, files.test_x, files.test_y)
    ]
    return Data(
        name,
        arrays[0].unsqueeze(1),
        arrays[1].long(),
        arrays[2].unsqueeze(1),
        arrays[3].long(),
        classes,
    )
