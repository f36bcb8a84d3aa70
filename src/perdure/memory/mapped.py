"""Rows in files that are mapped into memory: as many as the disk holds, in little of the RAM."""

from __future__ import annotations

import json
import mmap
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.memory.columns import ColumnStorage
from perdure.memory.ram import RamStorage
from perdure.memory.storage import Layout, dtype_named, layout_of

LAYOUT = "layout.json"
BLOCK = 1 << 20


class MappedStorage(ColumnStorage):
    """Rows in memory-mapped files of one folder, one file a column.

    The operating system keeps in RAM what is read often and takes the room back where it is needed.
    Files grow by doubling; what needs other files, such as `keep`, writes them beside the old ones
    and changes over in one rename, so that a process killed at any point leaves the old rows or the
    new. A machine that dies may leave a mixture: what lasts is the state that a learner saves.

    Args:
        capacity: slots, >= 1.
        folder: of this storage alone; it is made, or opened with the rows that are there.

    Raises:
        InvalidValue: the folder has more rows than slots, or its layout is damaged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows, slots = Batch(torch.eye(3), torch.arange(3)), torch.arange(3)
        >>> with TemporaryDirectory() as folder:
        ...     MappedStorage(100, folder).write(slots, rows, slots)
        ...     len(MappedStorage(100, folder))
        3
    """

    def __init__(self, capacity: int, folder: str | Path) -> None:
        super().__init__(capacity)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._generation = 0
        self._count = torch.zeros(1, dtype=torch.long)
        if (self.folder / LAYOUT).exists():
            self._open()
        self._sweep()

    def write(self, slots: Tensor, batch: Batch, rows: Tensor) -> None:
        """Put row `rows[i]` of the batch into `slots[i]`: slots filled already, or the next ones.

        Raises:
            InvalidValue: the batch has other columns, row shapes or dtypes than the rows held.
            OSError: the disk is full; nothing has changed.
        """
        super().write(slots, batch, rows)
        self._count[0] = self.filled

    def __deepcopy__(self, memo: dict[int, Any]) -> RamStorage:
        copied = RamStorage(self.capacity)
        copied.load_state_dict(self.state_dict())
        return copied

    def _empty(self, layout: Layout, rows: int) -> dict[str, Tensor]:
        generation = self._generation + 1
        for number, (dtype, shape) in enumerate(layout.values()):
            _reserve(self._file(generation, number), rows * prod(shape) * dtype.itemsize)
        return self._mapped(generation, layout, rows)

    def _adopt(self, columns: dict[str, Tensor], filled: int) -> None:
        generation = self._generation + 1
        _reserve(self._file(generation), torch.long.itemsize)
        count = _map(self._file(generation), torch.long, (), 1)
        count[0] = filled
        said = {
            "generation": generation,
            "rows": len(columns["y"]) if columns else 0,
            "columns": [(name, str(d), shape) for name, (d, shape) in layout_of(columns).items()],
        }
        beside = self.folder / f"{LAYOUT}.part"
        beside.write_text(json.dumps(said), "utf-8")
        beside.replace(self.folder / LAYOUT)
        self._generation, self._count = generation, count
        self.columns, self.filled = columns, filled
        self._sweep()

    def _open(self) -> None:
        try:
            held = json.loads((self.folder / LAYOUT).read_text("utf-8"))
            layout = {name: (dtype_named(d), tuple(shape)) for name, d, shape in held["columns"]}
            self._generation = int(held["generation"])
            self._count = _map(self._file(self._generation), torch.long, (), 1)
            self.columns = self._mapped(self._generation, layout, held["rows"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InvalidValue(
                f"{self.folder / LAYOUT} does not describe the rows beside it ({error}); give "
                "another folder, or remove this one"
            ) from error
        self.filled = int(self._count)
        if self.filled > self.capacity:
            raise InvalidValue(
                f"{self.folder} has {self.filled} rows; give it at least capacity={self.filled}"
            )

    def _mapped(self, generation: int, layout: Layout, rows: int) -> dict[str, Tensor]:
        """The files of a generation as tensors."""
        return {
            name: _map(self._file(generation, number), dtype, shape, rows)
            for number, (name, (dtype, shape)) in enumerate(layout.items())
        }

    def _file(self, generation: int, number: int | None = None) -> Path:
        """The file of a column, or of the count of slots filled."""
        return self.folder / f"{generation}-{'count' if number is None else number}.rows"

    def _sweep(self) -> None:
        """Remove the files of other generations."""
        for path in self.folder.glob("[0-9]*-*.rows"):
            if not path.name.startswith(f"{self._generation}-"):
                path.unlink()


def _reserve(path: Path, size: int) -> None:
    """A new file of zeros; a disk that is full says so here, and not when a row is written."""
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            file.write(bytes(min(BLOCK, size - start)))


def _map(path: Path, dtype: torch.dtype, shape: tuple[int, ...], rows: int) -> Tensor:
    """A file as a tensor (rows, *shape); what is written to one is written to the other."""
    size = rows * prod(shape) * dtype.itemsize
    if not size:
        return torch.empty((rows, *shape), dtype=dtype)
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), size)
    return torch.frombuffer(mapped, dtype=dtype).view(rows, *shape)
