"""Progressive networks: size, laterals, frozen columns, growth."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call, grad, vmap

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue, UnseenClass, UnseenTask
from perdure.growth import Grows
from perdure.model import takes_task
from perdure.nets import MASKED, ProgressiveNet

SIZES = [267_266, 665_604, 1_195_014, 1_855_496, 2_647_050]


def of(task: int, labels: list[int]) -> Batch:
    return Batch(torch.randn(len(labels), 6), torch.tensor(labels), task)


def grown(tasks: list[tuple[int, list[int]]]) -> ProgressiveNet:
    net = ProgressiveNet(6, (5, 4, 3))
    for task, labels in tasks:
        net.grow(of(task, labels))
    return net


def by_equation(net: ProgressiveNet, x: Tensor, k: int) -> list[Tensor]:
    """Every hidden layer of column k, by the equation of the docstring, column calling column."""
    column = net.columns[k]
    hidden = [torch.relu(x @ column.first.weight.T + column.first.bias)]
    for i, layer in enumerate(column.rest):
        total = hidden[i] @ layer.weight.T + layer.bias
        for j in range(k):
            into, _, out = column.adapters[i][j]
            total = total + torch.relu(by_equation(net, x, j)[i] @ into.weight.T) @ out.weight.T
        hidden.append(torch.relu(total))
    return hidden


def test_five_columns_have_the_known_sizes() -> None:
    """784-[256, 256]-2: 267,266 a column, and 2 * 256 * 256 more for each column before it."""
    net, sizes = ProgressiveNet(784, (256, 256), classes=2), []
    for task in range(5):
        net.add_column(task)
        sizes.append(sum(p.numel() for p in net.parameters()))
    assert sizes == SIZES
    assert sizes == [267_266 * k + 131_072 * k * (k - 1) // 2 for k in range(1, 6)]


def test_every_column_follows_the_equation() -> None:
    """Three columns of three hidden layers, against a recursion without any sharing."""
    net, x = grown([(3, [0, 1]), (8, [2]), (1, [0, 4])]), torch.randn(4, 6)
    for k, (task, labels) in enumerate(net.labels.items()):
        out = net(x, torch.full((4,), task))
        (block,) = net.columns[k].outputs
        own = by_equation(net, x, k)[-1] @ block.weight.T + block.bias
        torch.testing.assert_close(out[:, labels], own)
        others = [column for column in range(out.shape[1]) if column not in labels]
        assert bool((out[:, others] == MASKED).all())


def test_a_mixed_batch_equals_its_tasks_one_at_a_time() -> None:
    """No row sees what else is in the batch."""
    net, x = grown([(0, [0, 1]), (1, [2, 3]), (2, [0, 3])]), torch.randn(7, 6)
    task = torch.tensor([2, 0, 1, 1, 0, 2, 0])
    mixed = net(x, task)
    for one in range(3):
        torch.testing.assert_close(net(x[task == one], task[task == one]), mixed[task == one])


def test_one_task_computes_its_column_and_those_before_it() -> None:
    """Counted by hooks: the second of three columns needs two, and the third is never run."""
    net, ran = grown([(0, [0]), (1, [0]), (2, [0])]), []
    for k, column in enumerate(net.columns):
        column.register_forward_hook(lambda *_, k=k: ran.append(k))
    net(torch.randn(2, 6), torch.tensor([1, 1]))
    assert ran == [0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
    ],
    ids=["SGD", "AdamW"],
)
def test_frozen_columns_stay_byte_for_byte_the_same(make) -> None:
    """Under momentum and weight decay, from a gradient that was never cleared, over three tasks."""
    net, optimiser = ProgressiveNet(6, (5, 4)), None
    kept: dict[str, bytes] = {}
    for task in range(3):
        net.grow(of(task, [0, 1]))
        bytes_now = {name: p.detach().numpy().tobytes() for name, p in net.named_parameters()}
        assert {name: bytes_now[name] for name in kept} == kept
        fresh = [p for p in net.parameters() if p.requires_grad]
        if optimiser is None:
            optimiser = make(fresh)
        else:
            optimiser.add_param_group({"params": fresh})
        for _ in range(4):
            batch = of(task, [0, 1, 1])
            F.cross_entropy(net(batch.x, batch.task), batch.y).backward()
            optimiser.step()  # no zero_grad: the worst case at the next freeze
        kept = {name: p.detach().numpy().tobytes() for name, p in net.named_parameters()}
    optimiser.step()
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    assert {name.split(".")[1] for name in trained} == {"2"}


def test_old_answers_stay_bit_for_bit_the_same() -> None:
    """Which is what freezing is for: the outputs of task 0 after two more tasks."""
    net, x, task = grown([(0, [0, 1])]), torch.randn(5, 6), torch.zeros(5, dtype=torch.int64)
    before = net(x, task).detach()
    for later in (1, 2):
        net.grow(of(later, [2, 3]))
        optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5)
        batch = of(later, [2, 3, 3])
        F.cross_entropy(net(batch.x, batch.task), batch.y).backward()
        optimiser.step()
    assert torch.equal(net(x, task)[:, :2], before)


def test_training_mode_reaches_only_the_newest_column() -> None:
    """train() leaves frozen columns in evaluation mode; eval() takes all of them."""
    net = grown([(0, [0]), (1, [0]), (2, [0])])
    assert [column.training for column in net.train().columns] == [False, False, True]
    assert [column.training for column in net.eval().columns] == [False, False, False]


def test_a_task_that_is_new_in_training_adds_a_column() -> None:
    """Its labels come from the batch; more of them append a block; the same rows bring nothing."""
    net = ProgressiveNet(6, (5, 4))
    assert net.grow(of(4, [3, 1])) is True
    assert net.grow(of(4, [1, 3])) is False
    assert net.grow(of(4, [1, 6])) is True
    assert net.grow(of(2, [0])) is True
    assert net.labels == {4: [1, 3, 6], 2: [0]}
    assert [len(column.outputs) for column in net.columns] == [2, 1]
    assert isinstance(net, Grows)
    assert takes_task(net)


def test_classes_name_the_labels_of_every_task() -> None:
    """Before any of them came; another label is refused with both sides of the matter."""
    net = ProgressiveNet(6, (5, 4), classes=3)
    net.grow(of(0, [1]))
    assert net.labels == {0: [0, 1, 2]}
    with pytest.raises(UnseenClass, match=r"labels \[7\].*classes=\[0, 1, 2\]"):
        net.grow(of(1, [1, 7]))
    assert net.labels == {0: [0, 1, 2]}


def test_a_column_with_fewer_labels_than_the_net_may_gain_the_others() -> None:
    """What add_column narrowed, a batch may widen up to the net's own classes."""
    net = ProgressiveNet(6, (5, 4), classes=3)
    net.add_column(0, [1])
    net.grow(of(0, [1, 2]))
    assert net.labels == {0: [1, 2]}


