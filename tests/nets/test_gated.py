"""A network with gates a task: answers, growth, and what stays where it is."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from perdure import Batch, nets
from perdure.errors import CheckpointMismatch, Impossible, InvalidValue, UnseenTask
from perdure.nets.gated import gated, unsaturated


def rows(task: int, labels: tuple[int, ...] = (0, 1), n: int = 6) -> Batch:
    y = torch.tensor(labels)[torch.arange(n) % len(labels)]
    return Batch(torch.randn(n, 4, generator=torch.Generator().manual_seed(task)), y, task)


def network(*tasks: int, **settings: object) -> nets.GatedMLP:
    torch.manual_seed(0)
    net = nets.GatedMLP(4, (5, 3), **settings)
    for task in tasks:
        net.grow(rows(task))
    return net


def test_outputs_are_those_of_the_equation_written_out() -> None:
    """For a task at a time, and for rows of both together, in evaluation and in training mode."""
    net = network(7, 2, slope=3.0)
    net.anneal(0.5)
    x = torch.randn(4, 4)
    for net_slope in (3.0, net.training_slope):
        each = []
        for place in range(2):
            h = x
            for layer, gates in zip(net.layers, net.gates, strict=True):
                h = torch.sigmoid(net_slope * gates[place]) * F.relu(layer(h))
            each.append(net.blocks[place](h))
        net.train(net_slope != 3.0)
        for place, task in enumerate((7, 2)):
            torch.testing.assert_close(net(x, torch.full((4,), task)), each[place])
        mixed = net(x, torch.tensor([2, 7, 7, 2]))
        expected = torch.stack([each[p][i] for i, p in enumerate((1, 0, 0, 1))])
        torch.testing.assert_close(mixed, expected)


def test_annealing_goes_from_the_inverse_to_the_slope() -> None:
    """At 0, 0.5 and 1 of the way: 1 / 400, about 200, 400."""
    net = network(0)
    for share, slope in ((0.0, 1 / 400), (0.5, 200.00125), (1.0, 400.0)):
        net.anneal(share)
        assert net.training_slope == pytest.approx(slope)


def test_what_is_of_absent_tasks_gets_no_gradient() -> None:
    """None, not zero, so that neither momentum nor weight decay moves it."""
    net = network(0, 1, slope=1.0)
    net(torch.randn(4, 4), torch.ones(4, dtype=torch.int64)).sum().backward()
    none = {name for name, p in net.named_parameters() if p.grad is None}
    assert none == {"gates.0.0", "gates.1.0", "blocks.0.weight", "blocks.0.bias"}


def test_growth_keeps_old_tensors_and_a_plan_rebuilds_it() -> None:
    """A task adds gates and outputs; further labels add outputs alone."""
    net = network(0)
    before = dict(net.named_parameters())
    assert net.grow(rows(3, (1, 4)))
    assert net.grow(rows(0, (2,)))
    assert not net.grow(rows(3, (4,)))
    after = dict(net.named_parameters())
    assert all(after[name] is p for name, p in before.items())
    assert [len(layer) for layer in net.gates] == [2, 2]
    assert net(torch.zeros(1, 4), torch.tensor([3])).tolist()[0][0] == nets.MASKED
    again = network()
    again.rebuild(net.plan())
    again.load_state_dict(net.state_dict())
    x, task = torch.randn(4, 4), torch.tensor([0, 3, 3, 0])
    assert torch.equal(net(x, task), again(x, task))
    with pytest.raises(CheckpointMismatch, match="not its beginning"):
        network(5).rebuild(net.plan())


def test_declared_classes_are_there_from_the_first_batch_on() -> None:
    """Of every task."""
    net = network(classes=3)
    net.grow(rows(1, (0,)))
    assert net.places.labels == {1: [0, 1, 2]}


def test_a_task_owns_its_gates_and_outputs() -> None:
    """10 numbers of weights and gates: 5 + 3, and 2 * 3 + 2 of a head."""
    found = nets.capacity(network(0, 1))
    assert [found.tasks[task].parameters for task in (0, 1)] == [16, 16]
    assert found.parameters == 2 * 16 + 4 * 5 + 5 + 5 * 3 + 3


def test_room_is_what_no_past_task_feels() -> None:
    """A weight is held where both of its units are used; a bias where its one is."""
    net = network(0, 1)
    first, second = torch.tensor([1.0, 0, 0, 0.5, 0]), torch.tensor([1.0, 0.25, 0])
    room = net.room([first, second], [0])
    assert torch.equal(room["layers.0.weight"], (1 - first)[:, None])
    assert torch.equal(room["layers.0.bias"], 1 - first)
    held = torch.tensor([[1.0, 0, 0, 0.5, 0], [0.25, 0, 0, 0.25, 0], [0, 0, 0, 0, 0]])
    assert torch.equal(room["layers.1.weight"], 1 - held)
    assert {"gates.0.0", "gates.1.0"} == {name for name in room if name.startswith("gates")}
    assert not room["gates.1.0"].any()
    assert network(0, 1).room([], []) == {}


def test_unsaturated_gradients_are_those_of_a_gentle_gate() -> None:
    """d sigmoid(e) / d e times the steepest slope, from the gradient of sigmoid(slope e)."""
    net = network(0, slope=9.0).train()
    net.anneal(0.4)
    e = net.gates[0][0].detach().clone().requires_grad_()
    (steep,) = torch.autograd.grad(torch.sigmoid(net.training_slope * e).sum(), e)
    (gentle,) = torch.autograd.grad(torch.sigmoid(e).sum(), e)
    params = {f"net.{name}": p.detach() for name, p in net.named_parameters()}
    model = nn.ModuleDict({"net": net})
    found = unsaturated(model, {"net.gates.0.0": steep, "net.layers.0.bias": steep}, params)
    assert {*found} == {"net.gates.0.0"}
    torch.testing.assert_close(found["net.gates.0.0"], 9 * gentle, rtol=1e-3, atol=1e-3)


def test_features_are_under_the_newest_task() -> None:
    """One layer below its outputs."""
    net = network(0, 1).eval()
    x = torch.randn(3, 4)
    expected = net.blocks[1](net.features(x))
    torch.testing.assert_close(net(x, torch.ones(3, dtype=torch.int64)), expected)


def test_refusals() -> None:
    """No task ids, a task that it does not know, no slope, and a model without gates."""
    with pytest.raises(InvalidValue, match="task"):
        network(0)(torch.zeros(1, 4))
    with pytest.raises(UnseenTask, match="task 3"):
        network(0)(torch.zeros(1, 4), torch.tensor([3]))
    with pytest.raises(InvalidValue, match="slope"):
        nets.GatedMLP(4, slope=0.0)
    with pytest.raises(Impossible, match="has no gates"):
        gated(nn.Linear(2, 2))
