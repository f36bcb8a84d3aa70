"""LoRA: the cost of an update, what a task adds, and that the bare backbone is never lost."""

from __future__ import annotations

from functools import partial

import torch

from perdure import Batch, Learner, methods, nets, testing


def a_learner(route: str = "merged", rank: int = 2) -> Learner:
    backbone = nets.lora(nets.MLP(6, (8, 8)), rank=rank, alpha=rank)
    model = nets.Classifier(backbone, nets.GrowingHead(8))
    return Learner(model, methods.LoRA(route), optimizer=partial(torch.optim.Adam, lr=0.01))


def a_task(task: int) -> Batch:
    draws = torch.Generator().manual_seed(task)
    return Batch(torch.randn(10, 6, generator=draws), torch.arange(10) % 2 + 2 * task, task)


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """Adapters that grew are there again, frozen or not, with their moments."""
    testing.check_resume_is_exact(methods.LoRA)


def test_a_task_adds_rank_times_in_plus_out_a_layer() -> None:
    """Layers 6-8 and 8-8 at rank 2: 2 (6 + 8) + 2 (8 + 8) = 60 parameters a task."""
    learner = a_learner()
    for task in range(3):
        learner.observe(a_task(task))
    backbone = nets.capacity(learner.model.backbone)
    assert {0: 60, 1: 60, 2: 60} == {k: part.parameters for k, part in backbone.tasks.items()}
    assert 60 == backbone.trainable


def test_the_bare_features_never_move() -> None:
    """Whatever is learnt, taking the adapters away gives the features of the first day."""
    learner = a_learner("nearest")
    x = a_task(9).x
    before = learner.features(x)
    for task in range(3):
        for _ in range(5):
            learner.observe(a_task(task))
    assert not torch.equal(before, learner.features(x))
    nets.strip(learner.model)
    assert torch.equal(before, learner.model.eval().features(x).detach())


def test_full_rank_learns_what_the_weights_would() -> None:
    """One task, adapters of full rank: a training loss as low as that of the whole network."""
    torch.manual_seed(0)
    adapted = a_learner(rank=8)
    torch.manual_seed(0)
    free = Learner(
        nets.Classifier(nets.MLP(6, (8, 8)), nets.GrowingHead(8)),
        optimizer=partial(torch.optim.Adam, lr=0.01),
    )
    for _ in range(300):
        ours = adapted.observe(a_task(0)).terms["loss"].item()
        theirs = free.observe(a_task(0)).terms["loss"].item()
    assert max(ours, theirs) < 0.02
