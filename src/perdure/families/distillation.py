"""How far a model's answers are from those of its teacher, which is what it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.learner import Learner
from perdure.nets import MASKED, Classifier


def divergence(outputs: Tensor, taught: Tensor, temperature: float = 1.0) -> Tensor:
    """mean over rows of KL(softmax(taught / temperature) || softmax(outputs / temperature)).

    Its gradient is that of the cross-entropy between the two (Hinton et al. 2015), without a factor
    temperature^2, and it is 0 where they agree. Outputs that `taught` lacks or has MASKED are left
    out of both softmaxes, so that they are free.

    Args:
        outputs: (n, k), of the model that learns.
        taught: (n, j), of the teacher, j <= k.
        temperature: > 0; the higher, the more the small probabilities count.
    """
    if outputs.shape[1] > taught.shape[1]:
        outputs = outputs[:, : taught.shape[1]]
    if taught.numel() and taught.min().item() <= MASKED / 2:  # half precision rounds MASKED
        outputs = outputs.masked_fill(taught <= MASKED / 2, MASKED)
    p, p_taught = F.log_softmax(outputs / temperature, 1), F.log_softmax(taught / temperature, 1)
    return F.kl_div(p, p_taught, reduction="batchmean", log_target=True)


def drift(outputs: Tensor, stored: Tensor) -> Tensor:
    """mean of (outputs - stored)^2 over the outputs that are open to a row now.

    An output that was closed when the row was stored, because the head grew since, is held at the
    lowest that was open: left free, new classes would take the old rows over.

    Args:
        outputs: (n, k), of the model that learns; closed outputs are MASKED.
        stored: (n, j), of the same rows earlier, j <= k; NaN or MASKED where they were closed.
    """
    if stored.numel() and stored.shape == outputs.shape and stored.min() > MASKED / 2:
        return F.mse_loss(outputs, stored)  # all were open; NaN is not greater
    stored = F.pad(stored, (0, outputs.shape[-1] - stored.shape[-1]), value=float("nan"))
    known = stored > MASKED / 2  # NaN is not greater
    lowest = stored.masked_fill(~known, float("inf")).amin(-1, keepdim=True)
    moved = (outputs - torch.where(known, stored, lowest)).masked_fill(outputs <= MASKED / 2, 0.0)
    return moved.square().sum() / (outputs > MASKED / 2).sum().clamp(min=1)


def as_wide(held: Tensor, outputs: Tensor) -> Tensor:  # (..., width)
    """A tensor (..., classes then) beside outputs (n, width) that may have grown: zero there."""
    return F.pad(held.to(outputs.device), (0, outputs.shape[1] - held.shape[-1]))


def answers_by_task(
    learner: Learner, teacher: Mapping[str, Tensor], inputs: Tensor, tasks: Sequence[int]
) -> tuple[Tensor, Tensor]:  # (tasks * n, width) each
    """What model and teacher answer to the same prepared inputs (n, ...) for each of several tasks.

    A `Classifier` runs its backbone once for all tasks, any other model once for each.

    Args:
        learner: its model takes task ids, and stays in training mode.
        teacher: what `learner.snapshot()` gave; it answers in evaluation mode.
        inputs: as `learner.prepare` gave them.
        tasks: ids that both know.
    """
    with learner.engine.autocast():
        outputs = _answers(learner.model, inputs, tasks)
        with torch.no_grad(), learner.as_taught(teacher):
            taught = _answers(learner.model, inputs, tasks)
    return outputs.float(), taught.float()


def _answers(model: nn.Module, inputs: Tensor, tasks: Sequence[int]) -> Tensor:
    """The answers (tasks * n, width) to the same inputs for each of several tasks."""
    times = len(tasks)
    task = torch.tensor(tasks, device=inputs.device).repeat_interleave(len(inputs))
    if isinstance(model, Classifier):
        outputs: Tensor = model.head(model.features(inputs).repeat(times, 1), task)
    else:
        outputs = model(inputs.repeat(times, *[1] * (inputs.dim() - 1)), task)
    return outputs
