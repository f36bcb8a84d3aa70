"""The tidy file of results: one row a run, on disk before the next run is counted as done."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast, get_args

from perdure.bench.experiment import Experiment
from perdure.bench.result import NoResult, Record, Result, Status
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.measure import AccuracyMatrix, Cost

COLUMNS = (
    "key",
    "method",
    "scenario",
    "data",
    "kind",
    "seed",
    "status",
    "accuracy",
    "forgetting",
    "bwt",
    "fwt",
    "learning_accuracy",
    "seconds",
    "cpu_seconds",
    "flops",
    "flops_counted",
    "updates",
    "rows",
    "peak_memory_bytes",
    "state_bytes",
    "parameters",
    "matrix",
    "curves",
    "experiment",
    "environment",
    "reason",
)
"""Of the file, in order. Accuracies are fractions; an empty cell was not measured. `matrix`,
`curves`, `experiment` and `environment` hold JSON, in one physical line a run."""

COSTS = tuple(Cost.__dataclass_fields__)


class Results:
    """`results.csv` in a folder, which is made where it is not there.

    A row is written whole and synchronised to disk before `append` returns. A last line that a
    crash tore is ignored, and cut off before the next one is written.

    Args:
        folder: where the file is, or will be.

    Raises:
        InvalidValue: the folder is a file.
        CheckpointMismatch: the file has other columns, or a line that is not a row of them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "results.csv"
        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidValue(f"{self.folder} is a file; name a folder for the results")

    def read(self) -> dict[str, Record]:
        """Every run by its key; of a run that was done again, the last record."""
        if not self.path.exists():
            return {}
        lines = _whole(self.path.read_bytes()).decode().splitlines(keepends=True)
        rows = list(csv.reader(lines))
        if rows and tuple(rows[0]) != COLUMNS:
            raise CheckpointMismatch(
                f"{self.path} has columns {rows[0]}; this perdure writes {list(COLUMNS)}. Keep it, "
                "and name another folder for new results"
            )
        return {row[0]: self._record(number, row) for number, row in enumerate(rows[1:], 2)}

    def append(self, record: Record) -> None:
        """Add a row; it survives a crash right after."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            held = file.read()
            whole = _whole(held)
            if len(whole) < len(held):
                file.truncate(len(whole))
            text = _line(row_of(record).values())
            file.write((text if whole else _line(COLUMNS) + text).encode())
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to the folder meanwhile.

        Raises:
            InvalidValue: another process writes to it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                _lock(lock)
            except OSError as error:
                raise InvalidValue(
                    f"another process writes results to {self.folder}; wait for it, or name "
                    "another folder"
                ) from error
            yield

    def _record(self, number: int, row: list[str]) -> Record:
        try:
            return record_of(dict(zip(COLUMNS, row, strict=True)))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointMismatch(
                f"line {number} of {self.path} is not a run ({error}); delete that line to have "
                "the run done again"
            ) from error


def row_of(record: Record) -> dict[str, str]:
    """The cells of a record, by column."""
    experiment = record.experiment
    cells: dict[str, Any] = {
        "key": experiment.key,
        "method": experiment.method,
        "scenario": experiment.scenario,
        "data": experiment.data,
        "kind": experiment.kind,
        "seed": experiment.seed,
        "experiment": json.dumps(experiment.to_dict()),
    }
    if isinstance(record, NoResult):
        cells |= {"status": record.status, "reason": " ".join(record.reason.split())}
    else:
        cells |= {**record.measures(), **asdict(record.cost), "status": "done"}
        cells["matrix"] = json.dumps(record.matrix.to_dict())
        cells["curves"] = json.dumps(record.curves)
        cells["environment"] = json.dumps(dict(record.environment))
    return {name: "" if cells.get(name) is None else str(cells[name]) for name in COLUMNS}


def record_of(row: Mapping[str, str]) -> Record:
    """The record that `row_of` was called on.

    Raises:
        ValueError: a cell does not hold what its column says.
    """
    experiment = Experiment.from_dict(json.loads(row["experiment"]))
    if row["status"] in get_args(Status):
        return NoResult(experiment, cast("Status", row["status"]), row["reason"])
    if row["status"] != "done":
        raise ValueError(f"status is {row['status']!r}")
    curves = tuple(tuple((n, accuracy) for n, accuracy in c) for c in json.loads(row["curves"]))
    return Result(
        experiment,
        AccuracyMatrix.from_dict(json.loads(row["matrix"])),
        Cost(**{name: _number(row[name]) for name in COSTS}),
        curves,
        json.loads(row["environment"]),
    )


def _lock(file: IO[str]) -> None:
    """Until the file is closed, by a process that dies too."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _number(cell: str) -> Any:
    return json.loads(cell) if cell else None


def _whole(content: bytes) -> bytes:
    """The content up to its last line end: what follows was torn by a crash."""
    return content[: content.rfind(b"\n") + 1]


def _line(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
