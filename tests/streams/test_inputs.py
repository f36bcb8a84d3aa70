"""Inputs that are read when they are drawn: the same batches as from a tensor."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from perdure.errors import InvalidValue
from perdure.streams import Rows, split
from perdure.streams.data import torch_dataset
from perdure.streams.inputs import DatasetInputs


class Squares(Dataset):
    """Item i is (i², i mod 2), as tensor, array or list."""

    def __init__(self, rows, form=torch.tensor):
        self.rows = rows
        self.form = form
        self.read = []

    def __len__(self):
        return self.rows

    def __getitem__(self, position):
        self.read.append(position)
        return self.form([position**2]), position % 2


def rows(dataset, workers=0, **settings):
    y = torch.arange(len(dataset)) % 2
    return Rows(DatasetInputs(dataset, workers), y, **settings)


def like_a_tensor(lazy, **much):
    x = (torch.arange(len(lazy)) ** 2)[:, None]
    eager = Rows(x, lazy.y, task=lazy.task, transform=lazy.transform)
    pairs = zip(eager.batches(4, **much), lazy.batches(4, **much), strict=True)
    return all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and a.new == b.new for a, b in pairs)


@pytest.mark.parametrize("much", [{"epochs": 2}, {"steps": 7}, {"epochs": 2, "start": 3}])
def test_a_dataset_gives_the_batches_that_a_tensor_gives(much):
    """Same order, same labels, same new rows."""
    assert like_a_tensor(rows(Squares(10), task=1, transform=lambda x: -x), seed=3, **much)


# Python 3.12 and later warn of any fork beside threads, as every DataLoader with workers does.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_workers_change_nothing_but_the_time():
    """Two processes that read ahead give the same batches."""
    assert like_a_tensor(rows(Squares(10), workers=2), seed=3, epochs=2)


def test_arrays_become_tensors():
    """numpy items are taken without a copy of their dtype."""
    batch = rows(Squares(5, form=np.array)).batch(torch.tensor([3, 1]))
    assert [[9], [1]] == batch.x.tolist()


def test_only_drawn_rows_are_read():
    """Skipped batches are not."""
    dataset = Squares(10)
    list(rows(dataset, ordered=True).batches(2, seed=0, epochs=1, start=3))
    assert [6, 7, 8, 9] == dataset.read


def test_drawing_leaves_the_global_generator_alone():
    """A `DataLoader` would draw its workers' seed from it."""
    before = torch.get_rng_state()
    list(rows(Squares(6)).batches(2, seed=0, epochs=1))
    assert torch.equal(before, torch.get_rng_state())


def test_rows_in_order_are_read_in_order():
    """Iterating and taking work as on a tensor."""
    lazy = rows(Squares(5), size=2)
    assert [[0], [1], [4], [9], [16]] == [x for batch in lazy for x in batch.x.tolist()]
    assert [[16], [0]] == next(iter(lazy.take(torch.tensor([4, 0])))).x.tolist()


def test_a_stream_of_a_dataset_is_split_without_reading_it():
    """Labels come from `targets`; the first row alone is read when its shape is asked for."""
    dataset = Squares(12)
    dataset.targets = [position % 2 for position in range(12)]
    stream = split(torch_dataset(dataset, dataset), tasks=2, order=[1, 0])
    assert [] == dataset.read
    assert (1,) == stream.input_shape
    (batch,) = stream.tasks[0].train.batches(6, seed=0, epochs=1)
    assert {1, 9, 25, 49, 81, 121} == set(batch.x[:, 0].tolist())


def test_labels_are_read_from_the_items_where_no_attribute_has_them():
    """A `TensorDataset` has no `targets`; labels may be 0-d tensors."""
    dataset = TensorDataset(torch.rand(6, 3), torch.tensor([0, 2, 1, 0, 1, 2]))
    data = torch_dataset(dataset, dataset, name="mine")
    assert [0, 2, 1, 0, 1, 2] == data.train_y.tolist()
    assert ("0", "1", "2") == data.classes
    assert "mine" == data.name


def test_floating_targets_are_a_regression():
    """No classes, and as many outputs as a target has numbers."""
    dataset = TensorDataset(torch.rand(6, 3), torch.rand(6, 2, dtype=torch.float64))
    data = torch_dataset(dataset, dataset)
    assert () == data.classes
    assert 2 == data.outputs
    assert torch.float32 == data.test_y.dtype


def test_labels_and_classes_may_be_given():
    """Then no item is read, and the names are those given."""
    dataset = Squares(4)
    data = torch_dataset(
        dataset, dataset, labels=([0, 1, 2, 0], [0, 0, 1, 1]), classes=("x", "y", "z")
    )
    assert [] == dataset.read
    assert [0, 1, 2, 0] == data.train_y.tolist()
    assert ("x", "y", "z") == data.classes


def test_what_is_no_map_style_dataset_of_tensors_is_refused():
    """An iterable one has no rows to choose from; a picture needs a transform; x needs its y."""

    class Endless(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(InvalidValue, match="Endless has no length"):
        DatasetInputs(Endless())
    with pytest.raises(InvalidValue, match=r"begins with a str.*transform"):
        DatasetInputs(Squares(3, form=str)).gather(torch.tensor([0]))
    with pytest.raises(InvalidValue, match="item 0 of list is no"):
        torch_dataset([torch.zeros(2)], [torch.zeros(2)])
