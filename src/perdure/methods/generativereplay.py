from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import GenerativeMemory
from perdure.step import Step


class GenerativeReplay(Method):
    """Learn rows that a generator makes up, labelled by the model as it was, beside the real ones.

        loss = 1/k * mean over incoming rows + (1 - 1/k) * mean over generated rows     in task k
        x = decode(z), z ~ N(0, 1),   y = argmax f(x; theta)      by generator and model of task k-1
        the generator learns the same rows in the same shares, by the loss of a VAE

    Source: Shin et al. 2017, eq. 1, https://arxiv.org/abs/1705.08690; VAE and shares are those of
        van de Ven, Tuytelaars & Tolias 2022, https://doi.org/10.1038/s42256-022-00568-3.
    Differs: a VAE where Shin et al. have a GAN. With task ids each row is generated for one past
        task, drawn uniformly; the program of van de Ven et al. takes all of them with each row.
    Needs: class labels and boundaries, no rows there. uint8 rows are taken as pixels, floats as
        normal numbers of variance 1. A step costs two more forward passes and the VAE's update.
    Keeps: no row; two VAEs, one of them with Adam's moments, and a copy of the model.

    Args:
        rows: rows to generate at each update, >= 1; None is as many as come in.
        hidden: width of the two layers of the VAE's encoder, and of its decoder's, >= 1.
        latent: normal variables of the VAE, >= 1.
        lr: > 0, of the VAE's Adam.

    Raises:
        InvalidValue: an argument out of range, or rows that are neither uint8 nor floats.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), GenerativeReplay(hidden=8, latent=2))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> len(learner.observe(step.batch).batch)
        8
    """

    keeps = ("memory", "teacher", "width", "old_width", "tasks", "old_tasks")
    needs = Needs(boundaries=True)

    def __init__(
        self,
        rows: int | None = None,
        hidden: int = 400,
        latent: int = 100,
        lr: float = 1e-3,
    ) -> None:
        check_range("GenerativeReplay", "rows", 1 if rows is None else rows, 1, float("inf"))
        check_range("GenerativeReplay", "hidden", hidden, 1, float("inf"))
        self.rows, self.hidden, self.latent, self.lr = rows, hidden, latent, lr
        self.memory = GenerativeMemory((hidden, hidden), latent, lr)
        self.teacher: dict[str, Tensor] = {}
        self.width = self.old_width = 0
        self.tasks: list[int] = []
        self.old_tasks: list[int] = []

    @property
    def name(self) -> str:
        """generative-replay."""
        return "generative-replay"

    def recall(self, step: Step) -> Batch | None:
        """Generated rows with the labels of the last task's model; none in the first task."""
        if not self.old_width:
            return None
        rows, learner, task = self.rows or step.current, step.learner, None
        if step.incoming.task is not None and self.old_tasks:
            drawn = torch.randint(len(self.old_tasks), (rows,), generator=self.rng)
            task = torch.tensor(self.old_tasks)[drawn].to(step.batch.y.device)
        x = self.memory.sample(rows, step.batch.y.device)
        outputs = learner.recite(self.teacher, learner.prepare(x), task)[:, : self.old_width]
        incoming = float(step.incoming.weights().sum())
        weight = learner.consolidations * incoming / rows  # k - 1 for the past, 1 for the present
        return Batch(x, outputs.argmax(1), task, new=0).weighted(weight)

    def settle(self, step: Step) -> None:
        """Let the generator learn this update's rows, real and generated."""
        rows, part = step.incoming, step.recalled(self)
        x, weight = rows.x, rows.weights()
        if part is not None:
            x, weight = torch.cat((x, part[0].x)), torch.cat((weight, part[0].weights()))
        self.memory.learn(x, weight, step.learner.engine.average)
        self.width = step.outputs.shape[1]
        if rows.task is not None:
            self.tasks = sorted({*self.tasks, *rows.task.tolist()})

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Generate and label as generator and model do now, until the next boundary."""
        self.memory.close()
        self.teacher, self.old_width, self.old_tasks = learner.snapshot(), self.width, self.tasks
