"""Features on the disk, found by what the rows hold: a row goes through an encoder once."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perdure.errors import InvalidValue, check_range

Encode = Callable[[Tensor], Tensor]
MAGIC, BLOCK = b"perdure1", 256
HEAD = np.dtype(
    [
        ("magic", "S8"),
        ("encoder", "S64"),
        ("width", "<i8"),
        ("slots", "<i8"),
        ("file", "<u8"),  # a random number: another file of this name has another
        ("written", "<i8"),
    ]
)
ENTRY = np.dtype([("high", "<u8"), ("low", "<u8"), ("crc", "<u4"), ("unused", "<u4")])
Entries = NDArray[np.void]


@dataclass
class _Index:
    """What one process knows of the file: the entry of each slot, and slots sorted by key."""

    file: int
    entries: Entries  # (slots,)
    written: int = 0

    def __post_init__(self) -> None:
        self.order = np.empty(0, np.int64)
        self.sorted = np.empty(0, np.uint64)

    def put(self, slots: NDArray[np.int64], entries: Entries, written: int) -> None:
        """Take the entries of these slots."""
        self.entries[slots] = entries
        self.written = written
        high = self.entries["high"][: min(written, len(self.entries))]
        self.order = np.argsort(high, kind="stable")
        self.sorted = high[self.order]

    def slots_of(self, keys: Entries) -> NDArray[np.int64]:  # (n,)
        """Where the rows with these keys lie; -1 where nowhere."""
        if not len(self.order):
            return np.full(len(keys), -1)
        place = np.searchsorted(self.sorted, keys["high"], side="right") - 1
        slots = self.order[place.clip(0)]
        held = self.entries[slots]
        there = (held["high"] == keys["high"]) & (held["low"] == keys["low"])
        return np.where(there, slots, -1)


class FeatureCache:
    """Features (n, width) of rows that one encoder has seen, bounded, in one file.

    A row is known by a hash of its bytes, its dtype and its shape. When all slots are taken, the
    oldest row's is used again. Nothing is forced to the disk: features that a crash has torn do not
    match their checksum, and are made anew. Several processes may use one file at a time.

    Args:
        directory: of the file; is made where it is missing.
        encoder: what made the features, such as `Encoder.digest`; it has a file of its own, and so
            has each capacity.
        width: d, of the features.
        capacity: rows, at least 1. A row takes 24 + 4 * width bytes.

    Raises:
        InvalidValue: a number below 1, or an encoder without a name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     cache = FeatureCache(folder, "halves", width=2)
        ...     first = cache.features(torch.ones(3, 2), lambda x: x / 2)
        ...     len(cache), torch.equal(first, cache.features(torch.ones(3, 2), lambda x: x / 0))
        (1, True)
    """

    def __init__(
        self, directory: str | Path, encoder: str, width: int, capacity: int = 100_000
    ) -> None:
        check_range("FeatureCache", "width", width, 1, float("inf"))
        check_range("FeatureCache", "capacity", capacity, 1, float("inf"))
        if not encoder:
            raise InvalidValue("encoder is ''; say what makes the features, such as its digest")
        self.directory = Path(directory)
        self.encoder = blake2b(encoder.encode(), digest_size=32).hexdigest()
        self.width = width
        self.capacity = capacity
        self.path = self.directory / f"{self.encoder[:16]}-{capacity}.features"
        self._index: _Index | None = None

    def features(self, x: Tensor, encode: Encode) -> Tensor:  # (n, width)
        """The features of rows (n, ...), on their device; `encode` is asked for those not here.

        Args:
            x: rows, raw.
            encode: from rows (m, ...) to features (m, width), a function of each row alone.

        Raises:
            OSError: the disk is full; the file is as before.
        """
        keys = keys_of(x)
        out = np.empty((len(x), self.width), np.float32)
        known = self._read(keys, out)
        missing = np.flatnonzero(~known)
        _, first, back = np.unique(
            keys[missing][["high", "low"]], return_index=True, return_inverse=True
        )
        order = np.argsort(first)  # equal rows once, in the order in which they came
        made = torch.from_numpy(missing[first[order]])
        parts = [
            self._made(x[rows.to(x.device)], keys[rows.numpy()], encode)
            for rows in made.split(BLOCK)
            if len(rows)
        ]
        if parts:
            out[missing] = np.concatenate(parts)[np.argsort(order)[back.reshape(-1)]]
        return torch.from_numpy(out).to(x.device)

    def clear(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        """Rows held."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            return min(self._known(file).written, self.capacity)

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureCache:
        return self  # a copied model looks into the same file

    # -- reading ---------------------------------------------------------------------------------

    def _read(self, keys: Entries, out: NDArray[np.float32]) -> NDArray[np.bool_]:  # (n,)
        """Write the features that are held into `out`; whose they are."""
        try:
            with self.path.open("rb") as file:
                return self._found(file, keys, self._known(file).slots_of(keys), out)
        except FileNotFoundError:
            return np.zeros(len(keys), np.bool_)

    def _found(
        self, file: BinaryIO, keys: Entries, slots: NDArray[np.int64], out: NDArray[np.float32]
    ) -> NDArray[np.bool_]:  # (n,)
        """Write what these slots hold into `out`; where it is whole, and of the row in question."""
        known = np.zeros(len(keys), np.bool_)
        there = (os.fstat(file.fileno()).st_size - self._start) // (4 * self.width)
        rows = np.flatnonzero((slots >= 0) & (slots < there))
        if len(rows):
            features = np.memmap(file, np.float32, "r", self._start, (there, self.width))
            entries = np.memmap(file, ENTRY, "r", HEAD.itemsize, (self.capacity,))
            out[rows] = features[slots[rows]]
            held, asked = entries[slots[rows]], keys[rows]
            same = (held["high"] == asked["high"]) & (held["low"] == asked["low"])
            known[rows] = same & (held["crc"] == _checksums(asked, out[rows]))
        return known

    def _known(self, file: BinaryIO) -> _Index:
        """The index, with what was written since it was last looked at."""
        head = self._head(file)
        number, written = (0, 0) if head is None else (int(head["file"]), int(head["written"]))
        if self._index is None or self._index.file != number:
            self._index = _Index(number, np.zeros(self.capacity, ENTRY))
        index = self._index
        if written > index.written:
            entries = np.memmap(file, ENTRY, "r", HEAD.itemsize, (self.capacity,))
            slots = np.arange(max(index.written, written - self.capacity), written) % self.capacity
            index.put(slots, entries[slots], written)
        return index

    def _head(self, file: BinaryIO) -> np.void | None:
        """The head, if it is one of a cache such as this."""
        data = os.pread(file.fileno(), HEAD.itemsize, 0)
        if len(data) < HEAD.itemsize or os.fstat(file.fileno()).st_size < self._start:
            return None
        head: np.void = np.frombuffer(data, HEAD)[0]
        ours = (MAGIC, self.encoder.encode(), self.width, self.capacity)
        return head if head.item()[:4] == ours else None

    # -- writing ---------------------------------------------------------------------------------

    def _made(self, x: Tensor, keys: Entries, encode: Encode) -> NDArray[np.float32]:
        """The features of distinct rows, which are held from now on."""
        features = encode(x).detach().float().cpu().contiguous().numpy()
        if features.shape != (len(x), self.width):
            raise InvalidValue(
                f"the encoder made features {features.shape} of {len(x)} rows; this cache is for "
                f"width {self.width}"
            )
        with self._locked() as file:
            index = self._known(file)
            slots = index.slots_of(keys)
            whole = self._found(file, keys, slots, np.empty_like(features))
            need = np.flatnonzero(~whole)[-self.capacity :]  # others may have written meanwhile
            self._write(file, index, slots[need], keys[need], features[need])
        return features

    def _write(
        self,
        file: BinaryIO,
        index: _Index,
        slots: NDArray[np.int64],
        keys: Entries,
        features: NDArray[np.float32],
    ) -> None:
        """Features, then keys, and at last how many there are; torn rows (slot >= 0) in place."""
        new = slots < 0
        slots[new] = (index.written + np.arange(new.sum())) % self.capacity
        entries = keys.copy()
        entries["crc"] = _checksums(keys, features)
        runs = np.split(np.arange(len(slots)), np.flatnonzero(np.diff(slots) != 1) + 1)
        for run in (run for run in runs if len(run)):
            slot = int(slots[run[0]])
            _put(file, features[run].tobytes(), self._start + 4 * self.width * slot)
            _put(file, entries[run].tobytes(), HEAD.itemsize + ENTRY.itemsize * slot)
        written = index.written + int(new.sum())
        _put(file, self._head_of(index.file, written), 0)
        index.put(slots, entries, written)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """The file, which nobody else writes meanwhile; made anew where it is of another cache."""
        import fcntl

        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not self.path.exists() or not os.path.samestat(
                    self.path.stat(), os.fstat(file.fileno())
                ):
                    continue  # somebody removed it before the lock was ours
                if self._head(file) is None and os.fstat(file.fileno()).st_size:
                    self.path.unlink()
                    continue
                if self._head(file) is None:
                    os.ftruncate(file.fileno(), self._start)
                    _put(file, self._head_of(1 + int.from_bytes(os.urandom(7)), 0), 0)
                yield file
                return

    @property
    def _start(self) -> int:
        """Where features begin."""
        return HEAD.itemsize + ENTRY.itemsize * self.capacity

    def _head_of(self, number: int, written: int) -> bytes:
        said = (MAGIC, self.encoder.encode(), self.width, self.capacity, number, written)
        return np.array([said], HEAD).tobytes()


