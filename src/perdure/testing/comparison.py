"""Where two states differ, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def frozen(state: Any) -> Any:
    """The same state with its tensors copied."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: frozen(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(frozen(value) for value in state)
    return state


def assert_same_state(ours: Any, theirs: Any, where: str) -> None:
    """Raise `AssertionError` at the first place where two states differ in a single bit."""
    for place, mine, other in _differences(ours, theirs, ""):
        raise AssertionError(f"{where}: state{place} is {mine!r} in one and {other!r} in the other")


def _differences(ours: Any, theirs: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        if ours.dtype != theirs.dtype or not _equal(ours.cpu(), theirs.cpu()):
            yield place, ours, theirs
    elif isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if set(ours) != set(theirs):
            yield place, sorted(ours), sorted(theirs)
            return
        for key in ours:
            yield from _differences(ours[key], theirs[key], f"{place}[{key!r}]")
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            yield place, len(ours), len(theirs)
            return
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(mine, other, f"{place}[{index}]")
    elif ours != theirs:
        yield place, ours, theirs


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    """Whether every number is the same; NaN, which stands for what is missing, is like NaN."""
    if ours.shape != theirs.shape:
        return False
    return bool(((ours == theirs) | ((ours != ours) & (theirs != theirs))).all())  # noqa: PLR0124
