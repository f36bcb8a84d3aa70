"""A model that keeps learning: state = fold(observe, stream)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from perdure import checkpoint, pipeline
from perdure.batch import Batch, scale_uint8
from perdure.combination import check_combination
from perdure.compiled import Update, check_compilable
from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, Impossible, InvalidValue
from perdure.growth import Grows
from perdure.method import Method
from perdure.model import HasFeatures, Prepares, Substitution, takes_task
from perdure.optimiser import Factory, NamedOptimiser
from perdure.step import Step

VERBS = ("grow", "recall", "penalty", "project", "constrain", "settle", "consolidate", "decide")
FORMAT = 1
STATE = (
    *("format", "plans", "model", "frozen", "optimiser", "methods", "engine", "rng"),
    *("updates", "began", "rows", "consolidations"),
)


class Learner:
    """A model that keeps learning, by the methods that it is given.

    Args:
        model: any module. One with `takes_task = True` is called with task ids beside the inputs.
        methods: what keeps it from forgetting; none is naive fine-tuning.
        optimizer: makes the optimiser from parameters; the default is SGD at 0.05. `fused=True`
            pays where a head grows in many blocks.
        loss: `loss(outputs, y)`, a functional loss of torch that also takes `reduction="none"`.
        engine: device, precision, ranks; one CPU by default.
        prepare: from raw inputs to what the model takes, at training and at inference; the
            default is the model's own `prepare` where it has one, otherwise uint8 is scaled to
            [0, 1] and floats are left alone.
        augment: from prepared inputs and a generator to what this update trains on, recalled rows
            included; never at inference.
        schedule: from the number of the update, counted from 0 since the optimiser began, to a
            factor on the learning rate. A method that trains anew (`restart`) begins it anew, so
            that GDumb and Joint warm up and decay at each boundary.
        seed: of the methods, their memories and the augmentation.

    Raises:
        IllegalCombination: two methods claim one name, one slot or one memory.

    Example:
        >>> from perdure.methods import EWC
        >>> learner = Learner(nn.Linear(4, 2), EWC(strength=10.0))
        >>> step = learner.observe(Batch(torch.zeros(3, 4), torch.tensor([0, 1, 0])))
        >>> learner.predict(torch.zeros(1, 4)).shape
        torch.Size([1, 2])
    """

    compiled: Update | None
    _substitution: Substitution | None
    _reached: bool | None

    def __init__(
        self,
        model: nn.Module,
        *methods: Method,
        optimizer: Factory = partial(torch.optim.SGD, lr=0.05),
        loss: Callable[..., Tensor] = F.cross_entropy,
        engine: Engine | None = None,
        prepare: Callable[[Tensor], Tensor] | None = None,
        augment: Callable[[Tensor, Generator], Tensor] | None = None,
        schedule: Callable[[int], float] | None = None,
        seed: int = 0,
    ) -> None:
        check_combination(methods)
        self.engine = engine or Engine()
        self.model = model.to(self.engine.device)
        self._tells_task = takes_task(model)
        self.methods = methods
        self.loss = loss
        own = model.prepare if isinstance(model, Prepares) else scale_uint8
        self.prepare = prepare or own
        self.augment = augment
        self.schedule = schedule
        self.seed = seed
        self.rng = Generator().manual_seed(seed)
        self.updates = 0
        self.began = 0  # the update before which the optimiser was made
        self.rows = 0
        self.consolidations = 0
        for method in methods:
            method.seed(seed)
        self.having = {verb: [m for m in methods if m.implements(verb)] for verb in VERBS}
        self.slots = {
            slot: next((m for m in methods if m.implements(slot)), None)
            for slot in ("forward", "loss", "update")
        }
        if self.engine.ranks is not None:
            self.engine.ranks.broadcast(model.state_dict().values())
        self.params: dict[str, nn.Parameter] = {}
        self.refresh()
        self._factory = optimizer
        self.optimiser = NamedOptimiser(optimizer, self.params)
        if self.engine.compile:
            check_compilable(self.engine, model, methods, scheduled=schedule is not None)

    # -- learning --------------------------------------------------------------------------------

    def observe(self, batch: Batch) -> Step:
        """Learn from one batch: one update, and whatever the methods keep of it.

        Raises:
            NonFinite: a loss term is NaN or infinite; parameters and running statistics are as
                before the call.
        """
        batch = self.engine.place(batch)
        self._grow(batch)
        owner = self.slots["update"]
        step = self.update(batch) if owner is None else owner.update(self, batch)
        self.rows += batch.new
        return step

    def update(self, batch: Batch) -> Step:
        """One pass through the pipeline of verbs; `observe` without growth and counting of rows."""
        if not self.model.training:
            self.model.train()
            for module in self._still:
                module.eval()
        step = Step(self, batch)
        for method in self.having["recall"]:
            recalled = method.recall(step)
            if recalled is not None:
                step.join(method, self.engine.place(recalled))
        if self.schedule is not None:
            self.optimiser.scale_lr(self.schedule(self.updates - self.began))
        apply = pipeline.apply_compiled if self.engine.compile else pipeline.apply
        if apply(self, step):
            for method in self.having["constrain"]:
                method.constrain(step)
            for method in self.having["settle"]:
                method.settle(step)
        step.notes.clear()
        self.drop_gradients()
        self.updates += 1
        return step

    def consolidate(self, data: Batch | Iterable[Batch] | None = None) -> None:
        """Close a task: methods measure importance, snapshot teachers, prune, choose exemplars.

        Args:
            data: the rows of the task that ended, as one batch or as an iterable of batches that
                can be iterated over more than once.

        Raises:
            InvalidValue: a method needs the task's rows and none were given.
        """
        wanting = [m for m in self.having["consolidate"] if m.needs.data]
        if data is None and wanting:
            raise InvalidValue(
                f"{wanting[0]} needs the rows of the task that ended; call consolidate(data)"
            )
        rows = self.engine.placed([data] if isinstance(data, Batch) else data or ())
        by_writing = sorted(self.having["consolidate"], key=lambda m: not m.writes_parameters)
        for method in by_writing:
            method.consolidate(self, rows)
        self.consolidations += 1
        self.refresh()

    # -- answering -------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, x: Tensor, task: int | Tensor | None = None) -> Tensor:  # (n, classes)
        """The model's outputs, after what methods decide; changes no state.

        Args:
            x: raw inputs (n, ...).
            task: one task id, or one a row (n,), where the model asks for it.
        """
        if self.model.training:
            self.model.eval()
        x = x.to(self.engine.device)
        if isinstance(task, int):
            task = torch.full((len(x),), task, device=self.engine.device)
        elif task is not None:
            task = task.to(self.engine.device)
        out = self.forward(self.prepare(x), task)
        for method in self.having["decide"]:
            out = method.decide(self, x, out, task)
        return out

    @torch.no_grad()
    def features(self, x: Tensor, *, fixed: bool = False) -> Tensor:  # (n, d)
        """The representation under the head of raw inputs, in evaluation mode.

        Args:
            x: raw inputs (n, ...).
            fixed: the caller will hold these features against later ones, so nothing that they
                depend on may still be training.

        Raises:
            InvalidValue: the model has no `features`.
            Impossible: they must be fixed, and trainable parameters reach them.
        """
        if not isinstance(self.model, HasFeatures):
            raise InvalidValue(
                f"{type(self.model).__name__} has no features(x); wrap a backbone and a head in "
                "perdure.nets.Classifier, or give the model such a method"
            )
        if self.model.training:
            self.model.eval()
        inputs = self.prepare(x.to(self.engine.device))
        if fixed and self._reached is None and len(x):
            with torch.enable_grad():
                self._reached = self.model.features(inputs[:1]).requires_grad
        if fixed and self._reached:
            raise Impossible(
                f"features of {type(self.model).__name__} are to be held against later ones, and "
                "they still train; freeze what is under the head, "
                "model.backbone.requires_grad_(False)"
            )
        with self.engine.autocast():
            out: Tensor = self.model.features(inputs)
        return out.float()

    def forward(self, inputs: Tensor, task: Tensor | None) -> Tensor:
        """The model's outputs for prepared inputs, in float32 whatever the precision."""
        args = (inputs, task) if self._tells_task else (inputs,)
        with self.engine.autocast():
            out: Tensor = self.model(*args)
        return out.float()

    # -- teachers --------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of the trainable parameters and of the buffers: a teacher for `recite`."""
        held = {**self.params, **dict(self.model.named_buffers())}
        return {name: tensor.detach().clone() for name, tensor in held.items()}

    @torch.no_grad()
    def recite(self, teacher: Mapping[str, Tensor], inputs: Tensor, task: Tensor | None) -> Tensor:
        """What the model answered to prepared inputs when `teacher` was taken, in evaluation mode.

        Outputs that grew since then come from the live model: leave them out.
        """
        with self.as_taught(teacher):
            return self.forward(inputs, task)

    def as_taught(self, teacher: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Within it, the model is what it was when `teacher` was taken, in evaluation mode."""
        if self._substitution is None:
            self._substitution = Substitution(self.model)
        return self._substitution.of(teacher)

    # -- state -----------------------------------------------------------------------------------

    def restart(self, params: Mapping[str, Tensor]) -> None:
        """Set parameters and buffers by name, as `snapshot` gave them; begin the optimiser anew.

        The schedule begins anew with it: its warm-up is for moments that are not there yet, its
        decay for the training that begins. What grew since the snapshot keeps its values.
        """
        self.model.load_state_dict(params, strict=False)
        self.optimiser = NamedOptimiser(self._factory, self.params)
        self.compiled, self.began = None, self.updates

    def drop_gradients(self) -> None:
        """Leave no gradient behind; the optimiser's own `zero_grad` takes ten times as long."""
        for param in self.params.values():
            param.grad = None

    def refresh(self) -> None:
        """Look again at which parameters are trainable and which modules grow."""
        self.params = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._growing = {n: m for n, m in self.model.named_modules() if isinstance(m, Grows)}
        self._still = _standing_still(self.model, self.methods)
        norms = [module for module in self.model.modules() if isinstance(module, _NormBase)]
        self.statistics = [b for norm in norms for b in norm.buffers(recurse=False)]
        self.model.eval()  # so that the next update sets the modes anew
        self.compiled = None
        self._substitution = None
        self._reached = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, as tensors and plain values."""
        held = dict(self.model.state_dict())
        still = [name for name, p in self.model.named_parameters() if not p.requires_grad]
        return {
            "format": FORMAT,
            "plans": {name: module.plan() for name, module in self._growing.items()},
            "model": held,
            "frozen": [name for name in still if name in held],
            "optimiser": self.optimiser.state_dict(),
            "methods": {method.name: method.state_dict() for method in self.methods},
            "engine": self.engine.state_dict(),
            "rng": self.rng.get_state(),
            "updates": self.updates,
            "began": self.began,
            "rows": self.rows,
            "consolidations": self.consolidations,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state` bit for bit, given the same model, methods and settings.

        Raises:
            CheckpointMismatch: the checkpoint is of another format, model or set of methods; the
                learner may have taken over a part of it, so make it anew.
        """
        self._check_belongs(state)
        for name, plan in state["plans"].items():
            module = self.model.get_submodule(name)
            if not isinstance(module, Grows):
                raise CheckpointMismatch(f"the checkpoint grew {name!r}, which cannot grow here")
            module.rebuild(plan)
        checkpoint.check_fits(self.model.state_dict(), state["model"])
        self.model.load_state_dict(state["model"])
        for name, parameter in self.model.named_parameters():
            if name in state["model"]:  # what an encoder leaves out stays as it was made
                parameter.requires_grad_(name not in state["frozen"])
        self.refresh()
        self.optimiser.load_state_dict(state["optimiser"], dict(self.model.named_parameters()))
        for method in self.methods:
            method.load_state_dict(state["methods"][method.name], self.engine.device)
        self.engine.load_state_dict(state["engine"])
        self.rng.set_state(state["rng"].cpu())
        self.updates, self.began = state["updates"], state["began"]
        self.rows = state["rows"]
        self.consolidations = state["consolidations"]

    def save(self, path: str | Path) -> None:
        """Write the state to one safetensors file; a crash leaves the old file or the new one."""
        checkpoint.save(path, self.state_dict())

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote and continue from there."""
        self.load_state_dict(checkpoint.load(path))

    def __repr__(self) -> str:
        """Model class and methods, as in the constructor."""
        return f"Learner({', '.join([type(self.model).__name__, *map(repr, self.methods)])})"

    # -- the pipeline's parts --------------------------------------------------------------------

    def _grow(self, batch: Batch) -> None:
        ranks = self.engine.ranks
        call_for = batch if ranks is None else ranks.everyone(batch)
        grew = False
        for module in self._growing.values():
            grew |= module.grow(call_for)
        for method in self.having["grow"]:
            grew |= method.grow(self, call_for)
        if grew:
            self.refresh()
            self.optimiser.grow(self.params)
            if ranks is not None:
                ranks.broadcast(self.model.state_dict().values())

    def _check_belongs(self, state: Mapping[str, Any]) -> None:
        if state.get("format") != FORMAT:
            raise CheckpointMismatch(
                f"the checkpoint has format {state.get('format')!r}; this perdure reads {FORMAT}"
            )
        lacks, unknown = sorted(set(STATE) - set(state)), sorted(set(state) - set(STATE))
        if lacks or unknown:
            raise CheckpointMismatch(
                f"the checkpoint is no whole state of this perdure's: missing {lacks}, unknown "
                f"{unknown}"
            )
        ours, theirs = {m.name for m in self.methods}, set(state["methods"])
        if ours != theirs:
            raise CheckpointMismatch(
                f"the checkpoint was written by methods {sorted(theirs)} and this learner has "
                f"{sorted(ours)}"
            )


def _standing_still(model: nn.Module, methods: Iterable[Method]) -> list[nn.Module]:
    """Frozen modules, where a method needs them so: their running statistics must not move."""
    if not any(method.needs.frozen for method in methods):
        return []
    held = {module: list(module.parameters()) for module in model.modules()}
    return [m for m, own in held.items() if own and not any(p.requires_grad for p in own)]
