"""A watch's state as text: JSON, its tensors packed, so that one column of a database holds it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_TENSOR = "$tensor"


def to_text(state: Mapping[str, Any]) -> str:
    """Nested mappings and lists of tensors and plain values, to the last bit."""
    return json.dumps(_packed(state), separators=(",", ":"), allow_nan=False)


def from_text(text: str) -> dict[str, Any]:
    """What `to_text` was given."""
    state: dict[str, Any] = _unpacked(json.loads(text))
    return state


def _packed(value: Any) -> Any:
    if isinstance(value, Tensor):
        array = value.detach().cpu().numpy()
        data = base64.b64encode(zlib.compress(array.tobytes())).decode()
        return {_TENSOR: [array.dtype.str, list(array.shape), data]}
    if isinstance(value, Mapping):
        return {key: _packed(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_packed(held) for held in value]
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(held) for held in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {_TENSOR}:
        return {key: _unpacked(held) for key, held in value.items()}
    dtype, shape, data = value[_TENSOR]
    array = np.frombuffer(zlib.decompress(base64.b64decode(data)), dtype)
    return torch.from_numpy(array.reshape(shape).copy())
