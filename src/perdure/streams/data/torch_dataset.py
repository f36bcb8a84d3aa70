"""Any torch `Dataset`, read when its rows are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from perdure.errors import InvalidValue
from perdure.streams.dataset import Data
from perdure.streams.inputs import DatasetInputs


def torch_dataset(
    train: Dataset[Any],
    test: Dataset[Any],
    *,
    classes: Sequence[str] | None = None,
    labels: tuple[Any, Any] | None = None,
    workers: int = 0,
    name: str | None = None,
) -> Data:
    """A data set from two map-style torch data sets whose items are (x, y).

    Labels are taken from `labels`, or else from the attribute `targets`, as torchvision's data sets
    have it; failing both, every item is read once.

    Args:
        train: to learn from.
        test: to measure on.
        classes: names of the classes; None takes the attribute `classes`, or else the numbers.
        labels: of `train` and of `test`, each (n,) integers, or floats for a regression.
        workers: processes that read ahead while a learner learns.
        name: of the data set; None takes the class of `train`.

    Raises:
        InvalidValue: a data set has no length, an item is not (x, y), or a label has no class.
    """
    inputs = DatasetInputs(train, workers), DatasetInputs(test, workers)
    given = labels or (None, None)
    train_y, test_y = _labels(train, given[0]), _labels(test, given[1])
    names = classes if classes is not None else getattr(train, "classes", None)
    if names is None and not train_y.is_floating_point():
        names = [str(label) for label in range(int(torch.cat((train_y, test_y)).max()) + 1)]
    return Data(
        name or type(train).__name__.lower(),
        inputs[0],
        train_y,
        inputs[1],
        test_y,
        tuple(names or ()),
    )


def _labels(dataset: Any, given: Any) -> Tensor:
    if given is None:
        given = getattr(dataset, "targets", None)
    if given is None:
        found = [torch.as_tensor(_label(dataset, position)) for position in range(len(dataset))]
        given = torch.stack(found)
    y = torch.as_tensor(given)
    return y.float() if y.is_floating_point() else y.long()


def _label(dataset: Any, position: int) -> Any:
    item = dataset[position]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise InvalidValue(
            f"item {position} of {type(dataset).__name__} is no (x, y); give the labels apart, "
            "labels=(train, test)"
        )
    return item[1]
