"""Runs in processes: each ends as a record, whatever becomes of its process."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from multiprocessing import active_children

import pytest

from perdure.bench import Experiment, NoResult, Result
from perdure.bench.pool import Progressed, attempt, spread
from perdure.bench.running import unseen
from perdure.errors import InvalidValue
from perdure.folding import Schedule


def test_a_run_whose_process_dies_is_recorded_and_the_others_go_on(
    small: Experiment, naive: Result
) -> None:
    """One process is killed in the middle of the first run; a new one does the second."""
    long = replace(small, schedule=Schedule(steps=100_000))
    events = spread([long, naive.experiment], workers=1)
    first = next(events)
    assert isinstance(first, Progressed)
    assert (long, 500_000) == (first.experiment, first.total)
    (child,) = active_children()
    os.kill(child.pid, signal.SIGKILL)
    *_, died, finished = (event for event in events if not isinstance(event, Progressed))
    assert (long.key, "failed") == (died.experiment.key, died.status)
    assert "SIGKILL" in died.reason
    assert naive.matrix == finished.matrix
    assert [] == active_children()


def test_closing_the_iterator_ends_its_processes(small: Experiment) -> None:
    """What Ctrl-C comes down to: nobody goes on computing for no one."""
    events = spread([replace(small, schedule=Schedule(steps=100_000))], workers=4)
    next(events)
    assert 1 == len(active_children())
    events.close()
    assert [] == active_children()


def test_what_cannot_be_is_refused_and_what_breaks_has_failed(small: Experiment) -> None:
    """Three reasons, each a sentence: structure, numbers, and what nobody foresaw."""
    refused = attempt(replace(small, method="progressive"), unseen)
    assert ("refused", "gives no task id") == (refused.status, part(refused, "gives no task id"))
    diverged = attempt(
        replace(small, optimizer="sgd", lr=1e18, schedule=Schedule(steps=50)), unseen
    )
    assert ("failed", "loss term 'loss'") == (diverged.status, part(diverged, "loss term 'loss'"))

    def weary(done: int, total: int) -> None:
        raise RuntimeError("no more")

    tired = attempt(small, weary)
    assert "failed" == tired.status
    assert tired.reason.startswith("RuntimeError: no more (test_pool.py, line ")


def test_no_workers_do_no_work(small: Experiment) -> None:
    """And say so before anything starts."""
    with pytest.raises(InvalidValue, match="workers is 0"):
        next(spread([small], workers=0))
    assert [] == list(spread([], workers=1))


def part(record: NoResult, words: str) -> str:
    return words if words in record.reason else record.reason
