"""What a stream may bring and an engine may do, without a method breaking."""

from __future__ import annotations

import torch

from perdure.batch import Batch
from perdure.engine import Engine
from perdure.errors import PerdureError, UnseenTask
from perdure.learner import Learner
from perdure.model import takes_task
from perdure.step import Step
from perdure.testing.comparison import assert_same_state, frozen
from perdure.testing.worlds import Make, play, toy_events, toy_learner, toy_question


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
    """An update split into passes learns the same, whatever its rows weigh and each pass holds."""
    (_, batch), *_ = toy_events(make)
    order, weight = batch.y.argsort(stable=True), torch.linspace(0.1, 3, len(batch))
    rows = Batch(batch.x[order], batch.y[order], batch.task[order], weight=weight)
    learners = toy_learner(make), toy_learner(make, engine=Engine(accumulate=3))
    whole, split = (_observed(learner, rows) for learner in learners)
    assert split.terms.keys() == whole.terms.keys()
    for name, term in whole.terms.items():
        close = torch.allclose(torch.as_tensor(split.terms[name]), term, rtol=1e-4, atol=1e-6)
        assert close, f"{learners[0]}: term {name!r} is {split.terms[name]} in passes, {term} else"
    for name, parameter in learners[0].params.items():
        close = torch.allclose(parameter, learners[1].params[name], rtol=1e-3, atol=1e-5)
        assert close, f"{learners[0]}: {name} learns otherwise in passes than at once"


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


def assert_finite(learner: Learner) -> None:
    """Every parameter is finite."""
    for name, parameter in learner.params.items():
        assert bool(torch.isfinite(parameter).all()), f"{learner}: {name} is not finite"


def _observed(learner: Learner, rows: Batch) -> Step:
    """The update, under one random state whatever came before."""
    torch.manual_seed(0)
    return learner.observe(rows)
