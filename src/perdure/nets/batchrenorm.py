"""Batch normalisation for small batches that are unlike each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from perdure.errors import InvalidValue, check_range


@dataclass(frozen=True)
class Limits:
    """How far a batch's statistics may lie from the running ones, by the number of the update.

    Both limits open evenly, from those of batch normalisation, r = 1 and d = 0, which hold for the
    first `warmup` updates. The defaults are Ioffe's, for millions of rows; see `SMALL`.

    Args:
        rmax: >= 1, of the ratio of the deviations.
        dmax: >= 0, of the distance of the means in running deviations.
        warmup: >= 0, updates as batch normalisation.
        rsteps: >= 1, updates then until the limit of r is `rmax`.
        dsteps: >= 1, updates then until the limit of d is `dmax`.
        momentum: in [0, 1], the weight of a batch in the running statistics.
        later: in [0, 1], the same once both limits are open; None is `momentum`.

    Raises:
        InvalidValue: a number out of its range.
    """

    rmax: float = 3.0
    dmax: float = 5.0
    warmup: int = 5_000
    rsteps: int = 35_000
    dsteps: int = 20_000
    momentum: float = 0.01
    later: float | None = None

    def __post_init__(self) -> None:
        lows = {"rmax": 1, "dmax": 0, "warmup": 0, "rsteps": 1, "dsteps": 1, "momentum": 0}
        for name, low in {**lows, "later": 0}.items():
            value = asdict(self)[name]
            high = 1.0 if name in ("momentum", "later") else float("inf")
            check_range("Limits", name, low if value is None else value, low, high)

    def at(self, updates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The limits of r and d and the momentum, 0-d each, after so many updates (0-d)."""
        since = (updates - self.warmup).clamp(min=0)
        r, d = ((since / steps).clamp(max=1) for steps in (self.rsteps, self.dsteps))
        later = self.momentum if self.later is None else self.later
        momentum = torch.where((r < 1) | (d < 1), self.momentum, later)
        return 1 + r * (self.rmax - 1), d * self.dmax, momentum


SMALL = Limits(rmax=1.25, dmax=0.5, warmup=0, rsteps=48, dsteps=96, later=5e-5)
"""For streams of small batches: those of Lomonaco et al.'s program on CORe50, batches of 128."""


class BatchRenorm(_BatchNorm):
    """Normalise by the batch's statistics, corrected towards the running ones.

        y = weight * ((x - mean_B) / sigma_B * r + d) + bias
        r = clip(sigma_B / sigma, 1 / rmax, rmax),   d = clip((mean_B - mean) / sigma, -dmax, dmax)

    r and d are constants to the gradient. Within their limits the outputs in training are those at
    inference, so that a batch of one class is not centred on that class. With r = 1 and d = 0 it is
    batch normalisation, whose tensors it has under the same names. One row is a batch too.

    Source: Ioffe 2017, algorithm 1, https://arxiv.org/abs/1702.03275.
    Differs: the running statistic is the unbiased variance, as in torch, not the deviation.

    Args:
        features: channels.
        limits: of r and d, and how fast the running statistics follow.
        eps: > 0, added to variances.

    Raises:
        InvalidValue: inputs of another number of dimensions, in training.
    """

    dimensions: ClassVar[tuple[int, ...]] = (2, 3, 4, 5)
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, limits: Limits = SMALL, eps: float = 1e-5) -> None:
        super().__init__(features, eps, limits.momentum)
        self.limits = limits

    def forward(self, x: Tensor) -> Tensor:
        """The normalised inputs (n, features, ...)."""
        self._check_input_dim(x)
        if not self.training:
            return super().forward(x)
        over = [dim for dim in range(x.dim()) if dim != 1]
        values = x.float()
        variance, mean = torch.var_mean(values, over, correction=0)  # (features,) each
        deviation = (variance + self.eps).sqrt()
        with torch.no_grad():
            r_limit, d_limit, momentum = self.limits.at(self.num_batches_tracked)
            running = (self.running_var + self.eps).sqrt()
            r = (deviation / running).clamp(1 / r_limit, r_limit)
            d = ((mean - self.running_mean) / running).clamp(-d_limit, d_limit)
            count = x.numel() // x.shape[1]
            unbiased = variance * (count / max(1, count - 1))
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(unbiased, momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * r / deviation
        shift = self.bias + self.weight * d - mean * scale
        shape = [1, -1] + [1] * (x.dim() - 2)
        return (values * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's own name
        if input.dim() not in self.dimensions:
            raise InvalidValue(
                f"{type(self).__name__} normalises inputs of {self.dimensions} dimensions and got "
                f"the shape {tuple(input.shape)}"
            )

    def extra_repr(self) -> str:
        """Channels and limits."""
        return f"{self.num_features}, {self.limits}, eps={self.eps}"


class BatchRenorm1d(BatchRenorm):
    """`BatchRenorm` of features (n, features) or sequences (n, features, length)."""

    dimensions: ClassVar[tuple[int, ...]] = (2, 3)


class BatchRenorm2d(BatchRenorm):
    """`BatchRenorm` of images (n, features, h, w)."""

    dimensions: ClassVar[tuple[int, ...]] = (4,)


def renormalised(model: nn.Module, limits: Limits = SMALL) -> nn.Module:
    """The same model with each BatchNorm replaced by a `BatchRenorm` that has its tensors.

    Parameters are handed over as they are, so that an optimiser of the model goes on.

    Args:
        model: changed in place, and returned; a BatchNorm itself is returned replaced.
        limits: of all of them.

    Raises:
        InvalidValue: a BatchNorm without weights or running statistics.

    Example:
        >>> renormalised(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)))[1].limits.rmax
        1.25
    """
    if isinstance(model, _BatchNorm) and not isinstance(model, BatchRenorm):
        return _replaced(model, limits)
    for name, module in model.named_children():
        setattr(model, name, renormalised(module, limits))
    return model


def _replaced(old: _BatchNorm, limits: Limits) -> BatchRenorm:
    if not (old.affine and old.track_running_stats):
        raise InvalidValue(
            f"{old} has no weights or no running statistics, and batch renormalisation needs both"
        )
    kinds = {nn.BatchNorm1d: BatchRenorm1d, nn.BatchNorm2d: BatchRenorm2d}
    kind = next((new for known, new in kinds.items() if isinstance(old, known)), BatchRenorm)
    new = kind(old.num_features, limits, old.eps)
    new.weight, new.bias = old.weight, old.bias
    new.running_mean, new.running_var = old.running_mean, old.running_var  # type: ignore[assignment]
    return new.train(old.training)
