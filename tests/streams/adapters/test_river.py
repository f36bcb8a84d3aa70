"""River's rows become a data set in the order in which they came."""

from __future__ import annotations

from itertools import count, repeat

import pytest
import torch

from perdure.errors import InvalidValue
from perdure.streams import by_column
from perdure.streams.adapters import river


def test_features_take_inputs_as_they_first_come() -> None:
    """Numbers as they are, each value of another feature one input, 0 where a row lacks one."""
    rows = [({"b": 2, "shop": "x"}, 0), ({"shop": "y", "a": 1.5}, 1), ({"b": True}, 0), ({}, 1)]
    data = river(rows, test=0.5)
    found = torch.zeros(4, 4)
    for side, x in enumerate((data.train_x, data.test_x)):
        found[torch.from_numpy(data.columns["arrival"][side])] = x
    assert [[2, 1, 0, 0], [0, 0, 1, 1.5], [1, 0, 0, 0], [0, 0, 0, 0]] == found.tolist()


def test_a_real_stream_in_tasks_by_time() -> None:
    """Phishing: 1,250 rows of nine features, in five stretches of time."""
    datasets = pytest.importorskip("river.datasets")
    stream = by_column(river(datasets.Phishing()), "arrival", tasks=5, scenario="free")
    assert (9,) == stream.input_shape
    assert 1250 == sum(len(task.train) + len(task.test) for task in stream)


def test_a_stream_without_end_is_cut() -> None:
    """`rows` says where."""
    data = river(zip(({"n": n} for n in count()), repeat("a"), strict=False), 10)
    assert 10 == len(data.train_y) + len(data.test_y)


def test_rows_without_labels_are_refused() -> None:
    """By their place."""
    with pytest.raises(InvalidValue, match="row 1 has no label"):
        river([({"a": 1}, 1), ({"a": 1}, None)])
    with pytest.raises(InvalidValue, match="no row"):
        river([])
