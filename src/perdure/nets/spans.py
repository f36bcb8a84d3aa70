"""The directions in which the inputs of a layer lie, and steps that those inputs do not feel.

A linear layer answers an input a with W a + b = [W b] [a 1]^T. So a step of [W b] whose rows are
orthogonal to [a 1] leaves the answer to a as it is. A convolution is the same for each of its
patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from perdure.errors import Impossible
from perdure.tree import Tree

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


@contextmanager
def second_moments(model: nn.Module) -> Iterator[Tree]:
    """Within it, forward passes add up sum_i a_i a_i^T of each layer's inputs, under its name.

    Layers are the `nn.Linear` and `nn.Conv2d` that run and train. The sums are (d, d) float64:
    d counts a last entry that is always 1 where the layer has a bias.

    Raises:
        Impossible: a convolution in groups runs.
    """
    sums: Tree = {}

    def hook(name: str, layer: nn.Linear | nn.Conv2d) -> torch.utils.hooks.RemovableHandle:
        def add(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            a = _entries(layer, args[0].detach())
            sums[name] = sums[name] + a.T @ a if name in sums else a.T @ a

        return layer.register_forward_pre_hook(add)

    handles = [
        hook(name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.requires_grad
    ]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def widened(basis: Tensor | None, moment: Tensor, energy: float) -> Tensor:  # (d, k), (d, d)
    """The basis with the fewest further directions that hold a share `energy` of the inputs.

    The share is of the sum of squares of all inputs. Orthonormal columns, the old ones first.

    Args:
        basis: of earlier inputs, (d, k), or None.
        moment: sum_i a_i a_i^T, float64.
        energy: in [0, 1].
    """
    size = len(moment)
    held = moment.new_zeros(size, 0) if basis is None else basis.to(moment)
    beside = torch.eye(size).to(moment) - held @ held.T
    values, directions = torch.linalg.eigh(beside @ moment @ beside)  # ascending
    values, total = values.clamp(min=0).flip(0), moment.trace()
    inside = total - values.sum() + values.cumsum(0) - values  # held with none, one, two ... more
    count = int((inside < (energy - 1e-12) * total).sum())
    new = directions.flip(1)[:, : min(count, size - held.shape[1])]
    basis = torch.linalg.qr(torch.cat((held, new), 1)).Q
    # In one memory layout whatever it came from: products with it are then equal bit for bit.
    return basis.float().contiguous()


def beside(steps: Mapping[str, Tensor], bases: Mapping[str, Tensor]) -> Tree:
    """What of a layer's step its inputs in the span of its basis do not feel, by parameter name.

    Args:
        steps: gradients or steps by name; layers that are not among them are left out.
        bases: (d, k) by the layer's name.
    """
    found: Tree = {}
    for layer, basis in bases.items():
        weight, bias = (f"{layer}.{part}".lstrip(".") for part in ("weight", "bias"))
        if weight not in steps:
            continue
        step = steps[weight].flatten(1)  # (out, d), or (out, d - 1) beside a bias
        if bias in steps:
            step = torch.cat((step, steps[bias][:, None]), 1)
        step = step - (step @ basis) @ basis.T
        if bias in steps:
            step, found[bias] = step[:, :-1], step[:, -1].contiguous()
        found[weight] = step.reshape(steps[weight].shape)
    return found


def normalising(model: nn.Module) -> set[str]:
    """The names of the parameters of normalisation layers."""
    norms = [(name, m) for name, m in model.named_modules() if isinstance(m, NORMS)]
    return {f"{name}.{part}".lstrip(".") for name, m in norms for part, _ in m.named_parameters()}


def _entries(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:  # (n, d) float64
    """What one row of the layer's weight, then its bias, is multiplied by."""
    a = x.flatten(0, -2) if isinstance(layer, nn.Linear) else _patches(layer, x)
    a = a.double()
    return a if layer.bias is None else F.pad(a, (0, 1), value=1.0)


def _patches(layer: nn.Conv2d, x: Tensor) -> Tensor:  # (n * positions, d)
    if layer.groups > 1:
        raise Impossible(
            f"{layer} works in groups, and what protects a layer looks at whole patches; take a "
            "convolution with groups=1"
        )
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)  # noqa: SLF001
    size = (layer.kernel_size[0], layer.kernel_size[1])
    columns = F.unfold(padded, size, layer.dilation, 0, layer.stride)  # (n, d, positions)
    patches: Tensor = columns.movedim(1, 2).flatten(0, 1)
    return patches
