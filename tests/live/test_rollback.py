"""How long it takes to go back: nothing is trained, loaded into a model, or copied."""

from __future__ import annotations

import time
from pathlib import Path

from tests.live import tiny

from perdure.live import updater

LARGE = {
    "schema": {"shape": [784]},
    "learner": {"methods": [{"name": "ER", "capacity": 2000}]},
    "log": {"segment_bytes": 2**20},
    "triggers": {"count": 20},
}


def test_rollback_takes_less_than_a_second(tmp_path: Path) -> None:
    """Model, memory and detectors of the version before, some megabytes of them."""
    with tiny.quick_gate(), tiny.project(tmp_path, LARGE) as project:
        for first in (0, 500):
            project.log.append([tiny.row(n, width=784) for n in range(first, first + 500)]).result()
            updater.turn(project)
        assert 2 == project.registry.champion().version
        assert project.registry.champion().bytes > 2**21
        began = time.perf_counter()
        project.registry.rollback(actor="me", reason="to see how long it takes")
        assert time.perf_counter() - began < 1.0
        assert 1 == project.registry.champion().version
        memory = project.load("champion").methods[0].memory.rows()
        assert project.log.count(0, 500) == len(memory)