def test_a_frozen_task_can_neither_return_nor_gain_labels() -> None:
    """Both messages say which column is frozen and why."""
    net = grown([(0, [0, 1]), (1, [0, 1])])
    with pytest.raises(InvalidValue, match=r"tasks \[0\], whose columns are frozen since task 1"):
        net.grow(of(0, [0]))
    with pytest.raises(
        UnseenClass, match=r"tasks \[0\] bring labels \[\[5\]\].*since task 1 began"
    ):
        net.grow(of(0, [5]))
    with pytest.raises(InvalidValue, match=r"brings tasks \[2, 3\] at once"):
        net.grow(of(2, [0]) + of(3, [0]))
    assert list(net.labels) == [0, 1]


def test_old_rows_may_come_along_with_new_ones() -> None:
    """A mixed batch learns from the newest task's rows; the others give it no gradient."""
    net = grown([(0, [0, 1]), (1, [0, 1])])
    batch = of(1, [0, 1]) + of(0, [1, 0])
    assert net.grow(batch) is False
    F.cross_entropy(net(batch.x, batch.task), batch.y).backward()
    with_gradient = {name for name, p in net.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in net.named_parameters() if name[:9] == "columns.1"}


names = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@settings(max_examples=25)
@given(names, st.data())
def test_a_plan_rebuilds_the_columns_of_a_checkpoint(tasks: list[int], data: st.DataObject) -> None:
    """Through JSON: same names, tensors, outputs, and the same columns frozen."""
    labels = st.lists(st.integers(0, 5), min_size=1, max_size=3)
    net = grown([(task, data.draw(labels)) for task in tasks for _ in range(2)])
    twin = ProgressiveNet(6, (5, 4, 3))
    twin.rebuild(json.loads(json.dumps(net.plan())))
    twin.load_state_dict(net.state_dict())
    assert list(twin.state_dict()) == list(net.state_dict())
    frozen = [p.requires_grad for p in net.parameters()]
    assert frozen == [p.requires_grad for p in twin.parameters()]
    x, task = torch.randn(len(tasks), 6), torch.tensor(tasks)
    assert torch.equal(twin(x, task), net(x, task))
    with pytest.raises(CheckpointMismatch, match="load into a model that was just made"):
        twin.rebuild([])


