"""The contract that every method passes; public, so that a plug-in's tests can run it too.

from perdure.testing import check_method

def test_my_method_keeps_the_contract():
    check_method(lambda: MyMethod(strength=2.0))
"""

from __future__ import annotations

import ast
import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from perdure import checkpoint, nets
from perdure.batch import Batch
from perdure.engine import Engine
from perdure.errors import CheckpointMismatch, PerdureError, UnseenTask
from perdure.learner import Learner
from perdure.method import Method
from perdure.model import takes_task

INPUTS, CLASSES, TASKS = 6, 6, 3
Make = Callable[[], Method | Sequence[Method]]
Event = tuple[str, Any]


def check_method(make: Make) -> None:
    """Run every check of the contract on what `make()` returns: one method, or several together.

    Args:
        make: gives fresh methods at each call.

    Raises:
        AssertionError: a promise is broken; the message says which and where.
    """
    for check in CHECKS:
        check(make)


def check_resume_is_exact(make: Make) -> None:
    """A learner saved to a file and loaded elsewhere goes on bit for bit like one never stopped."""
    events = toy_events(make)
    whole = toy_learner(make)
    play(whole, events)
    for cut in (2, len(events) // 2, len(events) - 2):
        first = toy_learner(make)
        play(first, events[:cut])
        with tempfile.TemporaryDirectory() as folder:
            first.save(Path(folder) / "state.safetensors")
            second = toy_learner(make, seed=99)
            second.load(Path(folder) / "state.safetensors")
        assert_same_state(first.state_dict(), second.state_dict(), f"loaded after event {cut}")
        play(second, events[cut:])
        assert_same_state(whole.state_dict(), second.state_dict(), f"resumed after event {cut}")


def check_copies_live_apart(make: Make) -> None:
    """A deep copy goes on bit for bit like the learner itself, and neither feels the other."""
    events, learner = toy_events(make), toy_learner(make)
    play(learner, events[:12])
    twin, rng = copy.deepcopy(learner), torch.get_rng_state()
    play(learner, events[12:])
    torch.set_rng_state(rng)
    play(twin, events[12:])
    assert_same_state(learner.state_dict(), twin.state_dict(), "the copy went another way")


def check_predict_is_pure(make: Make) -> None:
    """Predicting changes no state, and the same question gets the same answer, at any time."""
    learner = toy_learner(make)
    events = toy_events(make)
    for stage in (0, 3, len(events)):
        play(learner, events[:stage])
        x, task = toy_question(make)
        before = frozen(learner.state_dict())
        try:
            first = learner.predict(x, task)
        except UnseenTask:  # a network that grows by task may know none before the first batch
            assert stage == 0, f"{learner} does not know a task that it has learned"
            continue
        second = learner.predict(x, task)
        assert torch.equal(first, second), f"{learner}: two identical questions, two answers"
        assert first.shape[0] == len(x), f"{learner}: {len(first)} answers to {len(x)} rows"
        assert_same_state(before, learner.state_dict(), "predict wrote state")


def check_single_rows(make: Make) -> None:
    """A stream may bring one row at a time."""
    learner = toy_learner(make)
    for kind, what in toy_events(make, rows=12):
        if kind == "consolidate":
            learner.consolidate(what)
        else:
            for row in range(len(what)):
                learner.observe(what[row : row + 1])
    assert_finite(learner)


def check_unseen_labels(make: Make) -> None:
    """Classes (or tasks) that first appear in mid-stream are learned beside the old ones."""
    learner = toy_learner(make, growing=True)
    play(learner, toy_events(make))
    assert_finite(learner)
    x, task = toy_question(make)
    assert learner.predict(x, task).shape[1] >= 2


def check_empty_memory(make: Make) -> None:
    """A boundary may come before any row, and a first batch meets an empty memory."""
    learner = toy_learner(make)
    learner.consolidate(())
    play(learner, toy_events(make))
    assert_finite(learner)


def check_half_precision(make: Make) -> None:
    """Under bf16 the learner learns, and its parameters stay float32 and finite."""
    learner = toy_learner(make, engine=Engine(precision="bf16"))
    play(learner, toy_events(make))
    assert_finite(learner)
    assert all(p.dtype == torch.float32 for p in learner.params.values())


def check_accumulation(make: Make) -> None:
    """An update split into several passes learns, and says the same loss terms."""
    (_, batch), *_ = toy_events(make)
    whole = toy_learner(make).observe(batch)
    learner = toy_learner(make, engine=Engine(accumulate=3))
    split = learner.observe(batch)
    assert split.terms.keys() == whole.terms.keys()
    for name, term in whole.terms.items():
        close = torch.allclose(torch.as_tensor(split.terms[name]), term, rtol=1e-4, atol=1e-6)
        assert close, f"{learner}: term {name!r} is {split.terms[name]} in passes, {term} at once"


def check_bounded_state(make: Make, steps: int = 500) -> None:
    """Between step `steps` and twice as many of one task, the state does not grow."""
    together = as_methods(make)
    if not all(method.bounded for method in together):
        return
    learner = toy_learner(make)
    events = toy_events(make)
    play(learner, events[:-1])
    _, observed = events[-2]
    rows = Batch(observed.x, observed.y, observed.task)
    for _ in range(steps):
        learner.observe(rows)
    midway = sum(method.state_bytes() for method in learner.methods)
    for _ in range(steps):
        learner.observe(rows)
    after = sum(method.state_bytes() for method in learner.methods)
    assert after == midway, f"{learner}: the state grew from {midway} to {after} bytes"


def check_state_is_plain(make: Make) -> None:
    """The state is tensors and plain values, and reads back from a file as it was written."""
    learner = toy_learner(make)
    play(learner, toy_events(make))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        learner.save(path)
        assert_same_state(learner.state_dict(), checkpoint.load(path), "written and read back")


def check_unknown_keys_are_refused(make: Make) -> None:
    """A state with a key that the method does not know is refused, and the message names it."""
    for method in as_methods(make):
        method.seed(0)
        state = {**method.state_dict(), "surprise": 1}
        try:
            method.load_state_dict(state)
        except CheckpointMismatch as error:
            assert "surprise" in str(error), f"{method}: the refusal does not name the key: {error}"
        else:
            raise AssertionError(f"{method} swallowed a checkpoint key that it does not know")


def check_repr_round_trips(make: Make) -> None:
    """`repr` is the constructor call that makes an equal method."""
    for method in as_methods(make):
        call = ast.parse(repr(method), mode="eval").body
        assert isinstance(call, ast.Call), f"{method!r} is not a constructor call"
        given = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        again = type(method)(**given)
        assert repr(again) == repr(method), f"{method!r} reads back as {again!r}"


def check_inputs_are_not_aliased(make: Make) -> None:
    """Rows that the caller overwrites after `observe` do not change what the method remembers."""
    learner = toy_learner(make)
    (_, batch), *_ = toy_events(make)
    mine = batch[:]
    mine = Batch(mine.x.clone(), mine.y.clone(), mine.task)
    learner.observe(mine)
    before = frozen(learner.state_dict())
    mine.x.fill_(7.0)
    assert_same_state(before, learner.state_dict(), "the caller's tensor is part of the state")


def check_without_task_ids(make: Make) -> None:
    """Without task ids in training a method works, or refuses in one of perdure's own words."""
    learner = toy_learner(make)
    try:
        for kind, what in toy_events(make):
            if kind == "consolidate":
                learner.consolidate(what)
            else:
                learner.observe(Batch(what.x, what.y))
    except PerdureError:
        needing = [m for m in learner.methods if m.needs.task_in_training]
        assert needing or takes_task(learner.model), f"{learner} refuses without saying so"
    else:
        assert_finite(learner)


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_resume_is_exact,
    check_copies_live_apart,
    check_predict_is_pure,
    check_single_rows,
    check_unseen_labels,
    check_empty_memory,
    check_half_precision,
    check_accumulation,
    check_bounded_state,
    check_state_is_plain,
    check_unknown_keys_are_refused,
    check_repr_round_trips,
    check_inputs_are_not_aliased,
    check_without_task_ids,
)


