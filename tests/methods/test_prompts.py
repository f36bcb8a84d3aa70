"""Prompts: a prompt a task before the tokens of an encoder that never learns."""

from __future__ import annotations

from functools import partial

import torch

from perdure import Batch, Learner, methods, nets, testing


def a_learner(route: str = "merged") -> Learner:
    encoder = nets.Transformer(nets.Patches((1, 2, 4), 2, 16), depth=1, heads=2)
    model = nets.Classifier(nets.Prompted(encoder, length=3), nets.GrowingHead(16))
    return Learner(model, methods.Prompts(route), optimizer=partial(torch.optim.Adam, lr=0.02))


def a_task(task: int) -> Batch:
    draws = torch.Generator().manual_seed(task)
    x = torch.randn(10, 1, 2, 4, generator=draws)
    return Batch(x, torch.arange(10) % 2 + 2 * task, task)


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """Prompts that grew are there again, frozen or not, with their moments."""
    testing.check_resume_is_exact(methods.Prompts)


def test_a_task_adds_length_times_width() -> None:
    """Three tokens of 16 numbers: 48 parameters a task, of which the newest learn."""
    learner = a_learner()
    for task in range(3):
        learner.observe(a_task(task))
    backbone = nets.capacity(learner.model.backbone)
    assert {0: 48, 1: 48, 2: 48} == {k: part.parameters for k, part in backbone.tasks.items()}
    assert 48 == backbone.trainable


def test_merged_prompts_are_read_one_after_another() -> None:
    """By hand, through the encoder's two halves."""
    learner = a_learner()
    for task in range(2):
        learner.observe(a_task(task))
    prompted = learner.model.backbone.eval()
    x = a_task(0).x
    tokens, mask = prompted.base.embed(x)
    prompt = torch.cat([*prompted.prompts]).expand(len(x), -1, -1)
    real = torch.ones(len(x), 6 + mask.shape[1], dtype=torch.bool)
    expected = prompted.base.encode(torch.cat((prompt, tokens), 1), real)
    assert torch.allclose(expected, learner.features(x), atol=1e-6)


def test_a_prompt_and_a_head_lower_the_loss_more_than_a_head() -> None:
    """The prompt learns: the same steps with its gradient left out end higher."""
    losses = {}
    for name in ("prompt", "head"):
        torch.manual_seed(0)
        learner = a_learner()
        if name == "head":
            learner.model.backbone.requires_grad_(False)
            learner.refresh()
        for _ in range(150):
            losses[name] = learner.observe(a_task(0)).terms["loss"].item()
    assert losses["prompt"] < 0.7 * losses["head"]
