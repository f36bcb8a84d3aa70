"""Runs that are small enough for every test, made once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perdure.bench import Experiment, Result, run
from perdure.folding import Schedule

SMALL = Experiment(data="digits", hidden=(16, 16), schedule=Schedule(batch_size=32, steps=6))


@pytest.fixture(scope="session")
def small() -> Experiment:
    """Thirty updates of a network with two layers of sixteen."""
    return SMALL


@pytest.fixture(scope="session")
def naive() -> Result:
    """Fine-tuning on split digits, task ids known."""
    return run(replace(SMALL, scenario="task"))


@pytest.fixture(scope="session")
def few() -> list[Result]:
    """Naive and progressive networks over two seeds, task ids known."""
    return [
        run(replace(SMALL, scenario="task", method=method, seed=seed))
        for method in ("naive", "progressive")
        for seed in (0, 1)
    ]
