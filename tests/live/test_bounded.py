"""However many rows come, memory and disk stay under what the settings allow."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.live import tiny

from perdure.live import keeping, updater
from perdure.live.fsck import fsck
from perdure.live.project import Project
from perdure.live.refusals import Full
from perdure.live.rows import Row

KEPT, EACH, SEGMENT = 1000, 1500, 16_384
SAID = {
    "log": {"keep_rows": KEPT, "segment_bytes": SEGMENT, "max_rows": 20_000},
    "learner": {"methods": [{"name": "ER", "capacity": 200}], "batch_size": 64},
    "update": {"checkpoint_seconds": 1000.0},
    "evaluation": {"share": 0.1, "capacity": 200, "max_spans": 8},
    "retention": {"versions": 3},
}
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are no settings, reached within the test."""
    monkeypatch.setattr(keeping, "REQUEST_BYTES", 200_000)
    monkeypatch.setattr(keeping, "JOBS", 5)
    monkeypatch.setattr(keeping, "VERSIONS", 5)
    monkeypatch.setattr(sys.modules["perdure.live.watch.advance"], "OUTCOMES", 2000)


@dataclass(frozen=True)
class Held:
    """What is held after so many rows: bytes in memory and on disk, rows, files."""

    resident: int
    disk: int
    rows: int
    files: int
    memory: int


def flood(project: Project, first: int, count: int) -> None:
    """Rows of many subjects, in requests of a hundred."""
    draw = np.random.default_rng(first)
    x = draw.normal(size=(count, 4)).astype(np.float32)
    classes = [tiny.CLASSES[n] for n in x.argmax(1) % 3]
    futures = [
        project.log.append(
            [
                Row(f"{first + n}", x[n], classes[n], float(first + n), f"s{(first + n) % 5000}")
                for n in range(start, min(start + 100, count))
            ],
            f"request {first + start}",
        )
        for start in range(0, count, 100)
    ]
    for future in futures:
        future.result()


def held(project: Project) -> Held:
    """What is held now."""
    with Path("/proc/self/statm").open() as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    paths = [path for path in project.directory.rglob("*") if path.is_file()]
    return Held(
        resident,
        sum(path.stat().st_blocks * 512 for path in paths),
        project.database.value("SELECT count(*) FROM rows"),
        len(paths),
        len(project.load("champion").methods[0].memory),
    )


def grown(directory: Path, rows: int) -> list[Held]:
    """What is held after each update, while so many rows come and go."""
    found = []
    with tiny.project(directory, SAID) as project, tiny.quick_gate():
        for first in range(0, rows, EACH):
            flood(project, first, EACH)
            project.jobs.ask("update", "to test", "me")
            job = updater.turn(project)
            assert (job.state, project.registry.champion().version) == ("done", job.version)
            found.append(held(project))
        assert [] == fsck(project)
    return found


def check(found: list[Held], slope: float) -> None:
    """Nothing grows once it is full; `slope` is what may be added to memory in all, in bytes."""
    full = found[len(found) // 3 :]
    for one in full:
        assert one.rows <= KEPT + EACH
        assert one.memory <= 200
        assert one.files <= found[len(found) // 3].files + 4
    disk = np.array([one.disk for one in full])
    resident = np.array([one.resident for one in full])
    steps = np.arange(len(full))
    assert np.polyfit(steps, resident, 1)[0] * len(full) < slope
    assert np.polyfit(steps, disk, 1)[0] * len(full) < MEBIBYTE / 4
    assert disk.max() < 4 * MEBIBYTE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count")
def test_memory_and_disk_do_not_grow_with_the_rows(tmp_path: Path) -> None:
    """30,000 rows through a log of 1,000 and a memory of 200."""
    check(grown(tmp_path / "state", 30_000), slope=24 * MEBIBYTE)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count")
def test_a_million_rows_leave_memory_and_disk_as_they_are(tmp_path: Path) -> None:
    """1,000,000 rows through a log of 1,000 and a memory of 200."""
    check(grown(tmp_path / "state", 1_000_000), slope=64 * MEBIBYTE)


def test_a_full_log_holds_no_more_than_it_may(tmp_path: Path) -> None:
    """Without updates rows wait, and new ones are refused; an update makes room."""
    said = {**SAID, "log": {**SAID["log"], "max_rows": 3000}}
    with tiny.project(tmp_path / "state", said) as project, tiny.quick_gate():
        flood(project, 0, 3000)
        with pytest.raises(Full):
            flood(project, 3000, 100)
        assert 3000 == project.database.value("SELECT count(*) FROM rows")
        project.jobs.ask("update", "to test", "me")
        updater.turn(project)
        flood(project, 3000, 1500)
        assert KEPT + 1500 == project.database.value("SELECT count(*) FROM rows")
