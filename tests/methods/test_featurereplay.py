"""Feature replay: what is measured, what is drawn, its weight, and that no row is kept."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, Method, methods, nets, testing
from perdure.errors import Impossible, InvalidValue


def learner_of(*used: Method, lr: float = 0.05, growing: bool = False) -> Learner:
    torch.manual_seed(0)
    backbone = nets.MLP(testing.INPUTS, (32,)).requires_grad_(False)
    head = nets.GrowingHead(32) if growing else nets.FixedHead(32, 6)
    sgd = partial(torch.optim.SGD, lr=lr)
    return Learner(nets.Classifier(backbone, head), *used, optimizer=sgd)


def rows(y: torch.Tensor, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(6, testing.INPUTS, generator=torch.Generator().manual_seed(5))
    return Batch(centres[y] + torch.randn(len(y), testing.INPUTS, generator=generator), y)


def of(*labels: int, count: int = 20, seed: int = 0) -> Batch:
    return rows(torch.tensor(labels).repeat(count), seed)


def test_features_are_drawn_as_their_class_is_spread() -> None:
    """Mean and covariance of many draws are those of the class's own features."""
    learner = learner_of(methods.FeatureReplay())
    batch = of(0, 1, count=300)
    learner.consolidate(batch)
    drawn = learner.methods[0]._features(torch.ones(20_000, dtype=torch.int64))
    own = learner.features(batch.x[batch.y == 1])
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), own.T.cov(), atol=0.1, rtol=0)


@pytest.mark.parametrize(("present", "factor"), [((2,), 2.0), ((2, 3), 1.0), ((0, 4, 5), 1 / 3)])
def test_each_class_weighs_the_same(present: tuple[int, ...], factor: float) -> None:
    """Past classes over present ones, times the mean loss over what was drawn of the past."""
    learner = learner_of(methods.FeatureReplay(rows=7), lr=0.0)
    learner.consolidate(of(0, 1))
    method = learner.methods[0]
    past = [k for k in (0, 1) if k not in present]
    state = method.rng.get_state()
    group = torch.tensor(past)[torch.randint(len(past), (7,), generator=method.rng)]
    features = method._features(group)
    method.rng.set_state(state)
    step = learner.observe(of(*present))
    expected = factor * F.cross_entropy(learner.model.head(features), group)
    torch.testing.assert_close(expected.detach(), step.terms["feature-replay"])


def test_classes_of_the_incoming_rows_are_not_drawn() -> None:
    """They are there themselves."""
    learner = learner_of(methods.FeatureReplay())
    assert ["loss"] == list(learner.observe(of(0, 1)).terms)
    learner.consolidate(of(0, 1))
    assert ["loss"] == list(learner.observe(of(0, 1)).terms)
    assert "feature-replay" in learner.observe(of(0)).terms


def test_a_class_that_comes_again_is_measured_further() -> None:
    """As if all of its rows had come at once, and what is drawn follows."""
    once, twice = learner_of(methods.FeatureReplay()), learner_of(methods.FeatureReplay())
    first, second = of(0, 1, seed=1), of(1, 2, seed=2)
    once.consolidate(first + second)
    twice.consolidate(first)
    group = torch.ones(5, dtype=torch.int64)
    drawn = []
    for learner in (twice, once):
        learner.methods[0]._features(group % len(learner.methods[0].moments))
    twice.consolidate(second)
    for learner in (once, twice):
        learner.methods[0].seed(3)
        drawn.append(learner.methods[0]._features(group))
    torch.testing.assert_close(*drawn)


def test_with_task_ids_a_class_is_one_of_its_task() -> None:
    """Label 0 of task 0 is past while label 0 of task 1 comes in."""
    backbone = nets.MLP(testing.INPUTS, (8,)).requires_grad_(False)
    model = nets.Classifier(backbone, nets.MultiHead(8, {0: [0, 1], 1: [0, 1]}))
    learner = Learner(model, methods.FeatureReplay())
    batch = of(0, 1)
    learner.consolidate(Batch(batch.x, batch.y, 0))
    assert "feature-replay" in learner.observe(Batch(batch.x, batch.y, 1)).terms
    assert [0, 1] == learner.methods[0].moments.keys.tolist()


def test_a_class_of_one_row_can_be_drawn() -> None:
    """It has no spread but a little."""
    learner = learner_of(methods.FeatureReplay())
    learner.consolidate(of(0, count=1))
    step = learner.observe(of(1))
    assert torch.isfinite(step.terms["feature-replay"])


def test_no_row_and_no_features_of_one_are_kept() -> None:
    """None of theirs is in its state, whose size does not depend on their count."""
    sizes = []
    for count in (20, 200):
        learner = learner_of(methods.FeatureReplay())
        batch = of(0, 1, count=count)
        learner.observe(batch)
        learner.consolidate(batch)
        held = learner.methods[0].moments
        numbers = torch.cat([held.sum.flatten(), held.second.flatten()]).float()
        assert not torch.isin(numbers, batch.x.flatten()).any()
        assert torch.cdist(held.sum.float(), learner.features(batch.x)).min() > 1
        sizes.append(learner.methods[0].state_bytes())
    assert sizes[0] == sizes[1]
    assert not methods.FeatureReplay().needs.raw_rows


def test_what_it_cannot_work_on_is_refused_in_words() -> None:
    """A backbone that trains, and a model without a head."""
    training = Learner(
        nets.Classifier(nets.MLP(testing.INPUTS, (8,)), nets.FixedHead(8, 2)),
        methods.FeatureReplay(),
    )
    with pytest.raises(Impossible, match="freeze"):
        training.consolidate(of(0, 1))
    with pytest.raises(Impossible, match="Classifier's head"):
        Learner(nn.Linear(testing.INPUTS, 6), methods.FeatureReplay()).observe(of(0))
    with pytest.raises(InvalidValue, match="rows is 0"):
        methods.FeatureReplay(rows=0)


def test_it_forgets_less_than_fine_tuning() -> None:
    """Three tasks of two classes on one frozen backbone: the head keeps the first with it alone."""
    assert accuracy_on_first_task() < 0.1
    assert accuracy_on_first_task(methods.FeatureReplay()) > 0.8


def accuracy_on_first_task(*used: Method) -> float:
    learner = learner_of(*used, growing=True)
    for first in (0, 2, 4):
        for seed in range(40):
            learner.observe(of(first, first + 1, count=10, seed=seed))
        learner.consolidate([of(first, first + 1, count=10, seed=seed) for seed in range(40)])
    test = of(0, 1, count=100, seed=999)
    return float((learner.predict(test.x).argmax(1) == test.y).float().mean())


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream."""
    testing.check_resume_is_exact(methods.FeatureReplay)
