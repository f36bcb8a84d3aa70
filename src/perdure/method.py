"""One idea of continual learning: a few verbs that return values, which the learner combines."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable
from zlib import crc32

import torch
from torch import Generator, Tensor

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch
from perdure.step import Step

if TYPE_CHECKING:
    from perdure.learner import Learner


@dataclass(frozen=True)
class Needs:
    """What a method cannot do without, so that an impossible set-up is refused before it starts."""

    boundaries: bool = False
    """`consolidate` must be called where a task ends."""
    data: bool = False
    """`consolidate` must be given the rows of the task that ended."""
    task_at_inference: bool = False
    """A prediction must come with its task id."""
    task_in_training: bool = False
    """Training rows must come with their task id."""
    raw_rows: bool = False
    """Raw rows of the past are kept: refused under a no-retention policy."""
    features: bool = False
    """The model must offer `features(x) -> (n, d)`."""
    frozen: bool = False
    """What is under the head must not train, since its features are held against later ones."""
    labels: bool = True
    """Targets must be class labels (int64), not regression targets."""
    head: bool = False
    """The model must be a `Classifier`, whose head is trained apart from what is under it."""
    architecture: str | None = None
    """The one architecture that the method works on, as `perdure.nets` names it."""


@runtime_checkable
class Stateful(Protocol):
    """A part of a method's state that has a state of its own, such as a memory."""

    def seed(self, seed: int) -> None:
        """Seed the part's own generator."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        ...


@runtime_checkable
class Moves(Protocol):
    """A `Stateful` part that lies where the learner computes, as sums of features do."""

    def to(self, device: torch.device | str) -> None:
        """Go there."""
        ...


class Method:
    """Base of every method. Override only the verbs that the idea needs; each **returns** its part.

    A subclass names its state in `keeps`: attributes that hold tensors, mappings from name to
    tensor, plain values, or `Stateful` objects. Saving, loading and seeding follow from that.
    Constructor arguments are kept under their own names, so that `repr` round-trips.
    """

    keeps: ClassVar[tuple[str, ...]] = ()
    needs: Needs = Needs()
    writes_parameters: ClassVar[bool] = False
    """Whether `consolidate` changes the model, so that it runs before those that only look."""
    freezes: ClassVar[bool] = False
    """Whether `consolidate` ends the training of what is under the head."""
    answers: ClassVar[bool] = False
    """Whether `decide` answers alone, so that the model needs no outputs of its own."""
    bounded: ClassVar[bool] = True
    """Whether the state stops growing while a task goes on."""

    rng: Generator

    @property
    def name(self) -> str:
        """The field's name of the method, lower case: the key of its loss term and its state."""
        return type(self).__name__.lower()

    # -- verbs, in the order of an update ------------------------------------------------------

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add modules that the batch's labels or task ids call for; say whether any were added."""
        return False

    def recall(self, step: Step) -> Batch | None:
        """Rows to learn beside the incoming ones; weight 0 keeps them out of the base loss."""
        return None

    def penalty(self, step: Step) -> Tensor | None:
        """A scalar to add to the loss, or None."""
        return None

    def project(self, step: Step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        """The gradients to apply instead; these are unscaled and averaged over ranks."""
        return grads

    def constrain(self, step: Step) -> None:
        """Write parameters after the optimiser did."""

    def settle(self, step: Step) -> None:
        """Update the method's own state; parameters are final."""

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """A task ended: `data` yields its rows, as often as it is iterated over."""

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        """The outputs to answer with instead of `out` (n, classes); must change nothing.

        `x` is raw (n, ...), `task` the ids that the question came with (n,), or None.
        """
        return out

    # -- slots: at most one method of a learner fills each ---------------------------------------

    def forward(self, step: Step) -> tuple[Tensor, Batch]:
        """Slot: run the model some other way; the outputs, and the rows that they belong to."""
        raise AssertionError("the learner calls this slot only where a method fills it")

    def loss(self, step: Step) -> Tensor:
        """Slot: the base loss, a scalar."""
        raise AssertionError("the learner calls this slot only where a method fills it")

    def update(self, learner: Learner, batch: Batch) -> Step:
        """Slot: own the whole update; such a method stands alone."""
        raise AssertionError("the learner calls this slot only where a method fills it")

    # -- state -----------------------------------------------------------------------------------

    def implements(self, verb: str) -> bool:
        """Whether the class overrides `verb`."""
        return getattr(type(self), verb) is not getattr(Method, verb)

    def seed(self, seed: int) -> None:
        """Give the method and each `Stateful` part a generator derived from the run's seed."""
        own = crc32(f"{seed}/{self.name}".encode())
        self.rng = Generator().manual_seed(own)
        for key, part in self.parts().items():
            part.seed(crc32(f"{own}/{key}".encode()))

    def parts(self) -> dict[str, Stateful]:
        """The `Stateful` attributes among `keeps`."""
        held = {key: getattr(self, key) for key in self.keeps}
        return {key: value for key, value in held.items() if isinstance(value, Stateful)}

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""
        parts = self.parts()
        state = {
            key: parts[key].state_dict() if key in parts else getattr(self, key)
            for key in self.keeps
        }
        return {**state, "rng": self.rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Restore what `state_dict` gave, tensors onto the learner's `device`, memories in RAM.

        Raises:
            CheckpointMismatch: the keys are not this method's; the message names them.
        """
        expected = {*self.keeps, "rng"}
        if set(state) != expected:
            raise CheckpointMismatch(
                f"{type(self).__name__} expects state {sorted(expected)} "
                f"and the checkpoint has {sorted(state)}"
            )
        parts = self.parts()
        for key in self.keeps:
            if key not in parts:
                setattr(self, key, _copied(state[key], device))
                continue
            parts[key].load_state_dict(state[key])
            if isinstance(part := parts[key], Moves):
                part.to(device)
        self.rng.set_state(state["rng"].cpu())

    def state_bytes(self) -> int:
        """Bytes of tensors in the state: what the method costs to keep."""
        return _tensor_bytes(self.state_dict())

    def explain(self) -> str:
        """Numbers that help when a loss term is not finite."""
        return repr(self)

    def __repr__(self) -> str:
        """The constructor call that makes this method, arguments at their default left out."""
        given = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if getattr(self, name) != parameter.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"


def _copied(value: Any, device: torch.device | str) -> Any:
    """The same state sharing no tensor, so that a loaded learner never writes into a checkpoint."""
    if isinstance(value, Tensor):
        return value.to(device, copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(held, device) for key, held in value.items()}
    if isinstance(value, list):
        return [_copied(held, device) for held in value]
    return value


def _tensor_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(_tensor_bytes(held) for held in value.values())
    if isinstance(value, list):
        return sum(_tensor_bytes(held) for held in value)
    return 0
