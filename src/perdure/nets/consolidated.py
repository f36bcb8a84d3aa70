"""A head that learns each batch of classes apart, and answers by weights gathered over all."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import Impossible, check_range
from perdure.nets.blocks import MASKED, distinct, integers, missing


class ConsolidatedHead(nn.Module):
    """Linear outputs with two sets of weights: those in training, and those consolidated.

        shifted = w_c - mean of w over the classes that came
        consolidated_c = (consolidated_c * q + shifted) / (q + 1),   q = sqrt(past_c / current_c)

    In training mode the outputs are by w: a class that comes first since `close` begins at its
    consolidated weights, the others stand at zero. In evaluation mode they are by the consolidated
    weights, as if `close` had just been called. Biases are treated as weights are, apart. The
    outputs are (n, 1 + largest label); the column of a label never seen holds MASKED.

    Source: Lomonaco et al. 2019, algorithm 1 (CWR*), https://arxiv.org/abs/1907.03799.

    Args:
        features: d, the width of the representation.

    Raises:
        InvalidValue: a width below 1.

    Example:
        >>> head = ConsolidatedHead(2)
        >>> head.grow(Batch(torch.zeros(2, 2), torch.tensor([3, 1])))
        True
        >>> head(torch.zeros(1, 2)).tolist()
        [[-10000.0, 0.0, -10000.0, 0.0]]
    """

    takes_task: ClassVar[bool] = False
    like: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        check_range("ConsolidatedHead", "features", features, 1, float("inf"))
        self.in_features = features
        self.blocks = nn.ModuleList()
        # An empty tensor follows .to(), so that even the first block knows where to go.
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def width(self) -> int:
        """How many outputs there are."""
        return sum(block.out_features for block in self._blocks)

    def forward(self, features: Tensor) -> Tensor:  # (n, width)
        """The outputs of features (n, d); no columns at all before the first label."""
        if not len(self.blocks):
            return features.new_empty(len(features), 0)
        w, b = self._learning() if self.training else self._gathered()
        outputs = F.linear(features, w, b)
        return outputs.masked_fill(self._joint("past") + self._joint("current") == 0, MASKED)

    def grow(self, batch: Batch) -> bool:
        """Make room for new labels, count the new rows, and begin the classes that came.

        Raises:
            InvalidValue: `y` is not one integer from 0 a row.
        """
        labels = distinct(integers(batch.y, "y"))
        room = 1 + max(labels, default=-1) - self.width
        if room > 0:
            self._add(room)
        count = torch.bincount(batch.fresh().y, minlength=self.width).to(self.like)
        seen = torch.bincount(batch.y, minlength=self.width).to(self.like) > 0
        start = 0
        for block in self._blocks:
            here = slice(start, start + block.out_features)
            block.begin(seen[here], count[here])
            start = here.stop
        return room > 0

    def plan(self) -> list[int]:
        """The outputs of each block, in the order in which they grew."""
        return [block.out_features for block in self._blocks]

    def rebuild(self, plan: list[int]) -> None:
        """Append the blocks of `plan` that are not here yet.

        Raises:
            CheckpointMismatch: what has grown here is not how the plan begins.
        """
        for rows in missing(self.plan(), plan):
            self._add(rows)

    @torch.no_grad()
    def close(self) -> None:
        """Consolidate the classes that came since the last call, and stand all others at zero."""
        if not len(self.blocks):
            return
        weight, bias = self._gathered()
        start = 0
        for block in self._blocks:
            here = slice(start, start + block.out_features)
            block.close(weight[here], bias[here])
            start = here.stop

    @property
    def _blocks(self) -> list[_Block]:
        return [block for block in self.blocks if isinstance(block, _Block)]

    def _add(self, rows: int) -> None:
        self.blocks.append(_Block(self.in_features, rows).to(self.like))

    def _joint(self, name: str) -> Tensor:
        """One tensor of all blocks."""
        return torch.cat([block.get_parameter_or_buffer(name) for block in self._blocks])

    def _learning(self) -> tuple[Tensor, Tensor]:
        return self._joint("weight"), self._joint("bias")

    def _gathered(self) -> tuple[Tensor, Tensor]:
        """The consolidated weights (k, d) and biases (k,), with what is learnt now in its share."""
        past, current = self._joint("past"), self._joint("current")
        came = (current > 0).to(past)
        q = torch.where(past > 0, (past / current.clamp(min=1)).sqrt(), 0)
        gathered = []
        for held, learning in zip(
            (self._joint("held_weight"), self._joint("held_bias")), self._learning(), strict=True
        ):
            column = [-1] + [1] * (held.dim() - 1)
            among = came.view(column)
            mean = (learning * among).sum() / (among.expand_as(held).sum().clamp(min=1))
            share = q.view(column)
            merged = (held * share + learning - mean) / (share + 1)
            gathered.append(held + among * (merged - held))
        return gathered[0], gathered[1]


class _Block(nn.Linear):
    """Rows of the head: in training, consolidated, and how many rows of data each saw."""

    held_weight: Tensor  # (rows, d)
    held_bias: Tensor  # (rows,)
    past: Tensor  # (rows,) rows of data before the last `close`
    current: Tensor  # (rows,) since then; 1 for a class of which no row was new

    def __init__(self, features: int, rows: int) -> None:
        super().__init__(features, rows)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        for name, shape in (("held_weight", (rows, features)), ("held_bias", (rows,))):
            self.register_buffer(name, torch.zeros(shape))
        for name in ("past", "current"):
            self.register_buffer(name, torch.zeros(rows))

    def get_parameter_or_buffer(self, name: str) -> Tensor:
        """By its name."""
        held: Tensor = getattr(self, name)
        return held

    @torch.no_grad()
    def begin(self, seen: Tensor, count: Tensor) -> None:
        """Load the classes that came first since `close`; count their rows."""
        first = seen & (self.current == 0)
        self.weight[first], self.bias[first] = self.held_weight[first], self.held_bias[first]
        self.current += count
        self.current[first & (self.current == 0)] = 1

    def close(self, weight: Tensor, bias: Tensor) -> None:
        """Hold these, and begin anew at zero."""
        self.held_weight.copy_(weight)
        self.held_bias.copy_(bias)
        self.past += self.current
        for tensor in (self.current, self.weight, self.bias):
            tensor.zero_()


def consolidated_head(model: nn.Module) -> ConsolidatedHead:
    """The model's `ConsolidatedHead`.

    Raises:
        Impossible: it has none.
    """
    for module in model.modules():
        if isinstance(module, ConsolidatedHead):
            return module
    raise Impossible(
        f"{type(model).__name__} has no ConsolidatedHead; make it "
        "Classifier(backbone, ConsolidatedHead(backbone.out_features))"
    )
