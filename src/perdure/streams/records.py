"""The format of CIFAR's binary version: records of label bytes and a colour image of 32 by 32."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perdure.errors import DataUnavailable

PIXELS = 3 * 32 * 32


class Archive:
    """The members of a tar archive, read in memory.

    Args:
        raw: the archive, packed by gzip or not.
        name: of the file, for messages.

    Raises:
        DataUnavailable: it is no tar archive.
    """

    def __init__(self, raw: bytes, name: str) -> None:
        self.name = name
        try:
            self.tar = tarfile.open(fileobj=io.BytesIO(raw))  # noqa: SIM115  held in memory
        except tarfile.TarError as error:
            raise DataUnavailable(f"{name} is no tar archive: {error}") from error

    def read(self, member: str) -> bytes:
        """The bytes of a member.

        Raises:
            DataUnavailable: there is no such file in the archive.
        """
        try:
            file = self.tar.extractfile(member)
        except KeyError as error:
            raise DataUnavailable(f"{self.name} has no member {member}") from error
        if file is None:
            raise DataUnavailable(f"{member} in {self.name} is no file")
        return file.read()

    def lines(self, member: str) -> tuple[str, ...]:
        """The lines of a member that are not empty."""
        return tuple(self.read(member).decode().split())

    def records(self, members: Sequence[str], labels: int) -> tuple[Tensor, Tensor]:
        """The records of members one after the other.

        Args:
            members: names of files of records.
            labels: label bytes before each image.

        Returns:
            Images (n, 3, 32, 32) uint8 and labels (n, labels) int64.

        Raises:
            DataUnavailable: a member is missing, or no whole number of records.
        """
        raw = b"".join(self.read(member) for member in members)
        if len(raw) % (labels + PIXELS):
            raise DataUnavailable(
                f"{', '.join(members)} in {self.name} hold {len(raw)} bytes, "
                f"no multiple of a record's {labels + PIXELS}"
            )
        table = np.frombuffer(raw, np.uint8).reshape(-1, labels + PIXELS)
        images = torch.from_numpy(table[:, labels:].copy()).view(-1, 3, 32, 32)
        return images, torch.from_numpy(table[:, :labels].astype(np.int64))
