from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.learner import Learner
from perdure.memory.everything import gathered
from perdure.method import Method, Needs
from perdure.nets.packing import freeze_statistics
from perdure.nets.spans import beside, normalising, second_moments, widened
from perdure.step import Step


class GPM(Method):
    """Step only in directions that the inputs of past tasks do not feel, at each layer.

        applied = g - g M M^T        g: (out, in) of a layer, M: (in, k) orthonormal
        M spans the share `energy` of the layer's inputs, in squares, of each past task

    Source: Saha et al. 2021, eq. 5-9, https://arxiv.org/abs/2103.09762.
    Differs: a bias is a weight of the constant input 1, where the paper has none. The optimiser's
        step is projected as well as the gradient, since momentum, Adam's scaling and weight decay
        would bring it back.
    Needs: boundaries with rows. Linear and Conv2d are protected, normalisation stays as the first
        task left it; a head that grows is free: its old outputs may move.
    Keeps: for each layer up to `in` numbers a direction; `in` directions leave it nothing to learn.

    Args:
        energy: in [0, 1], the paper's threshold: 0.95 to 0.99.
        rise: >= 0, added to `energy` with each task, up to 1.
        rows: >= 1, rows that stand for a task; the paper has 125 images or 300 digits.

    Raises:
        InvalidValue: an argument out of range.
        Impossible: at a boundary, where a convolution works in groups.

    Example:
        >>> learner = Learner(torch.nn.Linear(4, 2), GPM(energy=1.0))
        >>> rows = Batch(torch.eye(4)[:2], torch.tensor([0, 1]))
        >>> learner.consolidate(rows)
        >>> {name: tuple(basis.shape) for name, basis in learner.methods[0].bases.items()}
        {'': (5, 2)}
    """

    keeps = ("bases", "closed")
    needs = Needs(boundaries=True, data=True, labels=False)

    def __init__(self, energy: float = 0.97, rise: float = 0.003, rows: int = 300) -> None:
        check_range("GPM", "energy", energy, 0, 1)
        check_range("GPM", "rise", rise, 0, float("inf"))
        check_range("GPM", "rows", rows, 1, float("inf"))
        self.energy, self.rise, self.rows = energy, rise, rows
        self.bases: dict[str, Tensor] = {}  # (in, k) by the layer's name
        self.closed = 0

    def recall(self, step: Step) -> Batch | None:
        """Nothing; but from the first boundary on, normalisation is what it was there."""
        if self.closed:
            freeze_statistics(step.learner.model)
        return None

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradients beside the inputs of past tasks."""
        step.note(self, tree.copy(step.learner.params))
        return {**grads, **self._allowed(step.learner, grads)}

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Take out of the step what the optimiser has brought back."""
        params, before = step.learner.params, step.noted(self) or {}
        for name, part in self._allowed(step.learner, tree.combine(params, before, -1)).items():
            params[name].copy_(before[name] + part)

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Add the directions of the task's inputs to those of each layer."""
        if (held := gathered(data)) is None:
            return
        picked = torch.randperm(len(held), generator=self.rng)[: self.rows]
        with second_moments(learner.model.eval()) as moments:
            for few in picked.split(32):
                rows = learner.engine.place(held[few])
                learner.forward(learner.prepare(rows.x), rows.task)
        energy = min(1.0, self.energy + self.rise * self.closed)
        for layer, moment in learner.engine.average(moments).items():
            self.bases[layer] = widened(self.bases.get(layer), moment, energy)
        self.closed += 1

    def _allowed(self, learner: Learner, steps: dict[str, Tensor]) -> dict[str, Tensor]:
        """What past tasks leave of the steps of what they used: nothing of normalisation."""
        if not self.closed:
            return {}
        still = {n: torch.zeros_like(steps[n]) for n in normalising(learner.model) & steps.keys()}
        return {**still, **beside(steps, self.bases)}
