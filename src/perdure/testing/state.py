"""The state of a method: plain, exact, its own, and as large after many steps as after few."""

from __future__ import annotations

import ast
import copy
import tempfile
from pathlib import Path

import torch

from perdure import checkpoint
from perdure.batch import Batch
from perdure.errors import CheckpointMismatch
from perdure.testing.comparison import assert_same_state, frozen
from perdure.testing.worlds import Make, as_methods, play, toy_events, toy_learner


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
