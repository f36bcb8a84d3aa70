from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from perdure import tree
from perdure.batch import Batch
from perdure.errors import check_range
from perdure.families.fisher import distance
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import consolidated_head
from perdure.step import Step

DAMPING = 1e-7  # bounds the importance of a parameter that came back


class AR1Star(Method):
    """Gather the head's weights as CWR* does, and let what is under it learn on, held and slowed.

        penalty = strength / 2 * sum_i omega_i (theta_i - anchor_i)^2       theta under the head
        path_i <- path_i - g_i * (change of theta_i)                        at each step
        omega_i <- min(omega_i + max(path_i, 0) / ((theta_i - anchor_i)^2 + 1e-7), cap),
        anchor <- theta,  path <- 0,  the head as in CWR*                   at the end of a batch

    Source: Lomonaco, Maltoni & Pellegrini 2020, section 3, https://arxiv.org/abs/1907.03799; the
        importance is that of Zenke et al. 2017, clipped as in Maltoni & Lomonaco 2019, section 4.
    Differs: `slow` scales changes, not a learning rate, and what normalises is held too.
    Needs: class labels, boundaries, a `ConsolidatedHead`, and BatchNorm to be `renormalised`.
    Keeps: four tensors a parameter under the head, however many batches.

    Args:
        strength: >= 0, of the penalty.
        cap: > 0, of each importance: no parameter is held harder than strength * cap.
        slow: in [0, 1], the share of each change under the head that is made after batch one.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> head = nets.ConsolidatedHead(8)
        >>> learner = Learner(nets.Classifier(nets.MLP(4, (8,)), head), AR1Star())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
    """

    keeps = ("omega", "anchor", "path", "last")
    needs = Needs(boundaries=True, architecture="consolidated")
    writes_parameters = True

    def __init__(self, strength: float = 1e3, cap: float = 1e-3, slow: float = 0.1) -> None:
        check_range("AR1Star", "strength", strength, 0, float("inf"))
        check_range("AR1Star", "cap", cap, 0, float("inf"), open_low=True)
        check_range("AR1Star", "slow", slow, 0, 1)
        self.strength, self.cap, self.slow = strength, cap, slow
        self.omega, self.anchor = tree.Tree(), tree.Tree()
        self.path, self.last = tree.Tree(), tree.Tree()

    @property
    def name(self) -> str:
        """ar1*."""
        return "ar1*"

    def penalty(self, step: Step) -> Tensor | None:
        """None before the first boundary."""
        under = _under(step.learner)
        self._begin({name: p for name, p in under.items() if name not in self.path})
        return self.strength / 2 * distance(under, self.anchor, self.omega) if self.omega else None

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """After the first batch, go a part of the way alone; add the step to the path."""
        for name, theta in _under(step.learner).items():
            theta.lerp_(self.last[name], 1 - self.slow if self.omega else 0.0)
            if name in step.applied:
                self.path[name].addcmul_(step.applied[name], self.last[name] - theta)
            self.last[name].copy_(theta)

    @torch.no_grad()
    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Gather the head's weights, turn the path into importance, and begin the next one."""
        consolidated_head(learner.model).close()
        walked = {name: p for name, p in _under(learner).items() if name in self.path}
        for name, theta in walked.items():
            moved = (theta - self.anchor[name]).square() + DAMPING
            gain = self.omega.get(name, 0.0) + self.path[name].clamp(min=0) / moved
            self.omega = {**self.omega, name: gain.clamp(max=self.cap)}
        self._begin(walked)

    def _begin(self, params: dict[str, Tensor]) -> None:
        self.anchor, self.last = self.anchor | tree.copy(params), self.last | tree.copy(params)
        self.path = self.path | tree.zeros(params)


def _under(learner: Learner) -> dict[str, Tensor]:
    """The parameters under the head, by name."""
    head = {id(p) for p in consolidated_head(learner.model).parameters()}
    return {name: p for name, p in learner.params.items() if id(p) not in head}
