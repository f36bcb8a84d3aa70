"""Benchmarks of Avalanche and Continuum, by what they offer: both need torchvision to import."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from perdure import Learner, nets
from perdure.errors import InvalidValue
from perdure.folding import Schedule, fold
from perdure.methods import ER
from perdure.streams import Stream
from perdure.streams.adapters import avalanche, continuum

Y = torch.arange(40) % 4
X = torch.eye(4)[Y] + 0.1 * torch.arange(40)[:, None] / 40


class Rows(Dataset):
    """Items (x, y, task label), with `targets`, as Avalanche's data sets have them."""

    def __init__(self, classes: tuple[int, ...]) -> None:
        keep = torch.isin(Y, torch.tensor(classes))
        self.x, self.targets = X[keep], Y[keep].tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, at: int) -> tuple[Tensor, int, int]:
        return self.x[at], self.targets[at], 0


class TaskSet(Rows):
    """Continuum's: raw samples as three arrays."""

    def get_raw_samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.x.numpy(), np.array(self.targets), np.zeros(len(self))


PAIRS = ((3, 1), (0, 2))


def benchmark(tests: tuple[tuple[int, ...], ...] = PAIRS) -> SimpleNamespace:
    def experiences(groups: tuple[tuple[int, ...], ...]) -> Iterator[SimpleNamespace]:
        for group in groups:
            yield SimpleNamespace(dataset=Rows(group), classes_in_this_experience=list(group))

    return SimpleNamespace(
        train_stream=list(experiences(PAIRS)), test_stream=list(experiences(tests))
    )


def of_continuum(scenario: str) -> Stream:
    return continuum(map(TaskSet, PAIRS), map(TaskSet, PAIRS), scenario)


@pytest.mark.parametrize("scenario", ["class", "task", "free"])
@pytest.mark.parametrize("make", [lambda s: avalanche(benchmark(), s), of_continuum])
def test_a_benchmark_is_learnt_as_a_stream_of_ours(make: partial[Stream], scenario: str) -> None:
    """Rows, labels, ids and classes are where a learner looks for them: it learns all of it."""
    stream = make(scenario)
    assert [(1, 3), (0, 2)] == [task.classes for task in stream]
    assert (2 if scenario == "task" else 4) == stream.classes
    head = nets.MultiHead(4) if scenario == "task" else nets.GrowingHead(4)
    model = nets.Classifier(nets.Flat(4), head)
    learner = Learner(model, ER(capacity=40), optimizer=partial(torch.optim.SGD, lr=0.5))
    for _ in fold(learner, stream, Schedule(batch_size=5, epochs=20)):
        pass
    for task in stream:
        (batch,) = task.test
        known = batch.task if scenario == "task" else None
        assert torch.equal(batch.y, learner.predict(batch.x, known).argmax(1))
        assert (scenario == "free") is (batch.task is None)


def test_one_test_experience_is_shared_out_by_class() -> None:
    """Each task is measured on the rows of its classes."""
    stream = avalanche(benchmark(((0, 1, 2, 3),)))
    assert [[1, 3], [0, 2]] == [task.test.labels().unique().tolist() for task in stream]


def test_streams_of_different_lengths_are_refused() -> None:
    """With both lengths."""
    with pytest.raises(InvalidValue, match="2 training and 3 test"):
        avalanche(benchmark(((0,), (1,), (2, 3))))
    with pytest.raises(InvalidValue, match=r"2 task sets .* 1 for"):
        continuum(map(TaskSet, PAIRS), [TaskSet((0,))])
