"""iCaRL: its targets by hand, its exemplars, and its nearest mean."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import InvalidValue
from perdure.nets import MASKED


def test_the_first_task_is_binary_cross_entropy_over_the_classes_seen() -> None:
    """All logits 0, classes 0 and 1 of four seen: each row costs 2 log 2, not 4 log 2."""
    learner = flat(methods.ICaRL(8))
    step = learner.observe(pair(0, 1))
    assert pytest.approx(2 * 0.6931472) == float(step.terms["loss"])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_past_classes_are_learned_towards_the_teacher(temperature) -> None:
    """Against torch: sigmoid(teacher / T) for classes 0 and 1 of every row, one-hot for 2 and 3."""
    learner = trained(methods.ICaRL(8, temperature=temperature))
    teacher = learner.model.state_dict()
    teacher = {name: held.clone() for name, held in teacher.items()}
    for parameter in learner.params.values():
        parameter.data += 0.1 * torch.randn_like(parameter)
    now = {name: held.clone() for name, held in learner.model.state_dict().items()}
    step = learner.observe(pair(2, 3))
    past = torch.func.functional_call(learner.model, teacher, (step.batch.x,))
    outputs = torch.func.functional_call(learner.model, now, (step.batch.x,))
    target = F.one_hot(step.batch.y, 4).float()
    target[:, :2] = torch.sigmoid(past[:, :2] / temperature)
    expected = F.binary_cross_entropy_with_logits(outputs, target, reduction="none").sum(1).mean()
    assert 20 == len(step.batch)
    assert torch.allclose(expected, step.terms["loss"], atol=1e-6)


def test_exemplars_share_the_capacity_equally_among_the_classes() -> None:
    """8 rows: 4 and 4 after the first task, 2 each after the second; a quota caps them at once."""
    learner = trained(methods.ICaRL(8))
    memory = learner.methods[0].memory
    assert {0: 4, 1: 4} == memory.group_counts()
    learner.observe(pair(2, 3))
    learner.consolidate(pair(2, 3))
    assert {0: 2, 1: 2, 2: 2, 3: 2} == memory.group_counts()
    assert {0: 3, 1: 3} == trained(methods.ICaRL(8, quota=3)).methods[0].memory.group_counts()


def test_the_answer_is_the_nearest_mean_of_exemplars() -> None:
    """From the exemplars and the features themselves: minus the squared distance at unit length."""
    learner = trained(methods.ICaRL(8))
    exemplars = learner.methods[0].memory.rows()
    unit = F.normalize(learner.features(exemplars.x), dim=1)
    x = torch.rand(30, 4)
    features = F.normalize(learner.features(x), dim=1)
    answers = learner.predict(x)
    for label in (0, 1):
        mean = F.normalize(unit[exemplars.y == label].mean(0), dim=0)
        distance = (features - mean).square().sum(1)
        assert torch.allclose(-distance, answers[:, label], atol=1e-5)


def test_classes_without_exemplars_are_never_the_answer() -> None:
    """They hold the masked value, in a head of fixed width and in one that grew since."""
    learner = trained(methods.ICaRL(8))
    assert {MASKED} == {*learner.predict(torch.rand(5, 4))[:, 2:].flatten().tolist()}
    grown = trained(methods.ICaRL(8), growing=True)
    grown.observe(pair(2, 3))
    answers = grown.predict(torch.rand(5, 4))
    assert (5, 4) == answers.shape
    assert {MASKED} == {*answers[:, 2:].flatten().tolist()}


def test_before_the_first_boundary_it_answers_with_the_outputs() -> None:
    """There is no mean yet."""
    learner = flat(methods.ICaRL(8))
    learner.observe(pair(0, 1))
    x = torch.rand(3, 4)
    assert torch.equal(learner.model(x).detach(), learner.predict(x))


def test_a_head_that_grows_keeps_the_teacher_to_the_classes_it_knew() -> None:
    """New outputs get one-hot targets although the teacher has none for them."""
    learner = trained(methods.ICaRL(8), growing=True)
    step = learner.observe(pair(2, 3))
    assert 4 == step.outputs.shape[1]
    assert torch.isfinite(step.terms["loss"])
    assert [True, True] == learner.methods[0].old.tolist()
    assert [True] * 4 == learner.methods[0].seen.tolist()


def test_a_model_without_features_is_refused_at_the_first_boundary() -> None:
    """The message says what would have them."""
    learner = Learner(nn.Linear(4, 4), methods.ICaRL(8))
    learner.observe(pair(0, 1))
    with pytest.raises(InvalidValue, match="has no features"):
        learner.consolidate(pair(0, 1))


@pytest.mark.parametrize("settings", [{"capacity": 0}, {"quota": 0}, {"temperature": 0.0}], ids=str)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name."""
    with pytest.raises(InvalidValue, match=next(iter(settings))):
        methods.ICaRL(**settings)


def test_it_remembers_with_two_exemplars_a_class() -> None:
    """Four classes in two tasks: nearly all of both, where fine-tuning loses the first whole."""
    assert mean_accuracy(methods.ICaRL(8)) > 0.9
    assert mean_accuracy() < 0.6


CENTRES = 2 * torch.eye(4)


def mean_accuracy(*used: methods.ICaRL) -> float:
    learner = flat(*used)
    for labels in ((0, 1), (2, 3)):
        for _ in range(100):
            learner.observe(pair(*labels))
        learner.consolidate(pair(*labels))
    test = pair(0, 1) + pair(2, 3)
    return float((learner.predict(test.x).argmax(1) == test.y).float().mean())


def trained(method: methods.ICaRL, *, growing: bool = False) -> Learner:
    """After a first task of classes 0 and 1."""
    learner = flat(method, growing=growing)
    for _ in range(5):
        learner.observe(pair(0, 1))
    learner.consolidate(pair(0, 1))
    return learner


def flat(*used: methods.ICaRL, growing: bool = False) -> Learner:
    """A small network whose head starts at zero."""
    head = nets.GrowingHead(8) if growing else nets.FixedHead(8, 4)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    model = nets.Classifier(nets.MLP(4, (16, 8)), head)
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=0.2))


def pair(a: int, b: int) -> Batch:
    y = torch.tensor([a, b]).repeat(5)
    return Batch(CENTRES[y] + 0.3 * torch.randn(10, 4), y)
