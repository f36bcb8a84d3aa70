"""Everything between a raw input and an answer, as one module that torch can trace."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from perdure.errors import Impossible, InvalidValue
from perdure.learner import Learner
from perdure.method import Method
from perdure.model import takes_task

ROWS = "rows"
"""The name of the first dimension, which may be any number from 1."""
NOISY = ("torch.onnx._internal.exporter._registration", "torch._export")
Stage = Callable[[Tensor, Tensor], Tensor]
"""From the raw inputs and what the stages before made of them."""


class Answering(nn.Module):
    """What `Learner.predict` does, as a module.

    Args:
        learner: who answers; it stays as it is.
        count: of the stages to run, from the first; None for all.
    """

    def __init__(self, learner: Learner, count: int | None = None) -> None:
        super().__init__()
        self.model = learner.model
        self._stages = [stage for _, stage in stages(learner)][:count]

    def forward(self, x: Tensor) -> Tensor:  # (n, classes)
        """The outputs for raw inputs (n, ...)."""
        out = x
        for stage in self._stages:
            out = stage(x, out)
        return out


def stages(learner: Learner) -> list[tuple[str, Stage]]:
    """The parts of an answer by name: prepare, the model, and each method that decides."""
    return [
        ("the preparation of raw inputs, `prepare`,", lambda _, out: learner.prepare(out)),
        (f"the model, {type(learner.model).__name__},", lambda _, out: learner.forward(out, None)),
        *(
            (f"what {type(method).__name__} decides", partial(_decide, learner, method))
            for method in learner.having["decide"]
        ),
    ]


def _decide(learner: Learner, method: Method, x: Tensor, out: Tensor) -> Tensor:
    return method.decide(learner, x, out, None)


def traced(learner: Learner, example: Tensor) -> ExportedProgram:
    """The graph of an answer, for any number of rows.

    Args:
        learner: on the CPU.
        example: raw inputs (n, ...) of the shape and dtype that questions will have, n >= 1.

    Raises:
        InvalidValue: there is no row, the learner is on another device, or knows no class yet.
        Impossible: a part of the answer is no graph; the message names it.
    """
    _check(learner, example)
    # Zeros, as nobody's rows may end up in the file; two, as one row would be a constant.
    rows = example.new_zeros((2, *example.shape[1:]))
    try:
        return _graph(Answering(learner), rows)
    except Exception as error:  # noqa: BLE001  whatever stops torch, the stage is named
        name, cause = _culprit(learner, rows) or ("the answer as a whole", error)
        raise Impossible(
            f"{name} cannot be written as a graph: {_reason(cause)}. A graph holds operations "
            "on tensors alone; a tokeniser, numpy or a branch on values is none. Take the version "
            "out as safetensors instead, and answer with perdure"
        ) from cause


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporter says about itself, which no user can change."""
    before = {name: logging.getLogger(name).level for name in NOISY}
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # graphs it gave up on
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


def _check(learner: Learner, example: Tensor) -> None:
    if not len(example):
        raise InvalidValue("the example has no rows; give one at least, as questions will be")
    if learner.engine.device.type != "cpu":
        raise InvalidValue(
            f"the learner is on {learner.engine.device}; load it into one with Engine('cpu')"
        )
    asking: list[object] = [learner.model] if takes_task(learner.model) else []
    asking += [method for method in learner.methods if method.needs.task_at_inference]
    if asking:
        raise Impossible(
            f"{type(asking[0]).__name__} chooses its parts by the task ids of the rows, which "
            "a graph of fixed operations cannot; take the version out as safetensors instead"
        )
    if not learner.predict(example).shape[1]:
        raise InvalidValue("the learner knows no class yet; let it learn before it is exported")


def _graph(module: nn.Module, rows: Tensor) -> ExportedProgram:
    shapes = ({0: Dim(ROWS, min=1)},)
    module.eval()
    with torch.no_grad(), quiet():
        made = torch.export.export(module, (rows,), dynamic_shapes=shapes, strict=False)
    for name, held in made.constants.items():  # what is part of a larger tensor goes alone
        if isinstance(held, Tensor):
            made.constants[name] = held.detach().clone(memory_format=torch.contiguous_format)
    for part in made.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # names folders of this machine
    return made


def _culprit(learner: Learner, rows: Tensor) -> tuple[str, Exception] | None:
    """The first stage that cannot be traced, with the reason."""
    for count, (name, _) in enumerate(stages(learner), 1):
        try:
            _graph(Answering(learner, count), rows)
        except Exception as error:  # noqa: BLE001  whatever stops torch is the reason
            return name, error
    return None


def _reason(error: Exception) -> str:
    said = str(error).strip().splitlines() or [type(error).__name__]
    if "Constraints violated" in said[0]:
        return "it fixes the number of rows, as `len(x)` does where `x.shape[0]` does not"
    return said[0].rstrip(".")[:300]
