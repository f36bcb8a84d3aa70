"""A memory of rows and of what the model said of them, which is rewritten as classes come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from perdure.batch import Batch
from perdure.families.distillation import drift
from perdure.learner import Learner
from perdure.memory import Balanced
from perdure.nets import MASKED, columns_of

SHARE = 0.85  # gamma of Boschini et al. 2022: what a later class may have of a row's own output


class Rewritten(Balanced):
    """Equally many rows a class, each with the outputs (k,) that it had: extra "outputs".

    Of the classes that came after a row it holds what the model says now, or said last; never more
    than a share of the output of the row's own class.

    Source: Boschini et al. 2022, "X-DER", section 4, https://arxiv.org/abs/2201.00766.

    Args:
        capacity: rows at most, >= 1.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)

    def draw(self, rows: int) -> Batch | None:
        """Uniform draws at weight 0, with an extra "slot": where each lies; None if it is empty."""
        if not len(self):
            return None
        slots = torch.randint(len(self), (rows,), generator=self.rng)
        return self.storage.read(slots).with_extras(slot=slots).weighted(0.0)

    def rewrite(self, drawn: Batch, outputs: Tensor, past: Tensor) -> None:
        """Store what the model says of classes that came after rows of past classes.

        Args:
            drawn: rows as `draw` gave them.
            outputs: (n, k), of the model as it is.
            past: mask (k,) of the classes of past tasks.
        """
        extras = dict(drawn.extras)
        slots = extras.pop("slot").cpu()
        extras["outputs"] = revised(extras["outputs"], outputs, drawn.y, ~past, SHARE)
        rows = replace(drawn, extras=extras, weight=None)
        self.storage.write(slots, rows, torch.arange(len(rows)))

    def close(self, learner: Learner, data: Iterable[Batch], past: Iterable[int]) -> None:
        """Remember rows of a task that ended, and rewrite those of the tasks before it.

        Args:
            learner: whose outputs are stored.
            data: the task's rows.
            past: the classes of the tasks before it.
        """
        for batch in data:
            outputs = learner.recite({}, learner.prepare(batch.x), batch.task)
            kept = revised(outputs, outputs, batch.y, columns_of(past, outputs), SHARE)
            self.add(batch.with_extras(outputs=kept))
        for slots in torch.arange(len(self)).split(512) if len(self) else ():
            rows = learner.engine.place(self.storage.read(slots).with_extras(slot=slots))
            outputs = learner.recite({}, learner.prepare(rows.x), rows.task)
            self.rewrite(rows, outputs, columns_of(past, outputs))


def twofold(
    drawn: Batch, outputs: Tensor, past: Tensor, loss: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """How far the outputs of half of the rows moved, and the loss of the other half's labels.

    Args:
        drawn: rows as `Rewritten.draw` gave them, or some of them.
        outputs: (n, k), of the model as it is.
        past: mask (k,) of the classes among which labels are learned.
        loss: of outputs and labels.
    """
    half = len(drawn) // 2
    among = outputs[half:].masked_fill(~past, torch.finfo(outputs.dtype).min)
    return drift(outputs[:half], drawn.extras["outputs"][:half]), loss(among, drawn.y[half:])


def revised(
    stored: Tensor, outputs: Tensor, y: Tensor, taken: Tensor, share: float
) -> Tensor:  # (n, k)
    """Stored outputs with what the model says now in some columns, below that of the row's class.

        stored_c <- outputs_c * min(1, share * stored_y / max over taken columns of outputs)

    The factor acts where the maximum exceeds stored_y. Rows whose class is among those taken, or
    whose stored_y is not positive where the factor would act, stay as they are.

    Source: Boschini et al. 2022, "X-DER", https://arxiv.org/abs/2201.00766.

    Args:
        stored: (n, j), j <= k.
        outputs: (n, k), of the model as it is; closed outputs are MASKED and stay so.
        y: labels (n,).
        taken: mask (k,) of those to take over.
        share: in (0, 1], the paper's gamma.
    """
    stored = F.pad(stored, (0, outputs.shape[1] - stored.shape[1]), value=float("nan"))
    if not taken.any():
        return stored
    own = stored.gather(1, y[:, None])  # (n, 1)
    top = outputs[:, taken].amax(1, keepdim=True)
    lowered = torch.where(
        (top > own) & (outputs > MASKED / 2), outputs * share * own / top, outputs
    )
    sound = ((own > 0) | (top <= own)) & ~taken[y][:, None]
    return torch.where(taken & sound, lowered, stored)
