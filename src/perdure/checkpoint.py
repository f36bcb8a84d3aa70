"""State on disk: one safetensors file, tensors in its body, the rest as JSON in its header."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as as_bytes
from safetensors.torch import save_file
from torch import Tensor

from perdure.errors import CheckpointMismatch

_TENSOR, _TUPLE = "$tensor", "$tuple"


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values; old file or new after a crash.

    Raises:
        TypeError: a value is neither a tensor nor plain; the message holds its place.
        OSError: the disk is full, or the file may not be written; an old one is as it was.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    tree = _encode(state, "", tensors)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, beside, metadata={"perdure": json.dumps(tree)})
        _sync(beside)
        beside.replace(path)
    except SafetensorError as error:  # it says what the system said, as text alone
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise OSError(f"{path} cannot be written: {error}") from error
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error
    finally:
        beside.unlink(missing_ok=True)
    _sync(path.parent)


def load(path: str | Path) -> dict[str, Any]:
    """Read what `save` wrote; tensors come back on the CPU.

    Raises:
        CheckpointMismatch: the file is damaged or was not written by perdure.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("perdure")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointMismatch(f"{path} is not a whole safetensors file: {error}") from error
    if header is None:
        raise CheckpointMismatch(f"{path} is a safetensors file that perdure did not write")
    return _state(header, tensors, str(path))


def dumps(state: Mapping[str, Any]) -> bytes:
    """What `save` writes, in memory; the same state gives the same bytes.

    Raises:
        TypeError: a value is neither a tensor nor plain; the message holds its place.
    """
    tensors: dict[str, Tensor] = {}
    tree = _encode(state, "", tensors)
    return as_bytes.save(tensors, metadata={"perdure": json.dumps(tree)})


def loads(data: bytes) -> dict[str, Any]:
    """Read what `dumps` gave, or the content of a file that `save` wrote.

    Raises:
        CheckpointMismatch: the bytes are damaged or were not written by perdure.
    """
    try:
        tensors = as_bytes.load(data)
    except SafetensorError as error:
        raise CheckpointMismatch(f"these bytes are no whole safetensors file: {error}") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tree = header.get("__metadata__", {}).get("perdure")
    if tree is None:
        raise CheckpointMismatch("these bytes are a safetensors file that perdure did not write")
    return _state(tree, tensors, "these bytes")


def check_fits(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointMismatch` naming tensors that are missing, unknown or of another shape."""
    unknown, missing = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    shapes = [n for n in theirs if n in ours and theirs[n].shape != ours[n].shape]
    if unknown or missing or shapes:
        raise CheckpointMismatch(
            f"the checkpoint does not fit the model: unknown {unknown}, missing {missing}, "
            f"of another shape {shapes}"
        )


def _encode(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: place}
    if isinstance(value, Mapping):
        return {_key(k, place): _encode(v, f"{place}/{k}", tensors) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_encode(held, f"{place}/{i}", tensors) for i, held in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"state at {place} is a {type(value).__name__}; only tensors and plain values")


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"state at {place} has the key {key!r}; keys must be strings")
    return key


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(held, tensors) for held in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_TENSOR}:
        return tensors[value[_TENSOR]]
    if set(value) == {_TUPLE}:
        return tuple(_decode(held, tensors) for held in value[_TUPLE])
    return {key: _decode(held, tensors) for key, held in value.items()}


def _state(tree: str, tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] = dict(_decode(json.loads(tree), tensors))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(
            f"{where} describes no state of perdure's, so that it is damaged: {error!r}"
        ) from error
    return state


def _sync(path: Path) -> None:
    """Force a file's bytes, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
