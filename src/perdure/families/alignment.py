"""A head trained again on features drawn from what is known of each class."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from perdure.families.moments import Moments
from perdure.model import takes_task
from perdure.nets import MASKED

ROWS = 128  # drawn features of one update


def align(
    head: nn.Module,
    known: Moments,
    rng: Generator,
    epochs: int,
    rows: int,
    lr: float,
    temperature: float,
) -> None:
    """Train the head on features drawn from each class's normal distribution, equally many of each.

        mean over c and f ~ N(mean_c, cov_c) of CE(o / (temperature ||o||), c),   o = head(f)

    By SGD with momentum 0.9, its rate falling as half a cosine. Ranks that know and draw
    the same end with the same head.

    Source: Zhang et al. 2023, section 3.3, https://arxiv.org/abs/2303.05118.

    Args:
        head: from features (n, d) to outputs (n, width).
        known: of kind "each".
        rng: what the draws come from.
        epochs: each draws anew.
        rows: of a class in an epoch.
        lr: of SGD.
        temperature: > 0.
    """
    if not len(known):
        return
    learning = [p for p in head.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr, momentum=0.9)
    seen = known.labels.unique()
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for features, y, task in _drawn(known, rng, rows):
            outputs = head(features, task) if takes_task(head) else head(features)
            logits = at_length_one(outputs.float(), seen) / temperature
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, y).backward()
            optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def at_length_one(outputs: Tensor, seen: Tensor) -> Tensor:  # (n, width)
    """Outputs over their norm, among the labels `seen` that are open to a row; others are MASKED.

    Args:
        outputs: (n, width); closed ones hold MASKED.
        seen: labels, int64.
    """
    open_ = torch.zeros_like(outputs, dtype=torch.bool).index_fill(1, seen, True)
    open_ &= outputs > MASKED / 2
    length = outputs.masked_fill(~open_, 0).norm(dim=1, keepdim=True).clamp(min=1e-7)
    return torch.where(open_, outputs / length, MASKED)


def _drawn(known: Moments, rng: Generator, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features (n, d), labels (n,) and task ids (n,), a shuffled pass over `rows` of each group."""
    means, count = known.means, known.count
    covariance = known.within() / (count - 1).clamp(min=1)[:, None, None]  # (groups, d, d)
    covariance += 1e-4 * torch.eye(means.shape[1]).to(means)  # as in the authors' program
    noise = torch.randn(len(known), rows, means.shape[1], generator=rng).to(means)
    drawn = means[:, None] + noise @ torch.linalg.cholesky(covariance).mT  # (groups, rows, d)
    features = drawn.float().flatten(0, 1)
    for part in torch.randperm(len(features), generator=rng).to(features.device).split(ROWS):
        group = part // rows
        yield features[part], known.labels[group], known.tasks[group]
