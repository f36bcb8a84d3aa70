"""Several tasks in one set of weights: who owns which, and what a task sees of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from perdure.nets.capacity import ByTask
from perdure.tree import Tree, copy


def shared(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters that serve every task, by name."""
    parts = [module.by_task() for module in model.modules() if isinstance(module, ByTask)]
    apart = {id(p) for tasks in parts for parameters in tasks.values() for p in parameters}
    named = model.named_parameters()
    return {name: p for name, p in named if p.requires_grad and id(p) not in apart}


def claim(
    params: Mapping[str, Tensor], owner: Mapping[str, Tensor], share: float, task: int
) -> Tree:
    """Who owns which weight once a task took its share of those that nobody owns.

    In each weight tensor apart it takes the largest by magnitude. Parameters of fewer than two
    dimensions (biases, normalisation) are nobody's.

    Args:
        params: the parameters by name.
        owner: a uint8 tensor for each weight tensor, 0 where free; one that it lacks is all free.
        share: in [0, 1], of the free weights.
        task: the place of the task among those that claim, 1 to 255.
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


@torch.no_grad()
def owned(params: Mapping[str, Tensor], owner: Mapping[str, Tensor], task: int) -> Tree:
    """The weights of the first `task` tasks where they own them, zero elsewhere."""
    return {
        name: params[name].masked_fill((table == 0) | (table > task), 0)
        for name, table in owner.items()
    }


def held(params: Mapping[str, Tensor], owner: Mapping[str, Tensor], live: int) -> Tree:
    """Copies of what must not move while the weights of task `live` (0: free ones) learn.

    Parameters that nobody owns move as long as the first task is live.
    """
    return copy({name: p for name, p in params.items() if name in owner or live != 1})


@torch.no_grad()
def restore(
    params: Mapping[str, Tensor], held: Mapping[str, Tensor], owner: Mapping[str, Tensor], live: int
) -> None:
    """Write what is held into `params`, but where a weight is of task `live` (0: free)."""
    for name, values in held.items():
        p, table = params[name], owner.get(name)
        p.copy_(values if table is None else torch.where(table == live, p, values))


def freeze_statistics(model: nn.Module) -> None:
    """Let batch normalisation use its running statistics, and change them no more."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
