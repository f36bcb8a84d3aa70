"""Where and in what precision the arithmetic of an update runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.ranks import Ranks

Precision = Literal["fp32", "bf16", "fp16"]


class Engine:
    """Device, precision, clipping, accumulation and ranks of one learner.

    Args:
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where there is one.
        precision: "fp32"; "bf16" and "fp16" run the forward pass under autocast, and "fp16" scales
            the loss and skips a step whose gradients overflowed.
        clip: largest global norm of the gradients, after `project`; None leaves them.
        accumulate: forward and backward passes that one update is split into, to save memory.
        compile: compile forward, loss, backward and optimiser into one graph with `torch.compile`:
            the first batch of a shape takes seconds to minutes, the others run faster, most so on
            small models. Needs a C++ compiler on the CPU. Refused beside methods that act inside
            the update (penalty, project, loss), and beside the settings below or above.
        ranks: the processes to learn with, or None to learn alone.

    Raises:
        InvalidValue: an argument out of range, or a device that is not there.
    """

    def __init__(
        self,
        device: str = "cpu",
        precision: Precision = "fp32",
        clip: float | None = None,
        accumulate: int = 1,
        compile: bool = False,  # noqa: A002  torch's own word for it
        ranks: Ranks | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            raise InvalidValue(f"precision is {precision!r}; it must be one of fp32, bf16, fp16")
        if accumulate < 1:
            raise InvalidValue(f"accumulate is {accumulate}; an update has at least one pass")
        if clip is not None and clip <= 0:
            raise InvalidValue(f"clip is {clip}; it must be > 0, or None for no clipping")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise InvalidValue(f"device is {device!r} and torch sees no GPU; use 'cpu' or 'auto'")
        try:
            self.device = torch.device(device)
        except RuntimeError as error:
            raise InvalidValue(
                f"device is {device!r}; it must be 'cpu', 'cuda', 'cuda:1' or 'auto'"
            ) from error
        self.precision = precision
        self.clip = clip
        self.accumulate = accumulate
        self.compile = compile
        self.ranks = ranks
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self._half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def place(self, batch: Batch) -> Batch:
        """The batch on the engine's device."""
        if not isinstance(batch, Batch):
            raise InvalidValue(f"a {type(batch).__name__} is no batch; give `Batch(x, y)`")
        return batch.to(self.device)

    def placed(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """Batches on the engine's device, none of them new, as often as they are iterated over."""
        return _Placed(self, batches)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the model's forward pass runs."""
        if self._half is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._half)

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to `.grad`, scaled where the precision asks for it."""
        (self._scaler.scale(loss) if self._scaler.is_enabled() else loss).backward()

    def finish_gradients(
        self, params: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> None:
        """Leave unscaled gradients, averaged over the ranks, in `.grad`."""
        if self.ranks is not None:
            self.ranks.average_gradients(params)
        if self._scaler.is_enabled():
            self._scaler.unscale_(optimiser)

    def step(self, params: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> bool:
        """Clip, and apply the gradients; False where an overflow made fp16 skip them."""
        if self.clip is not None:
            nn.utils.clip_grad_norm_(params.values(), self.clip)
        if not self._scaler.is_enabled():
            optimiser.step()
            return True
        scale = self._scaler.get_scale()
        self._scaler.step(optimiser)
        self._scaler.update()
        return self._scaler.get_scale() >= scale

    def gradients(self, loss: Tensor, params: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Gradients of a further loss by name, unscaled, averaged over ranks, zero where unused."""
        scale = self._scaler.get_scale() if self._scaler.is_enabled() else 1.0
        found: tuple[Tensor | None, ...] = (None,) * len(params)
        if loss.requires_grad:  # it may hang on frozen parameters alone
            found = torch.autograd.grad(
                loss if scale == 1 else loss * scale, list(params.values()), allow_unused=True
            )
        grads = {
            name: torch.zeros_like(params[name])
            if grad is None
            else (grad if scale == 1 else grad / scale)
            for name, grad in zip(params, found, strict=True)
        }
        return self.average(grads)

    def average(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mean over the ranks; the tensors themselves for a learner alone."""
        return tensors if self.ranks is None else self.ranks.average(tensors)

    def any(self, holds: bool) -> bool:
        """Whether it holds on any rank, so that all of them make the same calls."""
        return holds if self.ranks is None else self.ranks.any(holds)

    def state_dict(self) -> dict[str, Any]:
        """The loss scale of fp16, and the random state of dropout and initialisation."""
        cuda = self.device.type == "cuda"
        return {
            "scaler": dict(self._scaler.state_dict()),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, torch's global random state included."""
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(dict(state["scaler"]))
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)


class _Placed:
    def __init__(self, engine: Engine, batches: Iterable[Batch]) -> None:
        self.engine, self.batches = engine, batches

    def __iter__(self) -> Iterator[Batch]:
        return (self.engine.place(batch).seen() for batch in self.batches)
