"""Arrays: a data set from what is in memory already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perdure.errors import InvalidValue
from perdure.streams.dataset import Column, Data
from perdure.streams.draws import stratified


def arrays(
    x: Any,
    y: Any,
    *,
    test: float | tuple[Any, Any] = 0.2,
    classes: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
    name: str = "arrays",
    seed: int = 0,
) -> Data:
    """A data set from numpy arrays, tensors or sequences.

    Inputs of float64 become float32; every other dtype stays. Labels may be any integers, booleans
    or strings: their sorted distinct values become classes 0, 1, ... Floating `y` are the targets
    of a regression.

    Args:
        x: inputs (n, ...).
        y: labels (n,) or targets (n, ...).
        test: the share of each class to measure on, in (0, 1), or the (x, y) to measure on.
        classes: names of the classes; labels are then 0 to k-1 already.
        columns: further columns by name, each (n,), such as a time; where `test` is given as rows,
            values of those follow.
        name: of the data set.
        seed: of the choice of test rows.

    Raises:
        InvalidValue: columns differ in length, the share is out of range, or a label has no class.
    """
    inputs, values = _tensor(x), _array(y)
    held = {key: _array(column) for key, column in (columns or {}).items()}
    rows = len(inputs)
    if isinstance(test, tuple):
        inputs = torch.cat((inputs, _tensor(test[0])))
        values = np.concatenate((values, _array(test[1])))
    lengths = {"x": len(inputs), "y": len(values)} | {key: len(held[key]) for key in held}
    if len(set(lengths.values())) > 1:
        raise InvalidValue(f"{name}: columns differ in length: {lengths}")
    targets, names = _labels(values, classes)
    if isinstance(test, tuple):
        train, shown = torch.arange(rows), torch.arange(rows, len(inputs))
    else:
        train, shown = stratified(targets, test, seed)
    sides = {key: (column[train.numpy()], column[shown.numpy()]) for key, column in held.items()}
    return Data(name, inputs[train], targets[train], inputs[shown], targets[shown], names, sides)


def _tensor(values: Any) -> Tensor:
    found = values.detach() if isinstance(values, Tensor) else torch.from_numpy(_array(values))
    return found.float() if found.dtype == torch.float64 else found


def _array(values: Any) -> Column:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    found = np.asarray(values)
    return found if found.flags.writeable else found.copy()


def _labels(values: Column, classes: Sequence[str] | None) -> tuple[Tensor, tuple[str, ...]]:
    if np.issubdtype(values.dtype, np.floating):
        return _tensor(values), ()
    if classes is not None:
        return torch.from_numpy(values.astype(np.int64)), tuple(classes)
    distinct, labels = np.unique(values, return_inverse=True)
    return torch.from_numpy(labels.astype(np.int64)), tuple(map(str, distinct))
