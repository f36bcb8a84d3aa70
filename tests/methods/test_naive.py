"""Naive training is a name for doing nothing."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from perdure import Batch, Learner, methods, testing

ADAM = partial(torch.optim.Adam, lr=0.01)


def test_it_is_a_learner_without_methods() -> None:
    """Bit for bit, boundaries included."""
    named, bare = (
        Learner(nn.Linear(4, 3), *given, optimizer=ADAM) for given in ([methods.Naive()], [])
    )
    bare.model.load_state_dict(named.model.state_dict())
    for _ in range(5):
        batch = Batch(torch.randn(6, 4), torch.randint(3, (6,)))
        for learner in (named, bare):
            learner.observe(batch)
            learner.consolidate()
    for name, parameter in named.params.items():
        assert torch.equal(parameter, bare.params[name])


def test_it_keeps_nothing() -> None:
    """Its state is its generator alone, and nothing is asked of a scenario."""
    method = methods.Naive()
    method.seed(0)
    assert list(method.state_dict()) == ["rng"]
    assert method.name == "naive"
    assert not any(method.implements(verb) for verb in ("penalty", "recall", "consolidate"))


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream."""
    testing.check_resume_is_exact(methods.Naive)
