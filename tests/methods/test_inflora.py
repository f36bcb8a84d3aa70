"""InfLoRA: old inputs do not feel what new tasks learn, and new ones are read where they lie."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.nets.lora import low_rank

OPTIMISERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": partial(torch.optim.Adam, lr=0.01),
}
BACKBONES = {
    "mlp": lambda: nets.MLP(16, (16, 16)),
    "transformer": lambda: nets.Transformer(nets.Patches((1, 4, 4), 2, 32), depth=1, heads=2),
}
WIDTH = {"mlp": 16, "transformer": 32}


def a_learner(method, optimizer=OPTIMISERS["adam"], kind: str = "mlp") -> Learner:
    backbone = nets.lora(BACKBONES[kind](), rank=4, alpha=4)
    model = nets.Classifier(backbone, nets.GrowingHead(WIDTH[kind]))
    return Learner(model, method, optimizer=optimizer)


def a_task(task: int, rows: int = 4) -> Batch:
    draws = torch.Generator().manual_seed(task)
    x = torch.randn(rows, 16, generator=draws)
    return Batch(x, torch.arange(rows) % 2 + 2 * task, task)


def learn(learner: Learner, rows: Batch, steps: int = 30) -> None:
    for _ in range(steps):
        learner.observe(rows)
    learner.consolidate(rows)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_the_features_of_old_inputs_do_not_change(kind: str, optimizer) -> None:
    """To 1e-5 at share 1, where all inputs fit in each layer; merged LoRA moves them by far."""
    moved = {}
    for method in (methods.InfLoRA(share=1.0), methods.LoRA()):
        learner = a_learner(method, optimizer, kind)
        rows = 4 if kind == "mlp" else 2
        learn(learner, a_task(0, rows))
        before, elsewhere = learner.features(a_task(0, rows).x), learner.features(a_task(1).x)
        learn(learner, a_task(1))
        moved[method.name] = (learner.features(a_task(0, rows).x) - before).abs().max().item()
        assert (learner.features(a_task(1).x) - elsewhere).abs().max() > 1e-2
    assert moved["inflora"] < 1e-5
    assert moved["lora"] > 1e-2


def test_adapters_read_the_new_inputs_beside_the_old_ones() -> None:
    """Old rows along e_1, new ones along e_1 + e_2: A reads e_2 first, at length 1 / sqrt(3)."""
    model = nets.Classifier(nets.lora(nets.MLP(4, (3,)), rank=1), nets.GrowingHead(3))
    learner = Learner(model, methods.InfLoRA(share=1.0))
    old = Batch(torch.eye(4)[[0, 0]], torch.tensor([0, 1]))
    learn(learner, old, 2)
    (layer,) = low_rank(model).values()
    assert torch.allclose(torch.tensor([[1.0, 0, 0, 0]]) / 3**0.5, layer.a[0].abs(), atol=1e-6)
    both = torch.eye(4)[0] + torch.eye(4)[1]
    learner.observe(Batch(both.repeat(2, 1), torch.tensor([2, 3])))
    assert torch.allclose(torch.tensor([[0, 1.0, 0, 0]]) / 3**0.5, layer.a[1].abs(), atol=1e-6)


def test_recalled_rows_do_not_say_where_a_new_task_lies() -> None:
    """Its adapters follow from the task's own rows, whichever method was given first."""
    placed = []
    for first in (True, False):
        torch.manual_seed(0)
        used = [methods.ER(capacity=20), methods.InfLoRA(share=0.5)]
        backbone = nets.lora(nets.MLP(16, (16,)), rank=2)
        model = nets.Classifier(backbone, nets.GrowingHead(16))
        learner = Learner(model, *(used if first else used[::-1]))
        learner.observe(a_task(0))
        learner.consolidate(a_task(0))
        learner.observe(a_task(1))
        placed.append(low_rank(model)["backbone.layers.0"].a[1].detach())
    torch.testing.assert_close(*placed)


def test_only_b_learns() -> None:
    """A is placed once for a task, and stays."""
    learner = a_learner(methods.InfLoRA())
    learner.observe(a_task(0))
    layers = low_rank(learner.model).values()
    held = [(layer.a[0].clone(), layer.b[0].clone()) for layer in layers]
    learner.observe(a_task(0))
    for layer, (a, b) in zip(layers, held, strict=True):
        assert torch.equal(a, layer.a[0])
        assert not torch.equal(b, layer.b[0])
        assert not layer.a[0].requires_grad


def test_the_share_says_how_much_of_the_inputs_is_held() -> None:
    """Inputs in squares 9, 4 and 1 of 14: a share of 0.6 takes one direction, 0.9 two, 1 three."""
    x = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0]))
    for share, size in ((0.6, 1), (0.9, 2), (1.0, 3)):
        model = nets.Classifier(nets.lora(nets.MLP(4, (3,))), nets.GrowingHead(3))
        learner = Learner(model, methods.InfLoRA(share))
        learn(learner, Batch(x, torch.arange(4)), 1)
        (basis,) = learner.methods[0].bases.values()
        assert (4, size) == basis.shape
        assert torch.allclose(torch.eye(size), basis.T @ basis, atol=1e-6)


def test_resumed_it_goes_on_bit_for_bit() -> None:
    """With its bases, and without placing a task's adapters twice."""
    testing.check_resume_is_exact(methods.InfLoRA)


def test_a_share_out_of_range_is_refused() -> None:
    """More than all there is not."""
    with pytest.raises(InvalidValue, match=r"InfLoRA: share is 1\.5"):
        methods.InfLoRA(share=1.5)
