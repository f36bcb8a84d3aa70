"""An optimiser whose moments are known by parameter name, so that it can grow and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perdure.errors import CheckpointMismatch, InvalidValue

Factory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class NamedOptimiser:
    """A torch optimiser made by `factory`, with parameters added by name as a model grows.

    Args:
        factory: makes the optimiser from parameters, such as `partial(torch.optim.SGD, lr=0.1)`.
        params: the first parameters by name.
    """

    def __init__(self, factory: Factory, params: Mapping[str, nn.Parameter]) -> None:
        if not callable(factory):
            raise InvalidValue(
                f"optimizer is an object of {type(factory).__name__} that is made already, and a "
                "model may grow; give what makes one, such as `partial(torch.optim.Adam, lr=1e-3)`"
            )
        self._factory = factory
        self._names: list[list[str]] = []
        self._params: dict[str, nn.Parameter] = {}
        self.torch = self._make(list(params), params)

    def grow(self, params: Mapping[str, nn.Parameter]) -> None:
        """Add the parameters not held yet, under the settings that the factory gives."""
        new = [name for name in params if name not in self._params]
        if new:
            self._append(new, params)

    def scale_lr(self, factor: float) -> None:
        """Set each group's learning rate to `factor` times the one that the factory gave."""
        for group in self.torch.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def state_dict(self) -> dict[str, Any]:
        """Names, settings and moments, as tensors and plain values."""
        groups = self.torch.param_groups
        moments: dict[str, dict[str, Any]] = {}
        for name in (name for names in self._names for name in names):
            if self._params[name] in self.torch.state:
                moments[name] = dict(self.torch.state[self._params[name]])
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        return {"names": self._names, "settings": settings, "moments": moments}

    def load_state_dict(self, state: Mapping[str, Any], params: Mapping[str, nn.Parameter]) -> None:
        """Remake the groups over `params`, in the order in which they grew, and restore moments.

        Raises:
            CheckpointMismatch: the checkpoint names parameters that the model does not have.
        """
        missing = [name for names in state["names"] for name in names if name not in params]
        if missing:
            raise CheckpointMismatch(
                f"the checkpoint's optimiser holds {missing}, which the model does not have"
            )
        first, *later = state["names"]
        self._names, self._params = [], {}
        self.torch = self._make(list(first), params)
        for names in later:
            self._append(list(names), params)
        for group, settings in zip(self.torch.param_groups, state["settings"], strict=True):
            group.update(settings)
        for name, moments in state["moments"].items():
            self.torch.state[params[name]] = {
                key: value.clone() if isinstance(value, Tensor) else value
                for key, value in moments.items()
            }

    def _make(self, names: list[str], params: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        self._names.append(names)
        self._params.update((name, params[name]) for name in names)
        # An optimiser refuses to begin empty, and a model may begin with nothing but growth ahead.
        return self._factory([params[name] for name in names] or [nn.Parameter(torch.empty(0))])

    def _append(self, names: list[str], params: Mapping[str, nn.Parameter]) -> None:
        """New parameters join with the factory's settings, at the learning rate now in force."""
        now = self.torch.param_groups[0]
        for group in self._make(names, params).param_groups:
            if "initial_lr" in now:
                group["initial_lr"] = group["lr"]
                group["lr"] *= now["lr"] / now["initial_lr"]
            self.torch.add_param_group(group)