def check_order_is_free(make: Make) -> None:
    """Methods that only recall, penalise and settle give the same model in any order."""
    forward = toy_learner(make)
    backward = toy_learner(lambda: list(reversed(as_methods(make))))
    for learner in (forward, backward):
        play(learner, toy_events(make))
    for name, parameter in forward.params.items():
        close = torch.allclose(parameter, backward.params[name], rtol=1e-3, atol=1e-5)
        assert close, f"{forward}: {name} depends on the order of the methods"


def check_ranks_agree(make: Make, engine: Engine) -> None:
    """Run on every rank: all end with bit-equal parameters. `engine` holds the ranks."""
    ranks = engine.ranks
    assert ranks is not None
    learner = toy_learner(make, engine=engine, seed=ranks.rank)
    for kind, what in toy_events(make, rows=20):
        shard = what[ranks.rank :: ranks.size]
        learner.consolidate(shard) if kind == "consolidate" else learner.observe(shard)
    mine = {name: p.detach() for name, p in learner.params.items()}
    for name, mean in ranks.average(mine).items():
        assert torch.equal(mean, mine[name]), f"{learner}: rank {ranks.rank} differs in {name}"


# -- a toy world ---------------------------------------------------------------------------------


def as_methods(make: Make) -> list[Method]:
    """What `make` returns, as a list."""
    made = make()
    return [made] if isinstance(made, Method) else list(made)


