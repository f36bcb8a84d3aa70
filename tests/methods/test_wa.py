"""WA: lengths of weights by hand, on heads that are fixed and that grow."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import Impossible


def test_new_weights_take_the_mean_length_of_the_old_ones_by_hand() -> None:
    """Old lengths 1 and 3, new ones 5 and 3: new weights times 2 / 4, biases as they were."""
    learner = Learner(nets.Classifier(nn.Identity(), nets.FixedHead(2, 4)), methods.WA())
    head = close(learner, [0, 1], [2, 3])
    assert torch.allclose(torch.tensor([[1.0, 0], [0, 3], [1.5, 2], [0, -1.5]]), head.weight)
    assert [1.0, 2.0, 3.0, 4.0] == head.bias.tolist()


def test_new_weights_that_are_the_shorter_ones_stay() -> None:
    """Old lengths 5 and 3, new ones 1 and 3: lengthening would help what is new to win."""
    learner = Learner(nets.Classifier(nn.Identity(), nets.FixedHead(2, 4)), methods.WA())
    head = close(learner, [2, 3], [0, 1])
    assert torch.equal(WEIGHTS, head.weight)


def test_the_first_task_has_nothing_to_be_aligned_with() -> None:
    """Its weights stay, whatever their lengths; so do those of classes that never came."""
    learner = Learner(nets.Classifier(nn.Identity(), nets.FixedHead(2, 4)), methods.WA())
    assert torch.equal(WEIGHTS, close(learner, [2, 3]).weight)


def test_a_class_that_comes_again_is_old() -> None:
    """Only class 3 is new in the second task: its length 3 becomes that of 0 and 2, (1 + 5) / 2."""
    learner = Learner(nets.Classifier(nn.Identity(), nets.FixedHead(2, 4)), methods.WA())
    head = close(learner, [0, 2], [0, 3])
    assert torch.equal(WEIGHTS, head.weight)  # 3 is no more than 3
    learner.methods[0].old = [0, 1]
    learner.methods[0].classes = [0, 1, 2]
    learner.consolidate()
    assert torch.allclose(torch.tensor([1.2, 1.6]), head.weight[2])


def test_rows_of_a_growing_head_are_found_by_their_labels() -> None:
    """Labels 7 and 2, then 4: the block of 4 is shortened, and its tensor stays the optimiser's."""
    head = nets.GrowingHead(2)
    learner = Learner(nets.Classifier(nn.Identity(), head), methods.WA())
    learner.observe(Batch(torch.zeros(2, 2), torch.tensor([7, 2])))
    learner.consolidate()
    learner.observe(Batch(torch.zeros(1, 2), torch.tensor([4])))
    first, second = head.blocks
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        second.weight.copy_(torch.tensor([[0.0, 6.0]]))
    held = second.weight
    learner.consolidate()
    assert second.weight is held
    assert torch.allclose(torch.tensor([[0.0, 1.5]]), second.weight)


def test_a_model_without_a_head_that_knows_its_labels_is_refused() -> None:
    """The message says what to make."""
    learner = Learner(nn.Linear(2, 4), methods.WA())
    with pytest.raises(Impossible, match="GrowingHead"):
        learner.consolidate()


def test_heads_of_tasks_are_left_alone() -> None:
    """Where the task id chooses the head, new classes do not compete with old ones."""
    head = nets.MultiHead(2, {0: 2, 1: 2})
    learner = Learner(nets.Classifier(nn.Identity(), head), methods.WA())
    before = [parameter.detach().clone() for parameter in head.parameters()]
    learner.consolidate()
    assert all(torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True))


def test_old_classes_come_back_where_new_weights_grew_long() -> None:
    """Little replay, SGD with decay of weights: more old rows are told right after alignment."""
    assert old_accuracy(methods.ER(20, rows=1), methods.WA()) > 0.02 + old_accuracy(
        methods.ER(20, rows=1)
    )


WEIGHTS = torch.tensor([[1.0, 0.0], [0.0, 3.0], [3.0, 4.0], [0.0, -3.0]])


def close(learner: Learner, *tasks: list[int]) -> nets.FixedHead:
    """Show the labels of each task; before each boundary the weights are WEIGHTS."""
    head = learner.model.head
    for labels in tasks:
        learner.observe(Batch(torch.zeros(len(labels), 2), torch.tensor(labels)))
        with torch.no_grad():
            head.weight.copy_(WEIGHTS)
            head.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        learner.consolidate()
    return head


def old_accuracy(*used: methods.ER | methods.WA) -> float:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(4, (32,)), nets.GrowingHead(32))
    optimizer = partial(torch.optim.SGD, lr=0.1, weight_decay=0.01)
    learner = Learner(model, *used, optimizer=optimizer)
    for labels in ((0, 1), (2, 3)):
        for _ in range(300):
            learner.observe(pair(*labels))
        learner.consolidate()
    test = pair(0, 1, 200)
    return float((learner.predict(test.x).argmax(1) == test.y).float().mean())


def pair(a: int, b: int, times: int = 5) -> Batch:
    y = torch.tensor([a, b]).repeat(times)
    return Batch(2 * torch.eye(4)[y] + torch.randn(2 * times, 4), y)
