"""Between champion and challenger: weights that keep more of the one than the other gave up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

State = Mapping[str, Any]


def repair(
    champion: State,
    challenger: State,
    shares: Iterable[float],
    passes: Callable[[dict[str, Any], float], bool],
) -> dict[str, Any] | None:
    """The state nearest to the challenger that the gate lets through; None where it lets none.

    It costs an evaluation a share and no training. Wortsman et al. 2022, "Robust fine-tuning of
    zero-shot models" (WiSE-FT), found such weights to keep most of what both ends know; for a
    sequence of tasks see Stojanovski et al. 2022, "Momentum-based weight interpolation of strong
    zero-shot models for continual learning".

    Args:
        champion: a learner's state.
        challenger: the state of a learner that went on from it.
        shares: of the challenger, in (0, 1); the largest is tried first.
        passes: whether the gate lets a state with such a share through.
    """
    for share in sorted(set(shares), reverse=True):
        state = interpolate(champion, challenger, share)
        if passes(state, share):
            return state
    return None


def interpolate(champion: State, challenger: State, share: float) -> dict[str, Any]:
    """The challenger's state with the model's tensors `share` of the way from the champion's.

    Running statistics move with the parameters. What the champion lacks stays the challenger's:
    blocks that grew, and the last rows of a tensor that gained rows; so do counters, the optimiser
    and what methods keep.

    Args:
        champion: a learner's state.
        challenger: the state of a learner that went on from it.
        share: of the challenger, in [0, 1].
    """
    old: Mapping[str, Tensor] = champion["model"]
    new: Mapping[str, Tensor] = challenger["model"]
    model = {
        name: _between(old[name], tensor, share) if name in old else tensor.clone()
        for name, tensor in new.items()
    }
    return {**challenger, "model": model}


def movement(champion: State, challenger: State) -> float:
    """How far the trainable parameters moved: the norm of their change over their own norm.

    Only what both have is compared: growth is no movement.
    """
    names = {name for names in challenger["optimiser"]["names"] for name in names}
    moved = size = 0.0
    for name in sorted(names & set(champion["model"])):
        old, new = champion["model"][name], challenger["model"][name]
        rows = _common(old, new)
        if rows is not None:
            moved += float((new[rows].double() - old[rows].double()).square().sum())
            size += float(old[rows].double().square().sum())
    return float((moved / size) ** 0.5) if size else 0.0


def _between(old: Tensor, new: Tensor, share: float) -> Tensor:
    rows = _common(old, new)
    mixed = new.clone()
    if rows is not None and new.is_floating_point():
        # lerp gives back what both have in common bit for bit: frozen weights stay what they are
        mixed[rows] = torch.lerp(old[rows].to(new), new[rows], share)
    return mixed


def _common(old: Tensor, new: Tensor) -> Any:
    """Where in `new` the entries of `old` are; None where it is no larger version of it."""
    if old.shape == new.shape:
        return ...
    if old.dim() and old.shape[1:] == new.shape[1:] and len(old) < len(new):
        return slice(0, len(old))
    return None
