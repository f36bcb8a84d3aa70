"""A network whose units each task opens or closes by gates of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.nets.blocks import Blocks, distinct, missing
from perdure.nets.columns import Grown, TaskColumns
from perdure.tree import Tree


class GatedMLP(nn.Module):
    """Linear layers whose units each task opens or closes, with a head for each task.

        h_l = gate_l^t * relu(W_l h_{l-1} + b_l)        gate_l^t = sigmoid(slope * e_l^t)

    A task id that a batch brings for the first time adds an embedding e_l^t for each layer, drawn
    from N(0, 1), and its outputs; earlier ones keep their tensors. Rows may mix tasks. What is of
    tasks absent from a batch gets no gradient. The outputs are (n, 1 + largest label); the columns
    of labels that are not of a row's task hold MASKED.

    Source: Serra et al. 2018, section 2, https://arxiv.org/abs/1801.01423.
    Needs: the task id of every row, in training and at inference. By itself it learns its gates
        and forgets; `perdure.methods.HAT` anneals the slope and protects what past tasks use.

    Args:
        inputs: the number of values in one row's input.
        hidden: the width of each hidden layer.
        classes: the labels of every task, a number k standing for 0 to k - 1; None lets the
            batches of a task bring them.
        slope: > 0, of gates in evaluation mode, where 400 makes them all but binary.

    Attributes:
        training_slope: of gates in training mode; at first the same.

    Raises:
        InvalidValue: a width below 1, no slope, or a negative label.
    """

    takes_task: ClassVar[bool] = True

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int] = (400, 400),
        classes: int | Iterable[int] | None = None,
        slope: float = 400.0,
    ) -> None:
        super().__init__()
        for width in (inputs, *hidden):
            check_range("GatedMLP", "a width", width, 1, float("inf"))
        check_range("GatedMLP", "slope", slope, 0, float("inf"), open_low=True)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((inputs, *hidden)))
        self.gates = nn.ModuleList(nn.ParameterList() for _ in hidden)
        self.blocks = Blocks(hidden[-1])
        self.places = TaskColumns("GatedMLP")
        self.classes = [] if classes is None else distinct(classes)
        self.slope = self.training_slope = slope

    def features(self, x: Tensor) -> Tensor:  # (n, hidden[-1])
        """The last hidden layer by the newest task's gates."""
        gates = self.gates_of([*self.places.labels][-1])
        return self._hidden(x, [gate[None] for gate in gates])

    def forward(self, x: Tensor, task: Tensor | None = None) -> Tensor:  # (n, width)
        """The outputs of inputs (n, ...) for rows of the tasks `task` (n,).

        Raises:
            InvalidValue: `task` is None.
            UnseenTask: a task without gates; the message names those that have them.
        """
        present = self.places.present(task)
        task = cast("Tensor", task)
        place = (task[:, None] == self.places.ids).to(torch.int64).argmax(1)  # (n,)
        learning = [known in present for known in self.places.labels]
        gates = [self._opened(list(layer), learning)[place] for layer in self._embeddings]
        owners = [block["task"] in present for block in self.places.blocks]
        outputs: Tensor = self.places(self.blocks(self._hidden(x, gates), owners), task)
        return outputs

    def anneal(self, share: float) -> None:
        """Set the slope of training mode so far on the way from 1 / slope (0) to slope (1)."""
        self.training_slope = (1 - share) / self.slope + share * self.slope

    def gates_of(self, task: int) -> list[Tensor]:
        """Each layer's gates (width,) of one task, at the slope of the mode that it is in."""
        place = [*self.places.labels].index(task)
        return [self._opened([layer[place]], [True])[0] for layer in self._embeddings]

    def room(self, used: Sequence[Tensor], tasks: Iterable[int]) -> Tree:
        """What share of a step each parameter may take, so that past tasks do not feel it, by name.

            1 - min(used_l,i, used_{l-1},j) of the weight from j to i, 1 - used_l,i of a bias

        Args:
            used: how far past tasks use each layer's units, (width,) in [0, 1].
            tasks: the past tasks, whose embeddings may not move at all.
        """
        shares: Tree = {}
        for place, units in enumerate(used):
            below = used[place - 1] if place else torch.ones_like(units[:1])
            shares[f"layers.{place}.weight"] = 1 - torch.minimum(units[:, None], below)
            shares[f"layers.{place}.bias"] = 1 - units
        known = [*self.places.labels]
        for place, task in ((place, task) for place in range(len(used)) for task in tasks):
            shares[f"gates.{place}.{known.index(task)}"] = torch.zeros_like(used[place])
        return shares

    def grow(self, batch: Batch) -> bool:
        """Add gates and outputs for a task that is new, and outputs for new labels of any.

        Raises:
            InvalidValue: no task ids, or labels that are not one integer from 0 a row.
        """
        new = self.places.unseen(batch)
        for task, labels in new.items():
            begins = task not in self.places.labels
            self._add(task, sorted({*labels, *self.classes}) if begins else labels)
        return bool(new)

    def plan(self) -> list[Grown]:
        """Each block of outputs with its task and labels, in the order in which they grew."""
        return deepcopy(self.places.blocks)

    def rebuild(self, plan: list[Grown]) -> None:
        """Append the gates and blocks of `plan` that are not here yet.

        Raises:
            CheckpointMismatch: what has grown here is not how the plan begins.
        """
        for block in missing(self.places.blocks, plan):
            self._add(block["task"], block["labels"])

    def by_task(self) -> dict[int, list[nn.Parameter]]:
        """The parameters that serve one task alone: its embeddings and outputs."""
        found: dict[int, list[nn.Parameter]] = {
            task: [layer[place] for layer in self._embeddings]
            for place, task in enumerate(self.places.labels)
        }
        for grown, block in zip(self.places.blocks, self.blocks, strict=True):
            found[grown["task"]].extend(block.parameters())
        return found

    @property
    def _embeddings(self) -> list[nn.ParameterList]:
        return cast("list[nn.ParameterList]", list(self.gates))

    def _opened(self, embeddings: list[nn.Parameter], learning: list[bool]) -> Tensor:  # (t, width)
        pairs = zip(embeddings, learning, strict=True)
        stacked = torch.stack([e if learns else e.detach() for e, learns in pairs])
        return torch.sigmoid((self.training_slope if self.training else self.slope) * stacked)

    def _hidden(self, x: Tensor, gates: Sequence[Tensor]) -> Tensor:  # (n, hidden[-1])
        h = x.flatten(1)
        for layer, gate in zip(self.layers, gates, strict=True):
            h = gate * F.relu(layer(h))
        return h

    def _add(self, task: int, labels: list[int]) -> None:
        if task not in self.places.labels:
            for layer, embeddings in zip(self.layers, self._embeddings, strict=True):
                bias = cast("Tensor", layer.bias)
                embeddings.append(nn.Parameter(torch.randn(len(bias)).to(bias)))
        self.places.add(task, labels)
        self.blocks.add(len(labels))


def gated(model: nn.Module) -> tuple[str, GatedMLP]:
    """The gated network within a model, and what stands before its parameters' names.

    Raises:
        Impossible: there is none.
    """
    for name, module in model.named_modules():
        if isinstance(module, GatedMLP):
            return f"{name}." if name else "", module
    raise Impossible(
        f"{type(model).__name__} has no gates; give the learner a perdure.nets.GatedMLP(inputs, "
        "hidden, classes)"
    )


def unsaturated(
    model: nn.Module, grads: Mapping[str, Tensor], params: Mapping[str, Tensor]
) -> Tree:
    """Embeddings' gradients as if their gates had slope 1, times the steepest slope, by name.

        grad * steepest / slope * (cosh(slope e) + 1) / (cosh(e) + 1)

    Source: Serra et al. 2018, section 2, https://arxiv.org/abs/1801.01423.
    """
    prefix, net = gated(model)
    slope, found = net.training_slope, {}
    for name in (name for name in grads if name.startswith(f"{prefix}gates.")):
        e = params[name]
        sure = (slope * e).clamp(-50, 50).cosh() + 1  # beyond, the gradient is zero anyway
        found[name] = grads[name] * (net.slope / slope) * sure / (e.cosh() + 1)
    return found
