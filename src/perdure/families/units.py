"""Hidden units: where they are in a network, how active they are, and how one begins anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from perdure.learner import Learner
from perdure.nets import CNN, MLP, Classifier, GrowingHead, MultiHead
from perdure.nets.blocks import Blocks
from perdure.tree import Tree

Layer = nn.Linear | nn.Conv2d
CHAINS = (nn.Sequential, Classifier, MLP, CNN, GrowingHead, MultiHead)
"""Modules that call their children one after another, and nothing else that mixes units."""
PASSING = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity),
    *(nn.Dropout, nn.Flatten, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)
"""Modules that leave each unit, or channel, to itself."""


@dataclass(frozen=True)
class Hidden:
    """The units of one layer.

    Attributes:
        name: of the layer, in the model.
        layer: what makes them: a unit is a row of its weight.
        reader: the module whose inputs they are.
        outgoing: the layers inside `reader`; a unit is a column of their weights, or several.
    """

    name: str
    layer: Layer
    reader: nn.Module
    outgoing: Sequence[Layer]

    def outgoing_size(self) -> Tensor:  # (units,)
        """The sum of each unit's outgoing weights, in absolute value."""
        units = len(self.layer.weight)
        return torch.stack(
            [_by_unit(r.weight, units).abs().sum((0, 2)) for r in self.outgoing]
        ).sum(0)


def hidden_units(model: nn.Module, name: str = "") -> Iterator[Hidden]:
    """Every layer in `model` whose units feed one other layer and nothing else, in order.

    It looks into sequences, perdure's own MLP, CNN and heads; layers with normalisation or a
    shortcut between them are left out, and so are those that do not train.
    """
    last: tuple[str, Layer] | None = None
    for path, module in _in_order(model, name):
        readers: list[Layer] = []
        if isinstance(module, nn.Linear | nn.Conv2d):
            readers = [module]
        elif isinstance(module, Blocks):
            readers = [block for block in module if isinstance(block, nn.Linear)]
        elif isinstance(module, PASSING):
            continue
        else:
            for child_name, child in module.named_children():
                yield from hidden_units(child, f"{path}.{child_name}".lstrip("."))
        if last is not None and readers and _feeds(last[1], readers):
            yield Hidden(*last, module, readers)
        last = (path, module) if isinstance(module, nn.Linear | nn.Conv2d) else None


@torch.no_grad()
def activity(
    learner: Learner, inputs: Tensor, task: Tensor | None, layers: Sequence[Hidden]
) -> Tree:
    """The mean over rows, and places of an image, of |h| of each unit (units,), by layer name.

    The model answers in evaluation mode, and stays in it.
    """
    found: Tree = {}
    learner.model.eval()
    with ExitStack() as stack:
        for hidden in layers:

            def note(_: nn.Module, args: tuple[Tensor, ...], hidden: Hidden = hidden) -> None:
                found[hidden.name] = _mean_size(args[0].float(), hidden.layer)

            stack.callback(hidden.reader.register_forward_pre_hook(note).remove)
        learner.forward(inputs, task)
    return found


@torch.no_grad()
def renew(learner: Learner, hidden: Hidden, which: Tensor, rng: Generator) -> None:
    """Let units begin anew: incoming weights as torch draws them, no bias, no outgoing weights.

    The optimiser forgets what it held of them.

    Args:
        learner: whose model and optimiser it is.
        hidden: the layer.
        which: (m,) int64, units.
        rng: draws on the CPU.
    """
    weight, units = hidden.layer.weight, len(hidden.layer.weight)
    state = learner.optimiser.torch.state
    for p in (weight, hidden.layer.bias):
        for tensor in () if p is None else (p, *_moments(state, p)):
            tensor[which] = 0
    for reader in hidden.outgoing:
        for tensor in (reader.weight, *_moments(state, reader.weight)):
            _by_unit(tensor, units)[:, which] = 0
    bound = weight[0].numel() ** -0.5
    drawn = torch.rand(weight[which].shape, generator=rng).mul_(2 * bound).sub_(bound)
    weight[which] = drawn.to(weight)


def _in_order(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, CHAINS):
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from _in_order(child, f"{name}.{child_name}".lstrip("."))


def _feeds(layer: Layer, readers: Sequence[Layer]) -> bool:
    """Whether each reader has a column, or a block of them, for each unit; and all of it trains."""
    plain = not any(isinstance(r, nn.Conv2d) and r.groups > 1 for r in readers)
    fits = all(r.weight.shape[1] % len(layer.weight) == 0 for r in readers)
    return plain and fits and all(m.weight.requires_grad for m in (layer, *readers))


def _by_unit(weight: Tensor, units: int) -> Tensor:  # (out, units, rest), a view
    return weight.view(len(weight), units, -1)


def _mean_size(h: Tensor, layer: Layer) -> Tensor:  # (units,)
    units = len(layer.weight)
    if isinstance(layer, nn.Conv2d):
        return h.reshape(len(h), units, -1).abs().mean((0, 2))
    return h.reshape(-1, units).abs().mean(0)


def _moments(state: dict[Tensor, dict[str, object]], p: Tensor) -> list[Tensor]:
    """What an optimiser holds of each entry of a parameter."""
    held = state[p].values() if p in state else ()
    return [value for value in held if isinstance(value, Tensor) and value.shape == p.shape]
