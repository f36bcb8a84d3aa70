"""A running average of the weights answers."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from itertools import pairwise

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


def test_it_is_the_sum_over_updates_written_out() -> None:
    """decay^k theta_0 + (1 - decay) sum_j decay^(k-j) theta_j, from models kept beside."""
    torch.manual_seed(0)
    learner = Learner(nn.Linear(6, 2), methods.EMA(decay=0.8), optimizer=SGD)
    passed = []
    for seed in range(5):
        learner.observe(rows(seed=seed))
        passed.append(learner.model.weight.detach().clone())
    weights = [0.8**4, *(0.2 * 0.8 ** (4 - j) for j in range(1, 5))]
    assert sum(weights) == pytest.approx(1.0)
    expected = sum(w * theta for w, theta in zip(weights, passed, strict=True))
    torch.testing.assert_close(learner.methods[0].average["weight"], expected)


def test_the_average_answers_and_the_model_learns_on() -> None:
    """Training is that of a learner without it, bit for bit; answers are those of the average."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    model = nets.Classifier(backbone, nets.FixedHead(8, 2))
    plain = Learner(deepcopy(model), optimizer=SGD)
    learner = Learner(model, methods.EMA(decay=0.9), optimizer=SGD)
    x = rows(seed=9).x
    for seed in range(6):
        plain.observe(rows(seed=seed))
        learner.observe(rows(seed=seed))
    testing.assert_same_state(plain.model.state_dict(), model.state_dict(), "beside an average")
    averaged = deepcopy(model)
    averaged.load_state_dict(learner.methods[0].average)
    assert not torch.equal(plain.predict(x), learner.predict(x))
    assert torch.equal(averaged.eval()(x), learner.predict(x))


def test_outputs_that_grow_enter_as_they_are() -> None:
    """And old ones keep their average; nothing of the head is lost."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.GrowingHead(8))
    learner = Learner(model, methods.EMA(decay=1.0), optimizer=SGD)
    learner.observe(rows((0, 1)))
    first = learner.methods[0].average["head.blocks.0.weight"].clone()
    learner.observe(rows((3, 2)))
    average = learner.methods[0].average
    assert torch.equal(first, average["head.blocks.0.weight"])
    assert torch.equal(model.head.blocks[1].weight, average["head.blocks.1.weight"])
    assert learner.predict(rows().x).shape == (12, 4)


def test_before_the_first_update_the_model_answers() -> None:
    """There is no average yet."""
    learner = Learner(nn.Linear(6, 2), methods.EMA())
    assert torch.equal(learner.predict(rows().x), learner.model(rows().x))


def test_single_noisy_batches_jolt_it_less() -> None:
    """Between one update and the next, its answers move a tenth as far at a decay of 0.95."""
    moved = {}
    for decay in (0.0, 0.95):
        torch.manual_seed(0)
        learner = Learner(nn.Linear(6, 2), methods.EMA(decay), optimizer=SGD)
        x, answers = rows(seed=99).x, []
        for seed in range(40):
            learner.observe(rows(seed=seed)[:2])
            answers.append(learner.predict(x))
        steps = [(a - b).norm() for a, b in pairwise(answers[20:])]
        moved[decay] = torch.stack(steps).mean()
    assert moved[0.95] < 0.3 * moved[0.0]


def test_settings_out_of_range_are_refused() -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="EMA: decay"):
        methods.EMA(decay=-0.1)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, the average with it."""
    testing.check_resume_is_exact(lambda: methods.EMA(decay=0.9))


def test_the_average_goes_on_towards_what_another_method_froze() -> None:
    """A backbone frozen at a boundary is answered with, in the end, as it is."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.FixedHead(8, 2))
    learner = Learner(model, methods.EMA(decay=0.5), methods.FirstSession(), optimizer=SGD)
    for seed in range(5):
        learner.observe(rows(seed=seed))
    learner.consolidate()
    for seed in range(40):
        learner.observe(rows(seed=seed))
    average = learner.methods[0].average["backbone.layers.0.weight"]
    torch.testing.assert_close(average, model.backbone.layers[0].weight.detach())
