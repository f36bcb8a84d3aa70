"""A model run in two parts: below a cut for some rows, above it for those and others together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from perdure.errors import Impossible, InvalidValue


def through(
    model: nn.Module,
    at: str,
    inputs: Tensor,
    stored: Tensor | None,
    forward: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """The outputs (n + k, ...) for n rows and k stored ones, and what the cut gave for the n.

    Args:
        model: any module.
        at: the name of the submodule whose output is the cut, such as "backbone.layers.3".
        inputs: of the n rows, as the model takes them.
        stored: outputs of the cut (k, ...) that join those of the n rows; None for none.
        forward: runs the model on `inputs`.

    Raises:
        InvalidValue: the cut gives the inputs themselves.
        Impossible: the model has no such module, or it does not give one row for each, once.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> x = torch.ones(5, 4)
        >>> outputs, latent = through(model, "0", x, torch.ones(2, 3), model)
        >>> outputs.shape, latent.shape
        (torch.Size([7, 2]), torch.Size([5, 3]))
    """
    module = dict(model.named_modules()).get(at)
    if module is None or not at:
        near = [name for name, _ in model.named_modules() if name]
        raise Impossible(
            f"{type(model).__name__} has no module {at!r} to cut it at; it has {', '.join(near)}"
        )
    found: list[Tensor] = []

    def join(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        found.append(output)
        return output if stored is None else torch.cat((output, stored.to(output)))

    with module.register_forward_hook(join):
        outputs = forward(inputs)
    rows = 0 if stored is None else len(stored)
    if len(found) != 1 or len(outputs) != len(found[0]) + rows:
        raise Impossible(
            f"{type(model).__name__} calls {at!r} {len(found)} times in a pass, or it has not one "
            "row for each of the inputs; cut it where the rows go through once"
        )
    latent = found[0]
    if latent.numel() == inputs.numel() and torch.equal(latent.flatten(), inputs.flatten()):
        raise InvalidValue(f"{at!r} gives the rows themselves; cut the model further up")
    return outputs, latent


def below(latent: Tensor, params: Mapping[str, Tensor]) -> list[str]:
    """The parameters that `latent` depends on, by name."""
    if not latent.requires_grad:
        return []
    found = torch.autograd.grad(
        latent.sum(), list(params.values()), allow_unused=True, retain_graph=True
    )
    return [name for name, grad in zip(params, found, strict=True) if grad is not None]
