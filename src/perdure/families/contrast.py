"""Losses that keep the classes of past, present and future apart in one space of outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def restricted(outputs: Tensor, columns: Tensor) -> Tensor:  # (n, classes)
    """Outputs of which a softmax sees only these columns (classes,)."""
    return outputs.masked_fill(~columns, torch.finfo(outputs.dtype).min)


def supervised_contrast(vectors: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Draw rows of one label together and rows of different labels apart.

        mean over rows i with others of their label P(i) of
            - mean over p in P(i) of log( exp(v_i v_p / T) / sum over j != i of exp(v_i v_j / T) )

    Vectors are brought to unit length. 0 where no label comes twice, or vectors have no entries.

    Source: Khosla et al. 2020, eq. 2, https://arxiv.org/abs/2004.11362.

    Args:
        vectors: (n, d).
        y: labels (n,).
        temperature: T > 0.
    """
    if not vectors.shape[1]:
        return vectors.new_zeros(())
    unit = F.normalize(vectors, dim=1)
    itself = torch.eye(len(y), dtype=torch.bool, device=y.device)  # (n, n)
    alike = (y[:, None] == y) & ~itself
    closeness = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    log_p = F.log_softmax(closeness, 1).masked_fill(~alike, 0.0)
    others = alike.sum(1)
    each = log_p.sum(1) / others.clamp(min=1)
    return -each.sum() / (others > 0).sum().clamp(min=1)


def order(
    outputs: Tensor, past: Tensor, present: Tensor, current: int, margin: float = 0.3
) -> Tensor:
    """How far the classes of now fail to lead: two hinges, each a mean over rows.

        max(0, largest future output + margin - largest known output)         of all rows
        max(0, largest past probability + margin - largest present one)       of the first `current`

    Probabilities are among the known classes, and no gradient flows into those of the past.

    Source: Boschini et al. 2022, "X-DER", https://arxiv.org/abs/2201.00766.

    Args:
        outputs: (n, classes).
        past: mask (classes,) of the classes of earlier tasks.
        present: mask (classes,) of those of this task; at least one.
        current: leading rows, those of this task.
        margin: of outputs in the first hinge, of probabilities in the second; the authors' code's.
    """
    known, before = past | present, past & ~present
    total = outputs.new_zeros(())
    if not known.all():
        lead = outputs[:, known].amax(1) - outputs[:, ~known].amax(1)
        total = total + (margin - lead).clamp(min=0).mean()
    if before.any():
        p = restricted(outputs[:current], known).softmax(1)
        lead = p[:, present].amax(1) - p[:, before].amax(1).detach()
        total = total + (margin - lead).clamp(min=0).mean()
    return total
