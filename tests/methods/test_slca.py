"""SLCA: a slow backbone under any optimiser, and a head that no class has to itself."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import Impossible, InvalidValue

OPTIMISERS = {
    "momentum and decay": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
}


def a_model() -> nets.Classifier:
    return nets.Classifier(nets.MLP(4, (8,)), nets.FixedHead(8, 6))


def a_task(task: int, rows: int = 40) -> Batch:
    draws = torch.Generator().manual_seed(task)
    centres = 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(50))
    y = torch.arange(rows) % 2 + 2 * task
    return Batch(centres[y] + 0.3 * torch.randn(rows, 4, generator=draws), y)


@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_slow_is_a_lower_learning_rate_under_the_head(optimizer) -> None:
    """A tenth: the same as a group of its own with a tenth of the rate, in plain torch."""
    learner = Learner(a_model(), methods.SLCA(slow=0.1), optimizer=optimizer)
    plain = a_model()
    plain.load_state_dict(learner.model.state_dict())
    theirs = optimizer(plain.head.parameters())
    theirs.add_param_group(
        {"params": plain.backbone.parameters(), "lr": 0.1 * theirs.param_groups[0]["lr"]}
    )
    rows = a_task(0)
    for _ in range(10):
        learner.observe(rows)
        theirs.zero_grad()
        logits = plain(rows.x)[:, :2]  # the labels of the task
        nn.functional.cross_entropy(logits, rows.y).backward()
        theirs.step()
    for name, parameter in plain.named_parameters():
        assert torch.allclose(parameter, learner.params[name], atol=1e-5), name


def test_not_at_all_and_as_fast_as_the_head_are_exact() -> None:
    """At 0 the backbone stays to the bit, at 1 it goes as without the method's hand."""
    for slow in (0.0, 1.0):
        torch.manual_seed(0)
        learner = Learner(a_model(), methods.SLCA(slow=slow))
        torch.manual_seed(0)
        other = Learner(a_model(), methods.SLCA(slow=1.0), optimizer=OPTIMISERS["adam"])
        before = learner.model.backbone.layers[0].weight.clone()
        assert torch.equal(before, other.model.backbone.layers[0].weight)
        learner.observe(a_task(0))
        after = learner.model.backbone.layers[0].weight
        assert (slow == 0.0) == torch.equal(before, after)


def test_each_class_is_known_by_its_moments_when_its_task_ended() -> None:
    """Mean and covariance of the features, in float64, against torch.cov."""
    learner = Learner(a_model(), methods.SLCA(epochs=0))
    rows = a_task(1)
    learner.consolidate(rows)
    held = learner.methods[0].moments
    assert [2, 3] == held.labels.tolist()
    for group, label in enumerate((2, 3)):
        features = learner.features(rows.x[rows.y == label]).double()
        assert torch.allclose(features.mean(0), held.means[group])
        spread = held.within()[group] / (held.count[group] - 1)
        assert torch.allclose(torch.cov(features.T), spread, atol=1e-9)


def test_the_head_answers_for_all_classes_and_not_for_the_last_ones() -> None:
    """Three tasks of two classes, without a row of the past: 20 points from the alignment."""
    right = {}
    for epochs in (0, 5):
        torch.manual_seed(0)
        method = methods.SLCA(slow=0.01, epochs=epochs)
        optimizer = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
        learner = Learner(a_model(), method, optimizer=optimizer)
        for task in range(3):
            for _ in range(30):
                learner.observe(a_task(task))
            learner.consolidate(a_task(task))
        found = [learner.predict(a_task(t).x).argmax(1) == a_task(t).y for t in range(3)]
        right[epochs] = torch.cat(found).float().mean().item()
    assert right[5] > 0.9
    assert right[5] > right[0] + 0.2


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """With the moments and the draws."""
    testing.check_resume_is_exact(lambda: methods.SLCA(epochs=1, rows=8))


def test_a_model_without_a_head_of_its_own_is_refused() -> None:
    """There would be nothing to align."""
    learner = Learner(nn.Linear(4, 6), methods.SLCA())
    with pytest.raises(Impossible, match="shows no head to align"):
        learner.observe(a_task(0))


@pytest.mark.parametrize(
    "wrong",
    [{"slow": 2.0}, {"epochs": -1}, {"rows": 0}, {"lr": 0.0}, {"temperature": 0.0}],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong) -> None:
    """By the name of the argument."""
    (name,) = wrong
    with pytest.raises(InvalidValue, match=f"SLCA: {name} is"):
        methods.SLCA(**wrong)