def toy_learner(
    make: Make, *, growing: bool = False, engine: Engine | None = None, seed: int = 0
) -> Learner:
    """A small learner of the architecture that the methods need."""
    together = as_methods(make)
    torch.manual_seed(seed)
    return Learner(
        _toy_model(together, growing),
        *together,
        optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
        engine=engine,
    )


def toy_events(make: Make, rows: int = 40) -> list[Event]:
    """Three tasks of two classes: ("observe", batch) and, at each end, ("consolidate", rows)."""
    local = _by_task(as_methods(make))
    generator = torch.Generator().manual_seed(5)
    centres = 2 * torch.randn(CLASSES, INPUTS, generator=generator)
    events: list[Event] = []
    for task in range(TASKS):
        y = torch.arange(rows) % 2
        x = centres[y + 2 * task] + torch.randn(rows, INPUTS, generator=generator)
        batch = Batch(x, y if local else y + 2 * task, torch.full((rows,), task))
        events += [("observe", batch[i : i + 10]) for i in range(0, rows, 10)]
        events += [("observe", batch[i : i + 10].seen()) for i in range(0, rows, 10)]
        events.append(("consolidate", batch))
    return events


def toy_question(make: Make) -> tuple[Tensor, int | None]:
    """Inputs to predict, with the first task's id where the methods must be told it."""
    x = torch.randn(5, INPUTS, generator=torch.Generator().manual_seed(7))
    return x, 0 if _by_task(as_methods(make)) else None


def play(learner: Learner, events: Sequence[Event]) -> None:
    """Feed the events to the learner."""
    for kind, what in events:
        learner.consolidate(what) if kind == "consolidate" else learner.observe(what)


def _by_task(together: Sequence[Method]) -> bool:
    return any(method.needs.task_at_inference for method in together)


def _toy_model(together: Sequence[Method], growing: bool) -> nn.Module:
    if any(method.needs.architecture == "progressive" for method in together):
        return nets.ProgressiveNet(INPUTS, (8, 8), 2)
    if any(method.needs.architecture == "gated" for method in together):
        return nets.GatedMLP(INPUTS, (8, 8), 2)
    backbone = _toy_backbone({method.needs.architecture for method in together})
    if any(method.needs.frozen for method in together) and not any(m.freezes for m in together):
        backbone.requires_grad_(False)
    if any(method.needs.architecture == "consolidated" for method in together):
        return nets.Classifier(backbone, nets.ConsolidatedHead(8))
    if any(method.needs.architecture == "cosine" for method in together):
        return nets.Classifier(backbone, nets.CosineHead(8, 0 if growing else CLASSES))
    if _by_task(together):
        tasks = None if growing else {task: [0, 1] for task in range(TASKS)}
        return nets.Classifier(backbone, nets.MultiHead(8, tasks))
    head = nets.GrowingHead(8) if growing else nets.FixedHead(8, CLASSES)
    return nets.Classifier(backbone, head)


def _toy_backbone(wanted: set[str | None]) -> nn.Module:
    if "lora" in wanted:
        return nets.lora(nets.MLP(INPUTS, (8, 8)), rank=2, alpha=2)
    if not wanted & {"prompted", "pool"}:
        return nets.MLP(INPUTS, (8, 8))
    encoder = nets.Transformer(nets.Patches((1, 1, INPUTS), 1, 8), depth=1, heads=2)
    pool = "pool" in wanted
    return nets.PromptPool(encoder, 4, 1, 2) if pool else nets.Prompted(encoder, 2)


# -- comparing -----------------------------------------------------------------------------------


def frozen(state: Any) -> Any:
    """The same state with its tensors copied."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: frozen(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(frozen(value) for value in state)
    return state


def assert_same_state(ours: Any, theirs: Any, where: str) -> None:
    """Raise `AssertionError` at the first place where two states differ in a single bit."""
    for place, mine, other in _differences(ours, theirs, ""):
        raise AssertionError(f"{where}: state{place} is {mine!r} in one and {other!r} in the other")


def assert_finite(learner: Learner) -> None:
    """Every parameter is finite."""
    for name, parameter in learner.params.items():
        assert bool(torch.isfinite(parameter).all()), f"{learner}: {name} is not finite"


def _differences(ours: Any, theirs: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        if ours.dtype != theirs.dtype or not _equal(ours.cpu(), theirs.cpu()):
            yield place, ours, theirs
    elif isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if set(ours) != set(theirs):
            yield place, sorted(ours), sorted(theirs)
            return
        for key in ours:
            yield from _differences(ours[key], theirs[key], f"{place}[{key!r}]")
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if len(ours) != len(theirs):
            yield place, len(ours), len(theirs)
            return
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(mine, other, f"{place}[{index}]")
    elif ours != theirs:
        yield place, ours, theirs


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    """Whether every number is the same; NaN, which stands for what is missing, is like NaN."""
    if ours.shape != theirs.shape:
        return False
    return bool(((ours == theirs) | ((ours != ours) & (theirs != theirs))).all())  # noqa: PLR0124
