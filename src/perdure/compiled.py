"""The opt-in compiled update: forward, loss, backward and optimiser in one graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.engine import Engine
from perdure.errors import IllegalCombination
from perdure.method import Method
from perdure.model import takes_task

Loss = Callable[[Tensor, Batch], Tensor]
Update = Callable[[Tensor, Batch], tuple[Tensor, Tensor]]

INTERPOSING = ("penalty", "project", "forward", "loss", "update")
CHANGING = ("CONSTANT_MATCH", "EQUALS_MATCH", "TENSOR_MATCH")


def check_compilable(
    engine: Engine, model: nn.Module, methods: Sequence[Method], *, scheduled: bool
) -> None:
    """Raise `IllegalCombination` naming what would have to act in the middle of the graph."""
    for method in methods:
        verbs = [verb for verb in INTERPOSING if method.implements(verb)]
        if verbs:
            raise IllegalCombination(
                f"Engine(compile=True) makes the update one graph, and {method} acts inside it "
                f"({verbs[0]}); leave compile off, or keep to methods that recall, constrain, "
                "settle, consolidate and decide"
            )
    settings = {
        "a model that takes task ids": takes_task(model),
        "precision": engine.precision != "fp32",
        "clip": engine.clip is not None,
        "accumulate": engine.accumulate > 1,
        "ranks": engine.ranks is not None,
        "schedule": scheduled,
    }
    for name, on in settings.items():
        if on:
            raise IllegalCombination(f"Engine(compile=True) cannot be combined with {name} yet")


def compiled_update(
    model: nn.Module,
    params: Mapping[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    loss: Loss,
) -> Update:
    """Make `update(inputs, batch) -> (loss, outputs)`, which leaves the gradients in `.grad`.

    The gradients are taken functionally, which lets one graph hold the backward pass and the
    optimiser as well; it writes parameters and gradients in place.
    """
    tells_task = takes_task(model)
    buffers = dict(model.named_buffers())
    grads = {name: torch.zeros_like(p, requires_grad=False) for name, p in params.items()}
    # What torch wraps around an optimiser's step would cut the graph in two.
    move = inspect.unwrap(type(optimiser).step)

    def run(inputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        def answer(values: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            # Running statistics may not be written inside the gradient: on copies they may.
            written = {name: buffer.clone() for name, buffer in buffers.items()}
            args = (inputs, batch.task) if tells_task else (inputs,)
            out: Tensor = torch.func.functional_call(model, {**values, **written}, args)
            return loss(out, batch), (out, written)

        values = {name: p.detach() for name, p in params.items()}
        gradient = torch.func.grad_and_value(answer, has_aux=True)
        found, (value, (out, written)) = gradient(values)
        for name, parameter in params.items():
            cast("Tensor", parameter.grad).copy_(found[name])
        move(optimiser)
        for name, buffer in buffers.items():
            buffer.copy_(written[name])
        return value, out

    drops = any(isinstance(module, nn.modules.dropout._DropoutNd) for module in model.modules())  # noqa: SLF001
    graph = torch.compile(
        _fresh(cast("FunctionType", run), model, params),
        # torch cannot differentiate dropout functionally where the number of rows is a symbol.
        dynamic=False if drops else None,
        options={"guard_filter_fn": _worth_checking},
    )

    @torch.no_grad()
    def update(inputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        # The graph reads `.grad` where it lies, and a step ends by letting go of it.
        for name, parameter in params.items():
            parameter.grad = grads[name]
        return graph(inputs, batch)

    return update


def _worth_checking(guards: Sequence[Any]) -> list[bool]:
    """Which of the compiler's guards each update looks at: all but the build of model and torch.

    That took an eighth of an update. A learner compiles anew where it changes a model's build;
    who changes it by hand, adding a hook say, calls `learner.refresh()`. Values are looked at, as
    a dropout's rate.
    """

    def worth(guard: Any) -> bool:
        if guard.is_global or "__import__" in guard.name:
            return False
        return "model" not in guard.name or guard.guard_type in CHANGING

    return [worth(guard) for guard in guards]


_codes: WeakKeyDictionary[nn.Module, tuple[list[int], CodeType]] = WeakKeyDictionary()


def _fresh(run: FunctionType, model: nn.Module, params: Mapping[str, nn.Parameter]) -> Update:
    """The same function for torch to compile anew, unless it did for this model as it is.

    torch compiles one code object at most 8 times, whatever the models, and then no more.
    """
    shape = [id(parameter) for parameter in params.values()]
    known, code = _codes.get(model, (None, run.__code__))
    if known != shape:
        code = run.__code__.replace()
        _codes[model] = shape, code
    return FunctionType(code, run.__globals__, run.__name__, None, run.__closure__)
