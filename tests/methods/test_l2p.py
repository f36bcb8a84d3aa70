"""L2P: what rows choose is counted and drawn nearer, and later tasks turn to what is free."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from perdure import Batch, Engine, Learner, methods, nets, testing
from perdure.errors import Impossible, InvalidValue


def a_learner(method: methods.L2P, lr: float = 0.0, **settings) -> Learner:
    encoder = nets.Transformer(nets.Patches((1, 2, 2), 1, 8), depth=1, heads=2)
    pool = nets.PromptPool(encoder, size=6, length=1, top=2)
    model = nets.Classifier(pool, nets.GrowingHead(8))
    return Learner(model, method, optimizer=partial(torch.optim.SGD, lr=lr), **settings)


def a_task(task: int) -> Batch:
    draws = torch.Generator().manual_seed(task)
    return Batch(torch.randn(10, 4, generator=draws), torch.arange(10) % 2 + 2 * task)


def test_the_penalty_is_the_distance_to_the_two_nearest_keys() -> None:
    """Against sorted cosines of the bare features."""
    learner = a_learner(methods.L2P(strength=0.5))
    rows = a_task(0)
    pool = learner.model.backbone
    query = pool.base(rows.x)
    cosine = torch.cosine_similarity(query[:, None], pool.keys[None], dim=2)
    expected = 0.5 * (1 - cosine.sort(1, descending=True).values[:, :2]).sum(1).mean()
    assert torch.allclose(expected, learner.observe(rows).terms["l2p"])


@pytest.mark.parametrize("passes", [1, 3])
def test_choices_are_counted(passes: int) -> None:
    """Two a row, in one pass or several."""
    learner = a_learner(methods.L2P(), engine=Engine(accumulate=passes))
    learner.observe(a_task(0))
    learner.observe(a_task(0))
    assert 40 == learner.methods[0].chosen.sum()


def test_answers_and_other_methods_passes_are_not_counted() -> None:
    """A teacher's pass is not the task's choice."""
    learner = a_learner(methods.L2P())
    both = Learner(learner.model, methods.LwF(), methods.L2P())
    both.observe(a_task(0))
    both.consolidate()
    both.observe(a_task(0))
    both.predict(a_task(0).x)
    assert 40 == both.methods[1].chosen.sum()


def test_after_a_boundary_free_keys_come_first() -> None:
    """The first task's rows choose other keys once theirs count, unless `spread` is off."""
    for spread in (True, False):
        torch.manual_seed(0)
        learner = a_learner(methods.L2P(spread=spread))
        (method,) = learner.methods
        learner.observe(a_task(0))
        first = method.chosen.clone()
        assert (learner.model.backbone.frequency == 1).all()
        learner.consolidate()
        learner.observe(a_task(0))
        second = method.chosen - first
        assert spread == (not torch.equal(first, second))
        if spread:
            assert torch.equal(first / first.sum(), learner.model.backbone.frequency)
            free = first == 0
            assert second[free].sum() > second[~free].sum()


def test_keys_move_towards_what_chooses_them() -> None:
    """The distance falls while the head is taught."""
    learner = a_learner(methods.L2P(strength=1.0), lr=0.2)
    first = learner.observe(a_task(0)).terms["l2p"].item()
    for _ in range(50):
        last = learner.observe(a_task(0)).terms["l2p"].item()
    assert last < 0.5 * first


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """With its counts, and the frequency in the model."""
    testing.check_resume_is_exact(methods.L2P)


def test_a_model_without_a_pool_is_refused() -> None:
    """The message says what to make."""
    learner = Learner(nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8)), methods.L2P())
    with pytest.raises(Impossible, match="one pool of prompts and Classifier has 0"):
        learner.observe(a_task(0))


def test_a_negative_strength_is_refused() -> None:
    """It would drive the keys away."""
    with pytest.raises(InvalidValue, match="L2P: strength is -1"):
        methods.L2P(strength=-1)
