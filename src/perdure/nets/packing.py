"""Several tasks in one set of weights: who owns which, and what a task sees of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from perdure.nets.capacity import ByTask
from perdure.tree import Tree


def shared(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters that serve every task, by name."""
    parts = [module.by_task() for module in model.modules() if isinstance(module, ByTask)]
    apart = {id(p) for tasks in parts for parameters in tasks.values() for p in parameters}
    named = model.named_parameters()
    return {name: p for name, p in named if p.requires_grad and id(p) not in apart}


def claim(
    params: Mapping[str, Tensor], owner: Mapping[str, Tensor], share: float, task: int
) -> Tree:
    """Who owns which weight once `task` took its share of those that nobody owns.

    In each weight tensor apart it takes the largest by magnitude. Parameters of fewer than two
    dimensions (biases, normalisation) are nobody's.

    Args:
        params: the weights by name.
        owner: a uint8 tensor for each weight tensor, 0 where free; a name it lacks is all free.
        share: in [0, 1], of the free weights.
        task: the number of the task, 1 to 255.
    """
    owners = {}
    for name, p in params.items():
        if p.dim() < 2:
            continue
        table = torch.zeros(p.shape, dtype=torch.uint8, device=p.device)
        table = owner.get(name, table).flatten().clone()
        magnitude = p.detach().abs().flatten().masked_fill(table > 0, -1)
        count = round(share * int((table == 0).sum()))
        table[magnitude.topk(count).indices] = task
        owners[name] = table.view(p.shape)
    return owners


def owned(params: Mapping[str, Tensor], owner: Mapping[str, Tensor], task: int) -> Tree:
    """The weights of the tasks up to the `task`-th where they are owned, zero elsewhere."""
    return {name: params[name] * ((table > 0) & (table <= task)) for name, table in owner.items()}
