"""Arrays: a data set from what is in memory."""

import numpy as np
import pytest
import torch

from perdure.errors import InvalidValue
from perdure.streams import by_column
from perdure.streams.data import arrays


def test_arrays_are_split_by_class_in_the_share_asked_for():
    """Every row is in one part, beside its own label."""
    x, y = np.arange(100.0)[:, None], np.arange(100) % 4
    data = arrays(x, y, test=0.2)
    assert list(range(100)) == sorted(data.train_x[:, 0].tolist() + data.test_x[:, 0].tolist())
    assert (data.train_x[:, 0] % 4).tolist() == data.train_y.tolist()
    assert [5, 5, 5, 5] == data.test_y.bincount().tolist()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64, torch.float32),
        (np.float32, torch.float32),
        (np.uint8, torch.uint8),
        (np.int64, torch.int64),
    ],
)
def test_inputs_keep_their_dtype_but_float64(given, kept):
    """Models take float32; bytes and tokens stay what they are."""
    assert kept == arrays(np.ones((4, 2), given), [0, 1, 0, 1], test=0.5).train_x.dtype


@pytest.mark.parametrize(
    ("labels", "names", "found"),
    [
        (["dog", "cat", "dog", "ape"], ("ape", "cat", "dog"), [2, 1, 2, 0]),
        ([5, 9, 9, 7], ("5", "7", "9"), [0, 2, 2, 1]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (torch.tensor([3, 1, 3, 1]), ("1", "3"), [1, 0, 1, 0]),
    ],
    ids=["words", "numbers", "booleans", "tensor"],
)
def test_any_labels_become_classes_from_0(labels, names, found):
    """In the order in which they sort, with their names kept."""
    x = torch.arange(4.0)[:, None]
    data = arrays(x, labels, test=(x[:1], labels[:1]))
    assert names == data.classes
    assert found == data.train_y.tolist()
    assert found[:1] == data.test_y.tolist()


def test_classes_may_be_named():
    """Then labels are positions in the names already, and one beyond them is refused."""
    x = np.zeros((4, 1))
    data = arrays(x, [0, 2, 2, 0], test=0.5, classes=("a", "b", "c"))
    assert ("a", "b", "c") == data.classes
    assert {0, 2} == set(data.train_y.tolist())
    with pytest.raises(InvalidValue, match="run from"):
        arrays(x, [0, 3, 3, 0], test=0.5, classes=("a", "b", "c"))


def test_floating_targets_are_a_regression():
    """Also of several numbers, as float32."""
    data = arrays(np.zeros((10, 2)), np.random.default_rng(0).random((10, 3)), test=0.3)
    assert () == data.classes
    assert (7, 3) == tuple(data.train_y.shape)
    assert torch.float32 == data.train_y.dtype


def test_columns_go_with_their_rows():
    """A stream by that column finds each row's own value."""
    x = np.arange(40)[:, None]
    data = arrays(x, np.arange(40) % 2, columns={"hour": np.arange(40) * 10}, test=0.25)
    for x, column in (
        (data.train_x, data.columns["hour"][0]),
        (data.test_x, data.columns["hour"][1]),
    ):
        assert (x[:, 0] * 10).tolist() == column.tolist()
    stream = by_column(data, "hour", tasks=2)
    first, second = (next(iter(task.train)).x for task in stream)
    assert first.max() < second.min()


def test_columns_of_given_test_rows_follow_those_of_training():
    """One array over both."""
    x, y = np.zeros((3, 1)), np.array([0, 1, 0])
    data = arrays(x, y, test=(x[:2], y[:2]), columns={"site": list("abcde")})
    assert [["a", "b", "c"], ["d", "e"]] == [part.tolist() for part in data.columns["site"]]


def test_the_seed_decides_which_rows_are_for_testing():
    """And nothing else does."""
    x, y = np.arange(50)[:, None], np.zeros(50, int)
    shown = [arrays(x, y, seed=seed).test_x.flatten().tolist() for seed in (0, 0, 1)]
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


def test_arrays_that_may_not_be_written_are_taken_without_a_warning():
    """Such as memory-mapped ones."""
    x = np.ones((4, 2), np.float32)
    x.flags.writeable = False
    assert 2.0 == float(arrays(x, [0, 1, 0, 1], test=0.5).train_x[0].sum())


def test_columns_of_other_lengths_are_refused():
    """By name, with every length."""
    with pytest.raises(InvalidValue, match=r"{'x': 3, 'y': 2}"):
        arrays(np.zeros((3, 1)), [0, 1])
    with pytest.raises(InvalidValue, match="'hour': 2"):
        arrays(np.zeros((3, 1)), [0, 1, 1], columns={"hour": [1, 2]})
    with pytest.raises(InvalidValue, match="fraction is 2"):
        arrays(np.zeros((3, 1)), [0, 1, 1], test=2)
