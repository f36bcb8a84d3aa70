"""The loop: a stream's batches to `observe`, its boundaries to `consolidate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from perdure import Batch, Learner, Position, Schedule, fold, methods, nets, streams
from perdure.errors import InvalidValue
from perdure.streams.data import arrays


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(240) % 6
    return arrays(torch.randn(240, 4, generator=generator) + y[:, None], y)


def learner(seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    model = nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8))
    return Learner(
        model, methods.ER(capacity=30), optimizer=partial(torch.optim.Adam, lr=0.01), seed=0
    )


class Watch:
    """Something that is fed: it remembers what it was fed with."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.batches: list[Batch] = []

    def observe(self, batch: Batch):
        self.events.append(("observe", len(batch)))
        self.batches.append(batch)

    def consolidate(self, data) -> None:
        self.events.append(("consolidate", sum(len(batch) for batch in data)))


def test_tasks_are_observed_and_then_closed_with_their_rows(data) -> None:
    """Three tasks of 64 training rows: as many updates as the schedule says, then one boundary."""
    watch = Watch()
    stream = streams.split(data, tasks=3, scenario="class")
    positions = list(fold(watch, stream, Schedule(batch_size=32, epochs=2)))
    rows = [len(task.train) for task in stream]
    expected = [Schedule(batch_size=32, epochs=2).updates(count) for count in rows]
    closed = [i for i, (kind, _) in enumerate(watch.events) if kind == "consolidate"]
    assert [watch.events[i][1] for i in closed] == rows
    assert closed == [sum(expected[: k + 1]) + k for k in range(3)]
    assert [p.task for p in positions if p.closed] == [0, 1, 2]


def test_a_row_is_new_once_whatever_the_epochs(data) -> None:
    """Over three passes, each row of the stream is counted as new exactly once."""
    watch = Watch()
    stream = streams.split(data, tasks=3, scenario="domain")
    list(fold(watch, stream, Schedule(batch_size=10, epochs=3)))
    assert sum(batch.new for batch in watch.batches) == sum(len(t.train) for t in stream)
    assert sum(len(batch) for batch in watch.batches) == 3 * sum(len(t.train) for t in stream)


def test_without_boundaries_nothing_is_closed(data) -> None:
    """In scenario `free` no task is consolidated and no batch carries an id."""
    watch = Watch()
    stream = streams.split(data, tasks=3, scenario="free")
    list(fold(watch, stream, Schedule(batch_size=16)))
    assert {kind for kind, _ in watch.events} == {"observe"}
    assert all(batch.task is None for batch in watch.batches)


@pytest.mark.parametrize("stop", [1, 5, 12, 13, 20])
def test_a_fold_goes_on_from_its_position_bit_for_bit(data, tmp_path: Path, stop: int) -> None:
    """Checkpoint and position are the whole state: stopped anywhere, it ends at the same bits."""
    stream = streams.split(data, tasks=3, scenario="class")
    schedule = Schedule(batch_size=16, epochs=3)
    whole = learner()
    for _ in fold(whole, stream, schedule, seed=3):
        pass
    first = learner()
    positions = fold(first, stream, schedule, seed=3)
    for _ in range(stop):
        position = next(positions)
    first.save(tmp_path / "state")
    second = learner(seed=9)
    second.load(tmp_path / "state")
    at = Position(position.task, position.batch, position.closed)
    for _ in fold(second, stream, schedule, seed=3, start=at):
        pass
    assert second.updates == whole.updates
    for name, parameter in whole.params.items():
        assert torch.equal(parameter, second.params[name])


@pytest.mark.parametrize(
    "bad", [{"batch_size": 0}, {"epochs": 0}, {"steps": 0}, {"epochs": 2, "steps": 5}]
)
def test_an_impossible_schedule_is_refused(bad) -> None:
    """Exactly one of epochs and steps, everything at least 1."""
    with pytest.raises(InvalidValue):
        Schedule(**bad)


def test_a_schedule_counts_its_updates() -> None:
    """100 rows in batches of 32: four a pass, or as many as said."""
    assert Schedule(batch_size=32, epochs=3).updates(100) == 12
    assert Schedule(batch_size=32, steps=7).updates(100) == 7
