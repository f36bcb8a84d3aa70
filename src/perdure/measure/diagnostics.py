"""Signs that a model is losing its ability to learn: pinned parameters, dormant units, low rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from perdure import tree
from perdure.errors import InvalidValue, check_range


@dataclass(frozen=True)
class Share:
    """How many of so many, in each named part; None in place of a share where there are none.

    Attributes:
        counts: part -> (how many have the property, how many there are).
    """

    counts: Mapping[str, tuple[int, int]]

    @property
    def overall(self) -> float | None:
        """The share over all parts together."""
        found = sum(some for some, _ in self.counts.values())
        size = sum(all_ for _, all_ in self.counts.values())
        return found / size if size else None

    @property
    def parts(self) -> dict[str, float | None]:
        """The share in each part."""
        return {name: some / all_ if all_ else None for name, (some, all_) in self.counts.items()}


def pinned_share(importance: Mapping[str, Tensor], threshold: float = 1e-3) -> Share:
    """The share of parameters with importance above `threshold` times the largest of all.

    As tasks go by, a penalty on important parameters leaves ever fewer free to learn: this is how
    many it holds. Where every importance is zero, none are held.

    Args:
        importance: parameter name -> importance, at least 0, of the parameter's shape.
        threshold: relative, in [0, 1]; 0 counts whatever is not exactly zero.

    Raises:
        InvalidValue: an importance is negative or not finite, or the threshold is out of range.
    """
    check_range("pinned_share", "threshold", threshold, 0.0, 1.0)
    for name, values in importance.items():
        if not bool((values >= 0).all() & values.isfinite().all()):
            raise InvalidValue(f"importance of {name!r} must be finite and at least 0")
    limit = threshold * tree.largest(importance)
    return Share({n: (int((v > limit).sum()), v.numel()) for n, v in importance.items()})


def dormant_share(
    model: nn.Module,
    x: Tensor,
    tau: float = 0.0,
    layers: Callable[[nn.Module], bool] = lambda module: isinstance(module, nn.ReLU),
) -> Share:
    """The share of units in each activation layer that hardly ever fire on `x`.

        score_i = mean_x |h_i(x)| / mean_k mean_x |h_k(x)|      dormant where score_i <= tau

    Source: Sokar et al. 2023, definition 3.1, https://arxiv.org/abs/2302.12902. A layer that is
    silent throughout is dormant throughout. Units are the channels of images (n, c, h, w) and the
    last dimension of anything else; the mean goes over all others. The model runs in evaluation
    mode without gradients and is left in the mode it was in.

    Args:
        model: called as `model(x)`.
        x: inputs (n, ...), at least one row.
        tau: at least 0; 0 counts the units that never fire.
        layers: says of each submodule whether its output is to be looked at. A functional `relu` is
            no module: name the layer before it and mind that its output is not rectified yet.

    Raises:
        InvalidValue: there are no rows, no such layers in the model, or tau is negative.
    """
    check_range("dormant_share", "tau", tau, 0.0, float("inf"))
    if not len(x):
        raise InvalidValue("dormant_share needs at least one row of inputs")
    seen = _watched(model, x, layers, tau)
    if not seen:
        raise InvalidValue(
            f"{type(model).__name__} ran none of the chosen layers; say which to look at, for "
            "example layers=lambda module: isinstance(module, nn.GELU)"
        )
    # one module called twice in a forward pass is two layers
    return Share(
        {
            name if len(calls) == 1 else f"{name}#{i + 1}": call
            for name, calls in seen.items()
            for i, call in enumerate(calls)
        }
    )


def effective_rank(features: Tensor) -> float:  # (n, d)
    """exp(entropy of the singular values as shares of their sum), in [1, min(n, d)].

    Source: Roy & Vetterli 2007, "The effective rank". 0 for a matrix of zeros.
    """
    values = _singular_values(features)
    total = values.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(values / total).sum().exp())


def stable_rank(features: Tensor) -> float:  # (n, d)
    """Sum of squared singular values over the largest one squared, in [1, rank]; 0 for zeros.

    Source: Rudelson & Vershynin 2007.
    """
    values = _singular_values(features)
    return float((values / values[0]).square().sum()) if values[0] > 0 else 0.0


def _singular_values(features: Tensor) -> Tensor:  # (min(n, d),) float64, descending
    if features.dim() != 2 or not features.numel() or not bool(features.isfinite().all()):
        raise InvalidValue(
            f"features must be a finite matrix (n, d) with n and d at least 1; got shape "
            f"{tuple(features.shape)}"
        )
    values: Tensor = torch.linalg.svdvals(features.detach().double())
    return values


def _dormant(out: Tensor, tau: float) -> tuple[int, int]:
    """How many units of a layer's output are dormant, and how many it has."""
    units = 1 if out.dim() == 4 else -1
    activity = out.abs().double().movedim(units, 0).flatten(1).mean(1)  # (units,)
    # score <= tau, multiplied out so that a silent layer needs no division
    return int((activity <= tau * activity.mean()).sum()), len(activity)


def _watched(
    model: nn.Module, x: Tensor, layers: Callable[[nn.Module], bool], tau: float
) -> dict[str, list[tuple[int, int]]]:
    """For each chosen layer, the counts of each call that one forward pass makes of it."""
    seen: dict[str, list[tuple[int, int]]] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, out, name=name: seen.setdefault(name, []).append(
                _dormant(out, tau)
            )
        )
        for name, module in model.named_modules()
        if layers(module)
    ]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(x)
    finally:
        for handle in hooks:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return seen
