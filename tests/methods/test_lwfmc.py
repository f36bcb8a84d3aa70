"""LwF.MC: a question for each class, old ones answered as before."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Engine, Learner, Method, methods, nets, testing
from perdure.errors import InvalidValue

SGD = partial(torch.optim.SGD, lr=0.1)


def rows(labels: tuple[int, ...], n: int = 12, seed: int = 0) -> Batch:
    """Classes around centres of their own."""
    y = torch.tensor(labels)[torch.arange(n) % len(labels)]
    centres = 3 * torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
    noise = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return Batch(centres[y] + noise, y)


def learner_of(method: Method | None = None, **settings: float) -> Learner:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (32,)), nets.GrowingHead(32))
    return Learner(model, method or methods.LwFMC(**settings), optimizer=SGD)


def questions(outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over classes of the two logarithms written out, a mean over rows."""
    p = torch.sigmoid(outputs.double())
    each = -(targets * p.log() + (1 - targets) * (1 - p).log())
    return each.sum(1).mean().float()


def test_a_number_by_hand() -> None:
    """Outputs of zero: log 2 for each of two classes; an unseen third is not asked about."""
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    step = Learner(model, methods.LwFMC()).observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
    assert float(step.terms["loss"]) == pytest.approx(2 * 0.6931472)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_old_classes_are_asked_for_the_old_answers(strength: float) -> None:
    """Against a copy of the model from the boundary; new columns have their labels."""
    learner = learner_of(strength=strength)
    for _ in range(5):
        learner.observe(rows((2, 0)))
    learner.consolidate()
    teacher = deepcopy(learner.model).eval()
    later = rows((1, 3), seed=1)
    learner.observe(later)
    student, taught = learner.model(later.x).detach(), teacher(later.x).detach()
    found = float(learner.observe(later).terms["loss"])
    old = questions(student[:, [0, 2]], torch.sigmoid(taught[:, [0, 2]]))
    new = questions(student[:, [1, 3]], nn.functional.one_hot(later.y, 4)[:, [1, 3]])
    assert found == pytest.approx(float(strength * old + new), rel=1e-5)


def test_weights_of_rows_count() -> None:
    """A row of weight 0 is not there."""
    batch = rows((0, 1))
    weight = torch.tensor([1.0, 0.0]).repeat(6)
    weighted = Batch(batch.x, batch.y, weight=weight)
    whole, half = learner_of(), learner_of()
    for learner in (whole, half):
        learner.model.head.grow(batch)
        learner.methods[0].seen = torch.tensor([True, True])
        learner.refresh()
    half.model.load_state_dict(whole.model.state_dict())
    found = whole.observe(weighted).terms["loss"]
    torch.testing.assert_close(found, half.observe(batch[weight > 0]).terms["loss"])


def test_it_remembers_where_lwf_is_taken_over() -> None:
    """Three tasks of two classes, one growing head: the classes of the first are still answered."""
    accuracy = {}
    for method in (methods.LwF(strength=1.0), methods.LwFMC()):
        learner = learner_of(method)
        for task in range(3):
            for seed in range(80):
                learner.observe(rows((2 * task, 2 * task + 1), seed=seed))
            learner.consolidate()
        held = rows((0, 1), n=200, seed=999)
        right = learner.predict(held.x).argmax(1) == held.y
        accuracy[type(method)] = float(right.float().mean())
    assert accuracy[methods.LwFMC] > accuracy[methods.LwF] + 0.3


def test_passes_over_parts_of_the_rows_are_the_whole() -> None:
    """Gradient accumulation gives the same parameters."""
    models = []
    for accumulate in (1, 3):
        torch.manual_seed(0)
        model = nets.Classifier(nets.MLP(6, (8,)), nets.FixedHead(8, 4))
        engine = Engine(accumulate=accumulate)
        learner = Learner(model, methods.LwFMC(), optimizer=SGD, engine=engine)
        for labels in ((0, 1), (2, 3)):
            learner.observe(rows(labels))
            learner.consolidate()
        models.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*models)


def test_settings_out_of_range_are_refused() -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="LwFMC: strength"):
        methods.LwFMC(strength=-1.0)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, its teacher with it."""
    testing.check_resume_is_exact(methods.LwFMC)
