"""LUCIR: its two constraints against torch, and what it keeps in place."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import IllegalCombination, Impossible, InvalidValue

CENTRES = 2 * torch.eye(4)


def test_there_is_no_penalty_before_the_first_boundary() -> None:
    """And right after it, with nothing new, none is due: features are what they were."""
    learner = small(methods.LUCIR())
    assert ["loss"] == [*learner.observe(pair(0, 1)).terms]
    learner.consolidate()
    assert pytest.approx(0.0, abs=1e-5) == float(learner.observe(pair(0, 1)).terms["lucir"])


def test_features_are_held_by_their_direction() -> None:
    """All rows are of new classes, so no margin: 3 * sqrt(2 / 2) * mean (1 - cos)."""
    learner = trained(methods.LUCIR(strength=3.0))
    before = {name: held.clone() for name, held in learner.model.state_dict().items()}
    moved(learner)
    batch = pair(2, 3)
    now = learner.model.features(batch.x).detach()
    step = learner.observe(batch)
    learner.model.load_state_dict(before, strict=False)
    held = learner.model.features(batch.x).detach()
    expected = 3 * (1 - F.cosine_similarity(held, now)).mean()
    assert torch.allclose(expected, step.terms["lucir"], atol=1e-5)


def test_old_rows_keep_a_margin_from_the_nearest_new_classes() -> None:
    """Strength 0, rows of classes 0 and 1, new classes 2 and 3: a loop over rows and classes."""
    learner = trained(methods.LUCIR(strength=0.0, margin=0.4, nearest=1))
    learner.observe(pair(2, 3))
    batch = pair(0, 1)
    out = learner.model(batch.x).detach() / learner.model.head.scale.item()
    hinges = [
        max(0.0, 0.4 - float(out[row, y]) + max(float(out[row, 2]), float(out[row, 3])))
        for row, y in enumerate(batch.y.tolist())
    ]
    step = learner.observe(batch)
    assert sum(hinges) / len(hinges) == pytest.approx(float(step.terms["lucir"]), abs=1e-5)


def test_more_nearest_classes_than_there_are_are_all() -> None:
    """Two are new, five are asked for."""
    learner = trained(methods.LUCIR(nearest=5))
    learner.observe(pair(2, 3))
    assert torch.isfinite(learner.observe(pair(0, 1)).terms["lucir"])


def test_a_model_without_a_cosine_head_is_refused() -> None:
    """At the first update, with what to make."""
    model = nets.Classifier(nets.MLP(4, (8,)), nets.GrowingHead(8))
    with pytest.raises(Impossible, match="CosineHead"):
        Learner(model, methods.LUCIR()).observe(pair(0, 1))


def test_a_method_of_another_architecture_is_refused_beside_it() -> None:
    """A model has one."""
    with pytest.raises(IllegalCombination, match="progressive"):
        Learner(nn.Linear(4, 4), methods.LUCIR(), methods.Progressive())


def test_recalled_rows_are_held_too() -> None:
    """With replay the step's rows are both, and the penalty counts both."""
    learner = trained(methods.LUCIR(), methods.ER(capacity=20))
    step = learner.observe(pair(2, 3))
    assert 20 == len(step.batch)
    assert float(step.terms["lucir"]) > 0


@pytest.mark.parametrize(
    "settings", [{"strength": -1.0}, {"margin": 2.5}, {"margin": -0.1}, {"nearest": 0}], ids=str
)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.LUCIR(**settings)


def test_features_move_less_than_without_it() -> None:
    """The mean turn of the features of two new classes while they are learned: less than half."""
    assert turn(methods.LUCIR(strength=5.0)) < 0.5 * turn()


def turn(*used: methods.LUCIR) -> float:
    learner = trained(*used)
    x = pair(2, 3).x
    before = learner.features(x)
    for _ in range(50):
        learner.observe(pair(2, 3))
    return float((1 - F.cosine_similarity(before, learner.features(x))).mean())


def moved(learner: Learner) -> None:
    """Turn the features a little."""
    with torch.no_grad():
        for parameter in learner.model.backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def trained(*used: methods.LUCIR | methods.ER) -> Learner:
    """After a first task of classes 0 and 1."""
    learner = small(*used)
    for _ in range(30):
        learner.observe(pair(0, 1))
    learner.consolidate()
    return learner


def small(*used: methods.LUCIR | methods.ER) -> Learner:
    torch.manual_seed(6)
    model = nets.Classifier(nets.MLP(4, (16, 8)), nets.CosineHead(8))
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=0.1))


def pair(a: int, b: int) -> Batch:
    y = torch.tensor([a, b]).repeat(5)
    return Batch(CENTRES[y] + 0.3 * torch.randn(10, 4), y)
