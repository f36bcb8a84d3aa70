"""Weights averaged with those of the boundary before."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def rows(labels: tuple[int, ...] = (0, 1), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(labels)[torch.arange(12) % len(labels)]
    return Batch(torch.randn(12, 6, generator=generator), y)


def normalised() -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    return nets.Classifier(backbone, nets.GrowingHead(8))


def values(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in learner.model.state_dict().items()}


def test_a_number_by_hand() -> None:
    """One weight at 2 after the first task and at 6 before the second boundary: 2 + 0.25 * 4."""
    learner = Learner(nn.Linear(1, 1, bias=False), methods.WiSEFT(share=0.25))
    learner.observe(Batch(torch.ones(1, 1), torch.tensor([0])))
    for weight in (2.0, 6.0):
        with torch.no_grad():
            learner.model.weight.fill_(weight)
        learner.consolidate()
    assert learner.model.weight.item() == 3.0


def test_the_first_task_stays_as_it_was_learned() -> None:
    """Its earlier version is a random start, also where a boundary comes before any row."""
    learner = Learner(normalised(), methods.WiSEFT(share=0.5), optimizer=SGD)
    learner.consolidate()
    learner.observe(rows())
    before = values(learner)
    learner.consolidate()
    testing.assert_same_state(before, values(learner), "after the first task")


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_weights_and_running_statistics_are_averaged_and_new_outputs_are_not(share: float) -> None:
    """By torch's own interpolation; counters of batches stay what they are."""
    learner = Learner(normalised(), methods.WiSEFT(share), optimizer=SGD)
    learner.observe(rows())
    learner.consolidate()
    first = values(learner)
    for _ in range(3):
        learner.observe(rows((2, 3), seed=1))
    second = values(learner)
    learner.consolidate()
    found = learner.model.state_dict()
    assert any("running_mean" in name for name in first)
    assert {*second} - {*first} == {"head.blocks.1.weight", "head.blocks.1.bias"}
    for name, learned in second.items():
        weights = name in first and learned.is_floating_point()
        expected = torch.lerp(first[name], learned, share) if weights else learned
        torch.testing.assert_close(found[name], expected, msg=name)


def test_what_no_longer_trains_is_left_alone() -> None:
    """A parameter frozen between two boundaries."""
    learner = Learner(normalised(), methods.WiSEFT(share=0.0), optimizer=SGD)
    learner.observe(rows())
    learner.consolidate()
    weight = learner.model.backbone[0].weight
    with torch.no_grad():
        weight += 1
    held = weight.detach().clone()
    weight.requires_grad_(False)
    learner.refresh()
    learner.consolidate()
    assert torch.equal(held, weight)


def test_it_forgets_less_and_learns_less() -> None:
    """Between contradicting tasks, half of the way back is between the two."""
    accuracy = {}
    for share in (0.5, 1.0):
        torch.manual_seed(0)
        model = nets.Classifier(nets.MLP(6, (32,)), nets.FixedHead(32, 4))
        learner = Learner(model, methods.WiSEFT(share), optimizer=SGD)
        tasks = rows((0, 1), seed=1), rows((2, 3), seed=2)
        for task in tasks:
            for _ in range(60):
                learner.observe(task)
            learner.consolidate()
        right = [(learner.predict(t.x).argmax(1) == t.y).float().mean().item() for t in tasks]
        accuracy[share] = right
    assert accuracy[0.5][0] > accuracy[1.0][0] + 0.2
    assert accuracy[1.0][1] > 0.9


def test_methods_that_look_see_the_average() -> None:
    """It writes parameters, so it comes before a teacher is taken, whatever the order given."""
    learner = Learner(normalised(), methods.LwF(), methods.WiSEFT(share=0.5), optimizer=SGD)
    for seed in range(2):
        learner.observe(rows(seed=seed))
        learner.consolidate()
    teacher, average = learner.methods[0].teacher, deepcopy(learner.params)
    assert all(torch.equal(teacher[name], average[name]) for name in average)


def test_settings_out_of_range_are_refused() -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="WiSEFT: share"):
        methods.WiSEFT(share=1.5)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, what it averages with included."""
    testing.check_resume_is_exact(lambda: methods.WiSEFT(share=0.3))
