"""The same rows as an encoder sees them: features in place of raw inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor

from perdure.cache import FeatureCache
from perdure.errors import InvalidValue
from perdure.streams.dataset import Data
from perdure.streams.inputs import Inputs
from perdure.streams.rows import Rows, Transform
from perdure.streams.stream import Stream

Encode = Callable[[Tensor], Tensor]
ROWS = 256  # at a time


@overload
def encoded(data: Data, encode: Encode, cache: FeatureCache | None = None) -> Data: ...
@overload
def encoded(data: Stream, encode: Encode, cache: FeatureCache | None = None) -> Stream: ...
def encoded(
    data: Data | Stream, encode: Encode, cache: FeatureCache | None = None
) -> Data | Stream:
    """Features of all rows, held in memory: what learns from them pays for its head alone.

    Of a stream, rows are encoded as their tasks show them: turned, permuted, in noise.

    Args:
        data: raw rows.
        encode: from raw rows (n, ...) to features (n, d), such as `perdure.nets.encoder("text")`.
        cache: where features are kept on the disk for the next time.

    Raises:
        InvalidValue: what was given is neither a data set nor a stream, or `encode` gives something
            else than one row of features a row.

    Example:
        >>> from perdure.streams import load
        >>> encoded(load("digits"), lambda x: x.flatten(1).float()[:, ::2]).shape
        (32,)
    """
    seen = _Encoded(encode, cache)
    if isinstance(data, Data):
        train, test = seen.all_of(data.train_x), seen.all_of(data.test_x)
        return replace(data, name=f"{data.name} features", train_x=train, test_x=test)
    if isinstance(data, Stream):
        tasks = [
            replace(
                task,
                train=seen.rows(task.train),
                test=seen.rows(task.test),
                valid=None if task.valid is None else seen.rows(task.valid),
            )
            for task in data
        ]
        return replace(data, name=f"{data.name} features", tasks=tuple(tasks))
    raise InvalidValue(
        f"encoded takes a data set or a stream and was given {type(data).__name__}; "
        "write encoded(load('digits'), encode)"
    )


class _Encoded:
    """Features of inputs, each tensor once: tasks share theirs, and streams their test rows."""

    def __init__(self, encode: Encode, cache: FeatureCache | None) -> None:
        self.encode, self.cache = encode, cache
        self._made: dict[tuple[int, int], tuple[object, object, Tensor]] = {}

    def rows(self, rows: Rows) -> Rows:
        """The same rows, labels and task ids, over features."""
        return Rows(
            self.all_of(rows.x, rows.transform),
            rows.y,
            task=rows.task,
            index=rows.index,
            ordered=rows.ordered,
            size=rows.size,
        )

    def all_of(self, x: Tensor | Inputs, transform: Transform | None = None) -> Tensor:  # (n, d)
        """The features of all inputs, as the transform shows them."""
        place = id(x), id(transform)
        if place not in self._made:
            device = x.device if isinstance(x, Tensor) else None
            shown = Rows(x, torch.zeros(len(x), device=device), transform=transform, size=ROWS)
            features = torch.cat([self._features(batch.x) for batch in shown])
            self._made[place] = x, transform, features  # kept, so that no id is used again
        return self._made[place][2]

    @torch.no_grad()
    def _features(self, x: Tensor) -> Tensor:
        cache = self.cache
        features = self.encode(x) if cache is None else cache.features(x, self.encode)
        if features.dim() != 2 or len(features) != len(x):
            raise InvalidValue(
                f"{len(x)} rows were encoded as {tuple(features.shape)}; an encoder gives (n, d)"
            )
        return features.float()
