"""Low-rank adapters beside the linear layers of any module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from perdure.errors import InvalidValue, check_range
from perdure.nets.adapters import Adapter, Still, adapters

Module = TypeVar("Module", bound=nn.Module)


class LoRALayer(Adapter):
    """A frozen linear layer with low-rank parts: W x + b + alpha / rank * sum_j B_j A_j x.

    Args:
        base: the layer.
        rank: rows of each A, (rank, in), and columns of each B, (out, rank).
        alpha: what the parts are scaled by, divided by the rank.
    """

    base: nn.Linear

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base)
        self.rank, self.scale = rank, alpha / rank
        self.a, self.b = nn.ParameterList(), nn.ParameterList()
        self.begin(alone=False)

    def forward(self, x: Tensor) -> Tensor:  # (..., out)
        """The layer's outputs for inputs (..., in), changed by the parts that answer."""
        out: Tensor = self.base(x)
        parts = self.answering
        if not parts:
            return out
        a = torch.cat([self.a[place] for place in parts])  # (parts * rank, in)
        b = torch.cat([self.b[place] for place in parts], 1)  # (out, parts * rank)
        return out + self.scale * F.linear(F.linear(x, a), b)

    def part(self, place: int) -> list[nn.Parameter]:
        """A and B of one part."""
        return [self.a[place], self.b[place]]

    def append(self) -> None:
        """Add a part; its B is zero, so that it changes nothing yet."""
        weight = self.base.weight
        a = nn.init.kaiming_uniform_(weight.new_empty(self.rank, weight.shape[1]), a=math.sqrt(5))
        self.a.append(nn.Parameter(a))
        self.b.append(nn.Parameter(weight.new_zeros(len(weight), self.rank)))

    def count(self) -> int:
        """How many parts there are."""
        return len(self.a)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The layer itself, with the parts that answer added to its weight."""
        for place in self.answering:
            self.base.weight += self.scale * self.b[place] @ self.a[place]
        return self.base


def lora(
    model: Module, rank: int = 8, alpha: float = 16.0, targets: Iterable[str] = ("*",)
) -> Module:
    """Put low-rank adapters beside linear layers, in place, and freeze all else but the head.

    What lies under a child named `head` is left as it is. The model answers as before until it
    learns. Normalisation keeps its running statistics. `strip` undoes it bit for bit.

    Source: Hu et al. 2021, section 4, https://arxiv.org/abs/2106.09685.

    Args:
        model: any module with linear layers inside. Those of torch's own attention and transformer
            layers cannot be adapted, since torch reads their weights past them.
        rank: of each adapter, >= 1.
        alpha: adapters are scaled by alpha / rank, > 0.
        targets: patterns such as "*.query" for the names of the layers.

    Returns:
        The model.

    Raises:
        InvalidValue: a number out of range, adapters are there already, or no layer fits.

    Example:
        >>> from perdure.nets import MLP, Classifier, GrowingHead
        >>> model = Classifier(lora(MLP(4, (8,)), rank=2), GrowingHead(8))
        >>> sorted(name for name, p in model.named_parameters() if p.requires_grad)
        ['backbone.layers.0.a.0', 'backbone.layers.0.b.0']
    """
    check_range("lora", "rank", rank, 1, float("inf"))
    check_range("lora", "alpha", alpha, 0, float("inf"), open_low=True)
    if adapters(model):
        raise InvalidValue(f"{type(model).__name__} has adapters already; strip(model) first")
    patterns = [targets] if isinstance(targets, str) else list(targets)
    layers = _linear_layers(model)
    wanted = [n for n in layers if any(fnmatchcase(n, pattern) for pattern in patterns)]
    if not wanted:
        raise InvalidValue(
            f"lora: targets {patterns} fit none of the linear layers inside "
            f"{type(model).__name__}, which are {list(layers)}"
        )
    for name, parameter in model.named_parameters():
        if not _of_head(name):
            parameter.requires_grad_(False)
    made: dict[nn.Module, nn.Module] = {}
    for name in wanted:  # a layer used in two places gets one adapter
        layer = layers[name]
        model.set_submodule(name, made.setdefault(layer, LoRALayer(layer, rank, alpha)))
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, _NormBase) and name and not _of_head(name):
            model.set_submodule(name, made.setdefault(module, Still(module)))
    return model


def merge(model: Module) -> Module:
    """Fold the low-rank adapters that answer into the weights, and take all of them away.

    Raises:
        InvalidValue: there are none.
    """
    found = low_rank(model)
    if not found:
        raise InvalidValue(f"{type(model).__name__} has no low-rank adapters to merge")
    folded = {adapter: adapter.merged() for adapter in found.values()}
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, LoRALayer):
            model.set_submodule(name, folded[module])
        elif isinstance(module, Still):
            model.set_submodule(name, module.base.train(module.training))
    return model


def low_rank(model: nn.Module) -> dict[str, LoRALayer]:
    """The adapted layers inside `model` by name, each once."""
    return {name: a for name, a in adapters(model).items() if isinstance(a, LoRALayer)}


@contextmanager
def second_moments(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within it, passes add up sum_i x_i x_i^T over inputs (in,) of each adapted layer, by name.

    The sums are (in, in) float64.
    """
    sums: dict[str, Tensor] = {}

    def hook(name: str, layer: LoRALayer) -> RemovableHandle:
        def add(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].detach().flatten(0, -2).double()
            sums[name] = sums[name] + x.T @ x if name in sums else x.T @ x

        return layer.register_forward_pre_hook(add)

    handles = [hook(name, layer) for name, layer in low_rank(model).items()]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def directions(moment: Tensor, basis: Tensor | None, rank: int) -> Tensor:  # (rank, in)
    """Orthonormal rows beside a basis, those along which inputs are largest first.

    A row is zero where nothing is left beside the basis.

    Args:
        moment: sum_i x_i x_i^T over inputs (in,), float64.
        basis: orthonormal columns (in, k), or None.
        rank: how many rows.
    """
    free = torch.eye(len(moment)).to(moment)
    free = free if basis is None else free - basis.to(moment) @ basis.to(moment).T
    level = 1e-9 * moment.trace() + 1e-12  # so that unused directions come before those of M
    _, vectors = torch.linalg.eigh(free @ moment @ free + level * free)  # ascending
    rows = vectors.flip(1)[:, :rank].T @ free
    length = rows.norm(dim=1, keepdim=True)
    rows = torch.where(length > 0.5, rows / length, 0.0)
    return F.pad(rows, (0, 0, 0, rank - len(rows)))


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers that can be adapted, by every name that they have."""
    own = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    blocks = [module for module in model.modules() if isinstance(module, own)]
    past = {layer for block in blocks for layer in block.modules()}
    return {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear) and name and module not in past and not _of_head(name)
    }


def _of_head(name: str) -> bool:
    return "head" in name.split(".")