def test_gradients_row_by_row_under_vmap_equal_a_loop() -> None:
    """As a Fisher needs them: parameters and task ids of each row given from outside."""
    net = grown([(0, [0, 1]), (1, [0, 2])])
    batch = of(0, [1, 0]) + of(1, [2, 0])
    params = {name: p.detach() for name, p in net.named_parameters()}

    def loss(held: dict[str, Tensor], x: Tensor, y: Tensor, task: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(net, held, (x[None], task[None])), y[None])

    every = vmap(grad(loss), in_dims=(None, 0, 0, 0))(params, batch.x, batch.y, batch.task)
    for n in range(len(batch)):
        one = grad(loss)(params, batch.x[n], batch.y[n], batch.task[n])
        for name in params:
            torch.testing.assert_close(every[name][n], one[name])


def test_features_are_the_newest_columns_last_layer() -> None:
    """Of constant width, however many columns there are."""
    net, x = grown([(0, [0]), (1, [0, 1])]), torch.randn(3, 2, 3)
    features = net.features(x)
    assert features.shape == (3, 3)
    torch.testing.assert_close(features, by_equation(net, x.flatten(1), 1)[-1])


def test_an_unseen_or_missing_task_id_is_refused() -> None:
    """At inference, naming the tasks that have a column."""
    net = grown([(0, [0]), (5, [1])])
    with pytest.raises(UnseenTask, match=r"ProgressiveNet has no outputs for task 3.*tasks 0, 5\."):
        net(torch.zeros(1, 6), torch.tensor([3]))
    with pytest.raises(InvalidValue, match="ProgressiveNet needs the task id of each row"):
        net(torch.zeros(1, 6))


def test_a_column_is_added_once_and_with_labels() -> None:
    """add_column refuses a task that has one, and a task without any label."""
    net = ProgressiveNet(6, (5, 4))
    net.add_column(0, 2)
    with pytest.raises(InvalidValue, match=r"columns for tasks \[0\]"):
        net.add_column(0, 2)
    with pytest.raises(InvalidValue, match="at least one label"):
        net.add_column(1)


@pytest.mark.parametrize(
    ("inputs", "hidden", "said"),
    [(6, (5,), "two layers or more"), (6, (5, 0), "a width is 0"), (0, (5, 5), "a width is 0")],
)
def test_an_impossible_shape_is_refused(inputs: int, hidden: tuple[int, ...], said: str) -> None:
    """One hidden layer leaves nowhere for the adapters to enter."""
    with pytest.raises(InvalidValue, match=said):
        ProgressiveNet(inputs, hidden)
