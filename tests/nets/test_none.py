"""A head without outputs, and inputs that are features already."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, Method, nets
from perdure.errors import Impossible, InvalidValue
from perdure.method import Needs
from perdure.step import Step


class Nearest(Method):
    """Answers with the nearest class sum, as a closed-form method does."""

    keeps = ("sums",)
    needs = Needs(features=True, frozen=True)
    answers = True

    def __init__(self) -> None:
        self.sums = torch.zeros(3, 4)

    def settle(self, step: Step) -> None:
        fresh = step.incoming.fresh()
        features = step.learner.features(fresh.x, fixed=True)
        self.sums = self.sums.index_add(0, fresh.y, features)

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        assert out.shape == (len(x), 0)
        return learner.features(x) @ self.sums.T


def test_a_learner_without_parameters_learns_in_closed_form() -> None:
    """No gradient, no optimiser state: `settle` sees the rows and `decide` answers."""
    learner = Learner(nets.Classifier(nets.Flat(4), nets.NoHead(4)), Nearest())
    step = learner.observe(Batch(torch.eye(4)[:3], torch.arange(3)))
    assert {} == step.terms
    assert (3, 0) == step.outputs.shape
    assert [0, 1, 2] == learner.predict(torch.eye(4)[:3]).argmax(1).tolist()
    assert 1 == learner.updates


def test_features_that_train_cannot_be_held() -> None:
    """Refused at the first row, with what to freeze; frozen, they can."""
    model = nets.Classifier(nets.MLP(4, (4,)), nets.NoHead(4))
    learner = Learner(model, Nearest())
    with pytest.raises(Impossible, match=r"backbone\.requires_grad_"):
        learner.features(torch.eye(4), fixed=True)
    model.backbone.requires_grad_(False)
    learner.refresh()
    assert (4, 4) == learner.features(torch.eye(4), fixed=True).shape


def test_a_width_is_at_least_one() -> None:
    """Both say what was given."""
    for module in (nets.NoHead, nets.Flat):
        with pytest.raises(InvalidValue, match="0"):
            module(0)


class Bytes(nn.Module):
    """Wants its bytes as they are."""

    out_features = 2

    def prepare(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        return x.float()


def test_a_backbone_says_how_its_inputs_are_prepared() -> None:
    """And a `prepare` that the learner is given comes first."""
    rows = torch.tensor([[1, 255]], dtype=torch.uint8)
    model = nets.Classifier(Bytes(), nets.FixedHead(2, 2))
    assert [[1.0, 255.0]] == Learner(model).features(rows).tolist()
    ours = Learner(model, prepare=partial(torch.clamp, max=9))
    assert [[1.0, 9.0]] == ours.features(rows).tolist()
    plain = Learner(nets.Classifier(nets.Flat(2), nets.FixedHead(2, 2)))
    assert 1.0 == plain.features(rows)[0, 1].item()
