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
        self._params: dict[str, nn.Parameter] = {}
        self.torch = self._make(list(params), params)

    def grow(self, params: Mapping[str, nn.Parameter]) -> None:
        """Add the parameters not held yet, with the settings that the factory gives."""
        new = [name for name in params if name not in self._params]
        if new:
            for group in self._make(new, params).param_groups:
                self._append(group)
            self._join()

    def scale_lr(self, factor: float) -> None:
        """Set each group's learning rate to `factor` times the one that the factory gave."""
        for group in self.torch.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def state_dict(self) -> dict[str, Any]:
        """Names and settings by group, and moments by name, as tensors and plain values."""
        groups = self.torch.param_groups
        known = {id(p): name for name, p in self._params.items()}
        names = [[known[id(p)] for p in group["params"] if id(p) in known] for group in groups]
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        state = self.torch.state
        moments = {name: dict(state[p]) for name, p in self._params.items() if p in state}
        return {"names": names, "settings": settings, "moments": moments}

    def load_state_dict(self, state: Mapping[str, Any], params: Mapping[str, nn.Parameter]) -> None:
        """Remake the groups over `params` and restore moments, each where its parameter lies.

        Raises:
            CheckpointMismatch: the checkpoint names parameters that the model does not have.
        """
        held = [name for names in state["names"] for name in names]
        missing = [name for name in held if name not in params]
        if missing:
            raise CheckpointMismatch(
                f"the checkpoint's optimiser holds {missing}, which the model does not have"
            )
        self._params = {}
        self.torch = self._make(held, params)
        # What joined which group depended on the settings at that time, not on those of now.
        self.torch.param_groups = [
            {**settings, "params": [params[name] for name in names]}
            for names, settings in zip(state["names"], state["settings"], strict=True)
        ]
        for names, group in zip(state["names"], self.torch.param_groups, strict=True):
            for name in (name for name in names if name in state["moments"]):
                p, moments = params[name], state["moments"][name]
                self.torch.state[p] = {k: _placed(k, v, p, group) for k, v in moments.items()}

    def _make(self, names: list[str], params: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        self._params.update((name, params[name]) for name in names)
        # An optimiser refuses to begin empty, and a model may begin with nothing but growth ahead.
        return self._factory([params[name] for name in names] or [nn.Parameter(torch.empty(0))])

    def _append(self, group: dict[str, Any]) -> None:
        """New parameters come with the factory's settings, at the learning rate now in force."""
        now = self.torch.param_groups[0]
        if "initial_lr" in now:
            group["initial_lr"] = group["lr"]
            group["lr"] *= now["lr"] / now["initial_lr"]
        self.torch.add_param_group(group)

    def _join(self) -> None:
        """Make one of the groups of the same settings.

        An optimiser walks over its groups one by one: of a head that grew in a hundred blocks,
        `fused=True` moves one group in an eighth of the time that a hundred take. Parameters that
        were never moved wait for the next growth, as torch's fused SGD cannot begin some beside
        others.
        """
        joined: list[dict[str, Any]] = []
        for group in self.torch.param_groups:
            alike = (g for g in joined if _base(g) == _base(group) and self._begun(g, group))
            home = next(alike, None)
            if home is None:
                joined.append(group)
            else:
                home["params"].extend(group["params"])
        self.torch.param_groups[:] = joined

    def _begun(self, *groups: Mapping[str, Any]) -> bool:
        """Whether all parameters of these groups have moments, or none has."""
        held = [p in self.torch.state for group in groups for p in group["params"] if p.numel()]
        return all(held) or not any(held)


def _base(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's settings as the factory gave them, before a schedule scaled its rate."""
    base = {k: v for k, v in group.items() if k not in ("params", "initial_lr")}
    return {**base, "lr": group.get("initial_lr", group.get("lr"))}


def _placed(key: str, value: Any, p: Tensor, group: Mapping[str, Any]) -> Any:
    """A copy of what an optimiser holds, where it looks for it: as torch's own loading does it."""
    if not isinstance(value, Tensor):
        return value
    # torch counts steps on the CPU, unless a kernel on the device reads the count.
    counts = key == "step" and not (group.get("fused") or group.get("capturable"))
    return value.to("cpu" if counts else p.device, copy=True)
