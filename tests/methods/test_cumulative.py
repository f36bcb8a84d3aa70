"""Cumulative: as many updates as fine-tuning, each on rows drawn evenly from all so far."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from perdure import Batch, Learner, methods, testing

SGD = partial(torch.optim.SGD, lr=0.1)


def test_it_makes_the_updates_of_fine_tuning_at_the_same_batch_size() -> None:
    """One an observed batch, of as many rows, later epochs included."""
    learner = a_learner()
    sizes = [len(learner.observe(part).batch) for part in (numbered(0, 8), numbered(8, 3))]
    sizes.append(len(learner.observe(numbered(0, 8).seen()).batch))
    assert sizes == [8, 3, 8]
    assert (learner.updates, learner.rows) == (3, 11)


def test_every_row_ever_seen_is_kept_once() -> None:
    """Rows of later epochs add nothing."""
    learner = a_learner()
    for start in range(0, 80, 8):
        learner.observe(numbered(start, 8))
        learner.observe(numbered(start, 8).seen())
    held = learner.methods[0].memory.rows()
    assert held.x[:, 0].tolist() == list(range(80))


def test_draws_are_uniform_over_all_rows_so_far() -> None:
    """Of 4,000 draws from 40 rows each row has 100 +- 10: none is beyond five deviations."""
    learner = a_learner()
    learner.observe(numbered(0, 40))
    counts = torch.zeros(40)
    for _ in range(100):
        drawn = learner.observe(numbered(0, 40).seen()).batch
        counts += torch.bincount(drawn.x[:, 0].long(), minlength=40)
    assert counts.sum() == 4000
    assert (counts - 100).abs().max() < 50


def test_the_first_batch_is_learned_from_itself_alone() -> None:
    """There is nothing else to draw from, and what is drawn is not new."""
    batch = a_learner().observe(numbered(0, 8)).batch
    assert set(batch.x[:, 0].tolist()) <= set(range(8))
    assert batch.new == 0


def test_it_never_starts_again() -> None:
    """A boundary changes no parameter, and none is needed."""
    learner = a_learner()
    learner.observe(numbered(0, 8))
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    learner.consolidate()
    assert all(torch.equal(p, learner.params[name]) for name, p in before.items())
    assert not methods.Cumulative().needs.boundaries


def test_it_forgets_nothing_that_fine_tuning_forgets() -> None:
    """Three tasks of two classes: the first is lost by the one and kept by the other."""
    accuracy = {}
    for name, make in {"naive": list, "cumulative": methods.Cumulative}.items():
        learner, events = testing.toy_learner(make), testing.toy_events(make, rows=200)
        testing.play(learner, events)
        first = next(what for kind, what in events if kind == "consolidate")
        accuracy[name] = (learner.predict(first.x).argmax(1) == first.y).float().mean().item()
    assert accuracy["naive"] < 0.2
    assert accuracy["cumulative"] > 0.5


def test_it_resumes_exactly() -> None:
    """Rows and draws are state; that it grows without bound is declared."""
    testing.check_resume_is_exact(methods.Cumulative)
    assert not methods.Cumulative.bounded


def a_learner() -> Learner:
    torch.manual_seed(0)
    return Learner(nn.Linear(2, 2), methods.Cumulative(), optimizer=SGD, prepare=lambda x: x / 100)


def numbered(start: int, rows: int) -> Batch:
    """Rows that carry their number as their first value."""
    number = torch.arange(start, start + rows)
    return Batch(torch.stack((number, -number), 1).float(), number % 2)
