"""Between two states: a line, on which what only one of them has stays where it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from perdure.batch import Batch
from perdure.learner import Learner
from perdure.live.repair import interpolate, movement, repair
from perdure.methods import EWC
from perdure.nets import Classifier, GrowingHead


def grown(learner, labels, steps=5):
    """A learner after some updates on rows of these labels."""
    generator = torch.Generator().manual_seed(len(labels))
    y = torch.tensor(labels).repeat(4)
    for _ in range(steps):
        learner.observe(Batch(torch.randn(len(y), 3, generator=generator), y))
    return learner


def net():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU())
    body[0].bias.requires_grad_(False)
    return Learner(Classifier(body, GrowingHead(6)), EWC(strength=1.0))


def copied(learner):
    other = net()
    other.load_state_dict(learner.state_dict())
    return other


@pytest.fixture
def states():
    """A champion, and a challenger that learnt a class more."""
    champion = grown(net(), [0, 1])
    champion.consolidate(Batch(torch.randn(8, 3), torch.tensor([0, 1] * 4)))
    challenger = grown(copied(champion), [0, 1, 2])
    return champion.state_dict(), challenger.state_dict()


@given(st.floats(0, 1))
def test_the_model_lies_on_the_line(share):
    """Each tensor that both have, running statistics included, is that far from the champion."""
    old = {"model": {"w": torch.tensor([0.0, 4.0]), "running_mean": torch.tensor([2.0])}}
    new = {"model": {"w": torch.tensor([2.0, 4.0]), "running_mean": torch.tensor([0.0])}}
    model = interpolate(old, new, share)["model"]
    assert model["w"].tolist() == pytest.approx([2 * share, 4.0], abs=1e-6)
    assert model["running_mean"].item() == pytest.approx(2 - 2 * share, abs=1e-6)


def test_the_ends_are_the_ends(states):
    """All challenger, and all champion as far as there is one, bit for bit."""
    old, new = states
    whole, none = interpolate(old, new, 1.0)["model"], interpolate(old, new, 0.0)["model"]
    for name, tensor in new["model"].items():
        assert torch.equal(whole[name], tensor)
        if name in old["model"] and tensor.is_floating_point():
            assert torch.equal(none[name], old["model"][name])


def test_what_grew_stays_the_challengers(states):
    """The block of a new class, counters, frozen weights, methods and optimiser."""
    old, new = states
    between = interpolate(old, new, 0.5)
    names = [name for name in new["model"] if name not in old["model"]]
    names += ["backbone.1.num_batches_tracked", "backbone.0.bias"]
    assert len(names) > 2
    for name in names:
        assert torch.equal(between["model"][name], new["model"][name])
    assert {key: between[key] for key in between if key != "model"} == {
        key: new[key] for key in new if key != "model"
    }


def test_rows_that_a_tensor_gained_stay_the_challengers():
    """A head in one tensor: the old rows move, the new ones do not."""
    old, new = torch.zeros(2, 3), torch.ones(4, 3)
    between = interpolate({"model": {"w": old}}, {"model": {"w": new}}, 0.25)["model"]["w"]
    assert between[:, 0].tolist() == [0.25, 0.25, 1.0, 1.0]
    other = interpolate({"model": {"w": torch.zeros(3, 2)}}, {"model": {"w": new}}, 0.25)
    assert torch.equal(other["model"]["w"], new)


def test_a_state_between_can_be_loaded_and_goes_on_learning(states):
    """It is a whole state: a learner takes it, answers for every class, and learns."""
    learner = net()
    learner.load_state_dict(interpolate(*states, 0.5))
    assert learner.predict(torch.randn(4, 3)).shape == (4, 3)
    grown(learner, [0, 1, 2, 3])
    assert learner.predict(torch.randn(4, 3)).shape == (4, 4)


def test_neither_end_is_touched(states):
    """Both states stay what they are."""
    before = [{n: t.clone() for n, t in state["model"].items()} for state in states]
    interpolate(*states, 0.5)["model"]["head.blocks.0.weight"].zero_()
    for state, held in zip(states, before, strict=True):
        assert all(torch.equal(state["model"][name], tensor) for name, tensor in held.items())


def test_the_largest_share_that_passes_is_taken(states):
    """From the challenger towards the champion, and no further than needed."""
    tried = []

    def passes(state, share):
        tried.append(share)
        return share <= 0.5

    found = repair(*states, (0.25, 0.75, 0.5), passes)
    assert tried == [0.75, 0.5]
    name = "head.blocks.0.weight"
    assert torch.equal(found["model"][name], interpolate(*states, 0.5)["model"][name])
    assert repair(*states, (0.75, 0.5), lambda state, share: False) is None
    assert repair(*states, (), lambda state, share: True) is None


def test_movement_is_relative_and_leaves_out_growth(states):
    """Nothing for nothing, twice as far for twice the way, and frozen weights do not count."""
    old, new = states
    assert movement(old, old) == 0.0
    assert movement(old, interpolate(old, new, 0.5)) == pytest.approx(movement(old, new) / 2)
    assert movement(old, {**new, "model": {**new["model"], **old["model"]}}) == 0.0
    doubled = {name: 2 * tensor for name, tensor in old["model"].items()}
    assert movement(old, {**old, "model": doubled}) == pytest.approx(1.0)
