from __future__ import annotations

import torch
from torch import Tensor

from perdure.errors import check_range
from perdure.families.units import Hidden, activity, hidden_units, renew
from perdure.method import Method, Needs
from perdure.step import Step


class ContinualBackprop(Method):
    """Let the hidden units that contribute least begin anew, a few at a time, for ever.

        utility_i = decay * utility_i + (1 - decay) * mean |h_i| * sum_k |w_ik|
        every 1 / (rate * mature units) updates the least useful mature unit of a layer is renewed:
        fresh incoming weights, no outgoing ones, utility and age 0

    It keeps plasticity, not knowledge.

    Source: Dohare et al. 2024, algorithm 1, https://doi.org/10.1038/s41586-024-07711-7.
    Differs: |h| is the mean over a batch's rows, under the weights that the update left, where the
        paper learns row by row; fresh weights are torch's uniform ones. The optimiser's moments of
        a renewed unit are set to 0.
    Needs: Linear or Conv2d layers in sequences, MLP or CNN
        (`perdure.families.units.hidden_units`). A step costs one more forward pass.
    Keeps: two numbers a unit.

    Args:
        rate: in [0, 1], the share of a layer's mature units that is renewed in an update; the paper
            has 1e-6 to 1e-3.
        decay: in [0, 1], of utility.
        maturity: >= 0, updates during which a renewed unit is left alone.

    Raises:
        InvalidValue: an argument out of range.

    Example:
        >>> model = nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 2))
        >>> learner = Learner(model, ContinualBackprop(rate=1.0, maturity=0))
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> float(model.head.weight.detach().abs().sum())
        0.0
    """

    keeps = ("utility", "age", "due")
    needs = Needs(labels=False)

    def __init__(self, rate: float = 1e-4, decay: float = 0.99, maturity: int = 100) -> None:
        check_range("ContinualBackprop", "rate", rate, 0, 1)
        check_range("ContinualBackprop", "decay", decay, 0, 1)
        check_range("ContinualBackprop", "maturity", maturity, 0, float("inf"))
        self.rate, self.decay, self.maturity = rate, decay, maturity
        self.utility: dict[str, Tensor] = {}  # (units,) by the layer's name
        self.age: dict[str, Tensor] = {}  # (units,) int64
        self.due: dict[str, float] = {}  # units of a layer that are still to be renewed

    @property
    def name(self) -> str:
        """continual-backprop."""
        return "continual-backprop"

    @torch.no_grad()
    def constrain(self, step: Step) -> None:
        """Measure the units' utility, and renew the least useful where some are due."""
        learner, layers = step.learner, list(hidden_units(step.learner.model))
        sizes = activity(learner, step.inputs, step.batch.task, layers) if layers else {}
        sizes = learner.engine.average(sizes) if sizes else sizes
        for hidden in layers:
            worst = self._worst(hidden, sizes[hidden.name])
            if len(worst):
                renew(learner, hidden, worst, self.rng)

    def _worst(self, hidden: Hidden, size: Tensor) -> Tensor:  # (m,) units to renew now
        """Count this update in, and what is renewed out."""
        name, now = hidden.name, size * hidden.outgoing_size()
        before = self.utility.get(name, torch.zeros_like(now))
        utility = self.utility[name] = self.decay * before + (1 - self.decay) * now
        age = self.age.get(name, torch.zeros_like(now, dtype=torch.int64)) + 1
        mature = age > self.maturity
        due = self.due.get(name, 0.0) + self.rate * int(mature.sum())
        self.age[name], self.due[name] = age, due - int(due)
        worst = utility.masked_fill(~mature, float("inf")).topk(int(due), largest=False).indices
        utility[worst], age[worst] = 0.0, 0
        return worst