def keys_of(x: Tensor) -> Entries:  # (n,)
    """A key for each row (n, ...): the same for rows of the same bytes, dtype and shape."""
    tag = f"{x.dtype}{tuple(x.shape[1:])}".encode()[:64]
    rows = x.detach().cpu().contiguous().flatten(1) if x.dim() > 1 else x.detach().cpu()[:, None]
    data = rows.contiguous().view(torch.uint8).numpy().tobytes() if len(x) else b""
    size = len(data) // max(len(x), 1)
    digests = b"".join(
        blake2b(data[i : i + size], digest_size=16, key=tag).digest()
        for i in range(0, size * len(x), max(size, 1))
    )
    keys = np.zeros(len(x), ENTRY)
    halves = np.frombuffer(digests, "<u8").reshape(len(x), 2)
    keys["high"], keys["low"] = halves[:, 0], halves[:, 1]
    return keys


def _checksums(keys: Entries, features: NDArray[np.float32]) -> NDArray[np.uint32]:  # (n,)
    """Of a key and its features together."""
    begun = keys["low"].astype(np.uint32).tolist()
    return np.array([zlib.crc32(f, b) for f, b in zip(features, begun, strict=True)], np.uint32)


def _put(file: BinaryIO, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file.fileno(), view, offset)
        view, offset = view[done:], offset + done
