"""Hard attention to the task: gates over shared units."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import Impossible, InvalidValue

OPTIMISERS = {
    "sgd": partial(torch.optim.SGD, lr=0.2),
    "momentum": partial(torch.optim.SGD, lr=0.03, momentum=0.9, weight_decay=1e-3),
    "adam": partial(torch.optim.Adam, lr=0.01),
}


def rows(task: int, n: int = 40) -> Batch:
    """Two classes on either side of a plane, another plane for each task."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, 8, generator=generator)
    planes = torch.randn(4, 8, generator=torch.Generator().manual_seed(5))
    return Batch(x, (x @ planes[task] > 0).long(), task)


def learner_of(optimizer: str = "momentum", **settings: float) -> Learner:
    torch.manual_seed(0)
    hat = methods.HAT(**{"steps": 20, **settings})
    return Learner(nets.GatedMLP(8, (60, 60), 2), hat, optimizer=OPTIMISERS[optimizer])


def accuracy(learner: Learner, task: int) -> float:
    found = learner.predict(rows(task).x, task).argmax(1)
    return float((found == rows(task).y).float().mean())


def test_the_penalty_by_hand() -> None:
    """Gates of 1/2 at first: 0.75 * 0.5; with the first unit used, the mean over the other two."""
    net = nets.GatedMLP(2, (3,), 2, slope=2.0)
    learner = Learner(net, methods.HAT(strength=0.75, steps=3))
    net.grow(Batch(torch.zeros(1, 2), torch.tensor([0]), 0))
    with torch.no_grad():
        net.gates[0][0].zero_()
    batch = Batch(torch.ones(2, 2), torch.tensor([0, 1]), 0)
    assert float(learner.observe(batch).terms["hat"]) == pytest.approx(0.375)
    learner.consolidate()
    learner.methods[0].used = [torch.tensor([1.0, 0.0, 0.0])]
    second = Batch(batch.x, batch.y, 1)
    net.grow(second)
    with torch.no_grad():
        net.gates[0][1].copy_(torch.tensor([5.0, 0.0, 2.0]))
    # at slope 1 / 2: sigmoid(0) = 0.5 and sigmoid(1) = 0.7310586
    expected = 0.75 * (0.5 + 0.7310586) / 2
    assert float(learner.observe(second).terms["hat"]) == pytest.approx(expected)


def test_under_plain_sgd_it_is_the_masked_gradient() -> None:
    """A step of the second task against gradients masked by hand."""
    learner = learner_of("sgd", strength=0.0)
    for _ in range(20):
        learner.observe(rows(0))
    learner.consolidate()
    learner.observe(rows(1))
    net, hat = learner.model, learner.methods[0]
    first, second = hat.used
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    net.train()
    net.anneal(1 / 19)
    loss = learner.loss(net(rows(1).x, rows(1).task), rows(1).y)
    weights = [net.layers[0].weight, net.layers[1].weight, net.layers[1].bias]
    grads = torch.autograd.grad(loss, weights)
    learner.observe(rows(1))
    shares = [1 - first[:, None], 1 - torch.minimum(second[:, None], first), 1 - second]
    names = ["layers.0.weight", "layers.1.weight", "layers.1.bias"]
    for name, grad, share in zip(names, grads, shares, strict=True):
        found = net.get_parameter(name).detach()
        torch.testing.assert_close(found, before[name] - 0.2 * share * grad)


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_past_answers_stay_and_new_tasks_are_learned(optimizer: str) -> None:
    """Three tasks; with gates that are all but binary, answers stay to rounding."""
    learner = learner_of(optimizer)
    answers = []
    for task in range(3):
        for _ in range(100):
            learner.observe(rows(task))
        learner.consolidate()
        assert accuracy(learner, task) > 0.9
        answers.append(learner.predict(rows(task).x, task))
        for old, expected in enumerate(answers):
            found = learner.predict(rows(old).x, old)
            torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


def test_without_it_the_same_network_forgets() -> None:
    """So that it is the method that holds the answers."""
    torch.manual_seed(0)
    learner = Learner(nets.GatedMLP(8, (60, 60), 2), optimizer=OPTIMISERS["momentum"])
    for task in range(3):
        for _ in range(100):
            learner.observe(rows(task))
        if task == 0:
            before = learner.predict(rows(0).x, 0)
    assert (learner.predict(rows(0).x, 0) - before).abs().max() > 1


def test_a_stronger_penalty_leaves_more_units_free() -> None:
    """After one task."""
    used = []
    for strength in (0.0, 5.0):
        learner = learner_of(strength=strength)
        for _ in range(100):
            learner.observe(rows(0))
        learner.consolidate()
        used.append(float(torch.cat(learner.methods[0].used).mean()))
    assert used[1] < 0.7 * used[0]


def test_gates_anneal_over_and_over() -> None:
    """From the inverse of the slope to the slope in `steps` updates, and anew after a boundary."""
    learner, slopes = learner_of(steps=3), []
    for task in (0, 0, 0, 0, 1):
        if task:
            learner.consolidate()
        learner.observe(rows(task))
        slopes.append(learner.model.training_slope)
    assert slopes == pytest.approx([1 / 400, 200.00125, 400, 1 / 400, 1 / 400])


def test_embeddings_stay_within_six_and_those_of_past_tasks_where_they_are() -> None:
    """Also where rows of a past task are recalled beside new ones."""
    torch.manual_seed(0)
    model = nets.GatedMLP(8, (20,), 2)
    together = methods.HAT(steps=5), methods.ER(capacity=40)
    learner = Learner(model, *together, optimizer=partial(torch.optim.SGD, lr=5.0, momentum=0.9))
    for _ in range(20):
        learner.observe(rows(0))
    learner.consolidate()
    held = model.gates[0][0].detach().clone()
    for _ in range(20):
        learner.observe(rows(1))
    assert torch.equal(held, model.gates[0][0])
    assert torch.cat([*model.gates[0]]).abs().max() <= 6


def test_tasks_come_one_after_another() -> None:
    """Two at once, one that returns, no ids, or a model without gates: refused by name."""
    learner = learner_of()
    with pytest.raises(InvalidValue, match=r"rows of tasks \[0, 1\]"):
        learner.observe(rows(0) + rows(1))
    learner.observe(rows(0))
    learner.consolidate()
    learner.consolidate()
    with pytest.raises(InvalidValue, match="none twice"):
        learner.observe(rows(0))
    plain = Learner(nets.Classifier(nets.MLP(8, (4,)), nets.FixedHead(4, 2)), methods.HAT())
    with pytest.raises(Impossible, match="has no gates"):
        plain.observe(rows(0))


@pytest.mark.parametrize("settings", [{"strength": -1.0}, {"steps": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    """At construction."""
    with pytest.raises(InvalidValue, match="HAT"):
        methods.HAT(**settings)


def test_it_resumes_bit_for_bit() -> None:
    """From a file, at three places of a stream, in mid-annealing as well."""
    testing.check_resume_is_exact(lambda: methods.HAT(steps=5))
