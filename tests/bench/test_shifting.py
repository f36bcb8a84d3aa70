"""Shifting streams: first new classes, then the same classes in other conditions."""

from __future__ import annotations

import pytest
import torch

from perdure.bench import Experiment, build
from perdure.bench.shifting import SHIFTS, shifting
from perdure.errors import Impossible, InvalidValue
from perdure.streams import Data, Stream

CLASSES = 4


def images(rows: int, seed: int) -> torch.Tensor:
    """Grey images (rows, 1, 4, 4) uint8."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (rows, 1, 4, 4), generator=drawn, dtype=torch.uint8)


def made(seed: int = 0, order: tuple[int, ...] | None = None) -> Stream:
    """Two tasks of two classes, then a task a shift."""
    y, asked = (torch.arange(rows) % CLASSES for rows in (40, 12))
    data = Data("dots", images(40, 0), y, images(12, 1), asked, tuple("abcd"))
    return shifting(data, 2, seed, order)


def test_classes_come_first_and_conditions_after() -> None:
    """Tasks are numbered through, and every row says to which it belongs."""
    stream = made(order=(2, 0, 1, 3))
    assert ["c+a", "b+d", *SHIFTS] == [task.name for task in stream]
    assert [(2, 0), (1, 3)] == [task.classes for task in stream.tasks[:2]]
    assert list(range(4)) == [task.id for task in stream]
    for task in stream:
        assert {task.id} == {int(t) for batch in task.train for t in batch.task}


def test_shifted_tasks_have_every_class_in_the_same_label_space() -> None:
    """A learner needs no new output, and old ones must still answer."""
    stream = made()
    assert CLASSES == stream.classes
    assert "class" == stream.scenario
    for task in stream.tasks[2:]:
        assert set(range(CLASSES)) == set(task.train.labels().tolist())
        assert set(range(CLASSES)) == set(task.test.labels().tolist())


def test_an_inversion_is_the_same_images_turned_round() -> None:
    """Row by row: white less the original; noise leaves nothing as it was, and is no inversion."""
    stream = made()
    plain = {(float(x.sum()), int(y)) for task in stream.tasks[:2] for x, y in rows(task)}
    turned = {(16 * 255 - float(x.sum()), int(y)) for x, y in rows(stream.tasks[3])}
    assert plain == turned
    noisy = {(float(x.sum()), int(y)) for x, y in rows(stream.tasks[2])}
    assert len(noisy & plain) < len(plain) / 2


def rows(task: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images as numbers from 0 to 255, with their labels."""
    found = []
    for batch in task.train:
        x = batch.x if batch.x.is_floating_point() else batch.x / 255
        found += [*zip((255 * x).round(), batch.y, strict=True)]
    return found


def test_a_seed_decides_classes_and_noise() -> None:
    """The same seed, the same stream; another one, another."""
    one, same, other = (made(seed) for seed in (0, 0, 1))
    for a, b in zip(one, same, strict=True):
        assert all(torch.equal(x, z) for (x, _), (z, _) in zip(rows(a), rows(b), strict=True))
    noisy = (torch.stack([x for x, _ in rows(stream.tasks[2])]) for stream in (one, other))
    assert not torch.equal(*noisy)


def test_only_images_of_one_label_space_shift() -> None:
    """Rows of a table have no contrast, and classes need one label space to come again in."""
    flat = Data(
        "flat",
        torch.zeros(8, 3),
        torch.arange(8) % 2,
        torch.zeros(2, 3),
        torch.arange(2),
        ("a", "b"),
    )
    with pytest.raises(InvalidValue, match="channels, height, width"):
        shifting(flat, 2, 0)
    with pytest.raises(Impossible, match="'shifting' brings classes into one label space"):
        build.stream_of(Experiment(kind="shifting", scenario="task"))
