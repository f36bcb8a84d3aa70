"""Methods beside each other, and learners beside each other."""

from __future__ import annotations

import torch

from perdure.engine import Engine
from perdure.testing.worlds import Make, as_methods, play, toy_events, toy_learner


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
