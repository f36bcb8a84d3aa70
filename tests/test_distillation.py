"""Divergence from a teacher, and a teacher's answers for several tasks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, Learner, nets
from perdure.distillation import answers_by_task, divergence


def test_two_outputs_are_worked_out_by_hand() -> None:
    """Taught (2 log 3, 0) at temperature 2 is p = (3/4, 1/4); the student has (1/2, 1/2).

    KL = 3/4 log(3/2) + 1/4 log(1/2) = 0.1308.
    """
    taught = torch.tensor([[2 * torch.log(torch.tensor(3.0)), 0.0]])
    found = divergence(torch.zeros(1, 2), taught, temperature=2.0)
    assert float(found) == pytest.approx(0.130812, abs=1e-6)


def test_its_gradient_is_that_of_the_cross_entropy() -> None:
    """With the teacher's probabilities as targets, at temperatures from 1/2 to 4."""
    torch.manual_seed(0)
    outputs, taught = torch.randn(7, 5, requires_grad=True), torch.randn(7, 5)
    for temperature in (0.5, 1.0, 4.0):
        entropy = F.cross_entropy(outputs / temperature, (taught / temperature).softmax(1))
        (expected,) = torch.autograd.grad(entropy, outputs)
        (found,) = torch.autograd.grad(divergence(outputs, taught, temperature), outputs)
        torch.testing.assert_close(found, expected)


def test_agreement_is_zero() -> None:
    """Also up to a constant a row."""
    outputs = torch.randn(4, 3)
    assert float(divergence(outputs + 2, outputs)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("masked", [nets.MASKED, float(torch.tensor(nets.MASKED).bfloat16())])
def test_what_the_teacher_lacked_or_masked_is_free(masked: float) -> None:
    """New columns and masked ones get no gradient and change nothing, in half precision too."""
    torch.manual_seed(0)
    outputs, taught = torch.randn(6, 5, requires_grad=True), torch.randn(6, 4)
    taught[:, 1] = masked
    found = divergence(outputs, taught)
    kept = [0, 2, 3]
    torch.testing.assert_close(found, divergence(outputs[:, kept], taught[:, kept]))
    found.backward()
    assert not outputs.grad[:, [1, 4]].any()
    assert outputs.grad[:, kept].abs().min() > 0


def test_answers_for_each_task_are_those_of_the_model_asked_one_by_one() -> None:
    """Model and teacher, task after task, the rows of each together."""
    torch.manual_seed(0)
    learner = Learner(nets.Classifier(nets.MLP(4, (6,)), nets.MultiHead(6, {0: 2, 3: [1, 2]})))
    teacher = learner.snapshot()
    learner.observe(Batch(torch.randn(5, 4), torch.tensor([1, 2, 1, 2, 1]), task=3))
    x = torch.randn(5, 4)
    outputs, taught = answers_by_task(learner, teacher, x, [3, 0])
    for place, task in ((slice(0, 5), 3), (slice(5, 10), 0)):
        ids = torch.full((5,), task)
        torch.testing.assert_close(outputs[place], learner.model(x, ids))
        torch.testing.assert_close(taught[place], learner.recite(teacher, x, ids))
    assert outputs.requires_grad
    assert not taught.requires_grad


def test_answers_in_half_precision_are_single() -> None:
    """Under bf16 both come back as float32, the masked columns still masked."""
    from perdure import Engine

    model = nets.Classifier(nn.Linear(4, 6), nets.MultiHead(6, {0: [0, 1], 1: [2]}))
    learner = Learner(model, engine=Engine(precision="bf16"))
    for out in answers_by_task(learner, learner.snapshot(), torch.randn(3, 4), [0, 1]):
        assert out.dtype == torch.float32
        assert (out[:3, 2] < nets.MASKED / 2).all()
