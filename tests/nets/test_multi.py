"""A head for each task: mixed batches, masks, gradients, growth."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call, grad, vmap

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue, UnseenTask
from perdure.growth import Grows
from perdure.model import takes_task
from perdure.nets import MASKED, MultiHead

row = st.tuples(st.sampled_from([0, 1, 2, 7, 40]), st.integers(0, 6))
batches = st.lists(st.lists(row, min_size=1, max_size=8), min_size=1, max_size=4)


def of(rows: list[tuple[int, int]]) -> Batch:
    """A batch of (task, label) rows."""
    task, y = torch.tensor(rows).T
    return Batch(torch.randn(len(rows), 4), y, task)


def grown(*batches: list[tuple[int, int]]) -> MultiHead:
    head = MultiHead(4)
    for rows in batches:
        head.grow(of(rows))
    return head


def row_by_row(head: MultiHead, features: Tensor, task: Tensor) -> Tensor:
    """The same outputs from a loop over rows, blocks and labels."""
    width = 1 + max(label for labels in head.labels.values() for label in labels)
    out = torch.full((len(features), width), MASKED)
    for n in range(len(features)):
        for grown, block in zip(head.plan(), head.blocks, strict=True):
            for k, label in enumerate(grown["labels"]):
                if grown["task"] == int(task[n]):
                    out[n, label] = block.weight[k] @ features[n] + block.bias[k]
    return out.detach()


@given(batches)
def test_one_gather_equals_a_loop_over_rows(batches: list[list[tuple[int, int]]]) -> None:
    """Any tasks in any order, mixed in a batch, with shared and own labels, grown in pieces."""
    head, batch = grown(*batches), of([row for rows in batches for row in rows])
    out = head(batch.x, batch.task)
    torch.testing.assert_close(out, row_by_row(head, batch.x, batch.task))


@given(batches)
def test_a_mixed_batch_equals_its_tasks_one_at_a_time(batches: list[list[tuple[int, int]]]) -> None:
    """No row sees what else is in the batch."""
    head, batch = grown(*batches), of([row for rows in batches for row in rows])
    out = head(batch.x, batch.task)
    for task in batch.task.unique():
        rows = batch.task == task
        torch.testing.assert_close(head(batch.x[rows], batch.task[rows]), out[rows])


def test_every_output_of_another_task_is_masked() -> None:
    """By hand: task 0 has labels 0 and 1, task 1 has 2 and 3."""
    head = MultiHead(4, tasks={0: [0, 1], 1: [2, 3]})
    masked = head(torch.randn(2, 4), torch.tensor([1, 0])) == MASKED
    assert masked.tolist() == [[True, True, False, False], [False, False, True, True]]


def test_cross_entropy_leaves_heads_of_absent_tasks_without_a_gradient() -> None:
    """None, not zero: then neither weight decay nor momentum of any optimiser moves them."""
    head = MultiHead(4, tasks={0: 2, 1: 2, 2: 2})
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    first = torch.tensor([0, 0, 2, 2])
    F.cross_entropy(head(torch.randn(4, 4), first), torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()
    before = {name: p.detach().clone() for name, p in head.named_parameters()}

    optimiser.zero_grad(set_to_none=True)
    second = torch.tensor([1, 2, 1, 2])
    F.cross_entropy(head(torch.randn(4, 4), second), torch.tensor([0, 1, 0, 1])).backward()
    assert [p.grad is None for p in head.by_task()[0]] == [True, True]
    optimiser.step()
    moved = {name for name, p in head.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"blocks.1.weight", "blocks.1.bias", "blocks.2.weight", "blocks.2.bias"}


def test_a_row_moves_nothing_but_its_own_tasks_head() -> None:
    """Over a mixed batch with a loss on one task's rows, the other's gradient is exactly zero."""
    head = MultiHead(4, tasks={0: 2, 1: 2})
    out = head(torch.randn(4, 4), torch.tensor([0, 0, 1, 1]))
    F.cross_entropy(out[:2], torch.tensor([0, 1])).backward()
    own, other = head.by_task()[0], head.by_task()[1]
    assert all(bool(p.grad.abs().sum() > 0) for p in own)
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in other)


def test_gradients_are_those_of_separate_heads() -> None:
    """A mixed batch moves each head as a Linear of its own would be moved by its rows."""
    head, batch = MultiHead(4, tasks={3: 2, 5: 2}), of([(3, 0), (5, 1), (3, 1), (5, 0), (5, 1)])
    F.cross_entropy(head(batch.x, batch.task), batch.y, reduction="sum").backward()
    for task, (weight, bias) in head.by_task().items():
        rows = batch.task == task
        w, b = weight.detach().requires_grad_(), bias.detach().requires_grad_()
        F.cross_entropy(F.linear(batch.x[rows], w, b), batch.y[rows], reduction="sum").backward()
        torch.testing.assert_close(weight.grad, w.grad)
        torch.testing.assert_close(bias.grad, b.grad)


def test_gradients_row_by_row_under_vmap_equal_a_loop() -> None:
    """As a Fisher needs them; the task ids are batched too, so no value can be looked at."""
    head, batch = MultiHead(4, tasks={0: 2, 1: 3}), of([(0, 1), (1, 2), (1, 0), (0, 0)])
    params = {name: p.detach() for name, p in head.named_parameters()}

    def loss(held: dict[str, Tensor], x: Tensor, y: Tensor, task: Tensor) -> Tensor:
        out = functional_call(head, held, (x[None], task[None]))
        return F.cross_entropy(out, y[None])

    every = vmap(grad(loss), in_dims=(None, 0, 0, 0))(params, batch.x, batch.y, batch.task)
    for n in range(len(batch)):
        one = grad(loss)(params, batch.x[n], batch.y[n], batch.task[n])
        for name in params:
            torch.testing.assert_close(every[name][n], one[name])


@given(batches)
def test_growth_touches_no_old_block(batches: list[list[tuple[int, int]]]) -> None:
    """The same objects, the same bits, under the same names."""
    head = MultiHead(4, tasks={0: 2})
    before = {name: (p, p.detach().clone()) for name, p in head.named_parameters()}
    for rows in batches:
        head.grow(of(rows))
    after = dict(head.named_parameters())
    for name, (parameter, value) in before.items():
        assert after[name] is parameter
        assert torch.equal(parameter, value)


def test_growth_follows_tasks_and_labels_and_then_stops() -> None:
    """One block a task and batch that brings something; the same rows again bring nothing."""
    head, rows = MultiHead(4), [(1, 3), (0, 1), (1, 2), (0, 1)]
    assert head.grow(of(rows)) is True
    assert head.grow(of(rows)) is False
    assert head.grow(of([(0, 1), (0, 5)])) is True
    assert head.labels == {0: [1, 5], 1: [2, 3]}
    assert len(head.blocks) == 3
    assert isinstance(head, Grows)
    assert takes_task(head)


@given(batches)
def test_a_plan_rebuilds_the_heads_of_a_checkpoint(batches: list[list[tuple[int, int]]]) -> None:
    """Through JSON: same names, same tensors once loaded, same outputs."""
    head, batch = grown(*batches), of(batches[0])
    twin = MultiHead(4)
    twin.rebuild(json.loads(json.dumps(head.plan())))
    twin.load_state_dict(head.state_dict())
    assert twin.plan() == head.plan()
    assert list(twin.state_dict()) == list(head.state_dict())
    assert torch.equal(twin(batch.x, batch.task), head(batch.x, batch.task))


def test_a_plan_of_other_tasks_is_refused() -> None:
    """What was grown or given here must be how the plan begins."""
    with pytest.raises(CheckpointMismatch, match="load into a model that was just made"):
        MultiHead(4, tasks={0: 2}).rebuild([{"task": 1, "labels": [0, 1]}])


def test_a_plan_is_a_copy() -> None:
    """A checkpoint that is kept does not grow with the head."""
    head = grown([(0, 1)])
    plan = head.plan()
    head.grow(of([(0, 2), (1, 0)]))
    plan[0]["labels"].append(9)
    assert plan == [{"task": 0, "labels": [1, 9]}]
    assert head.labels == {0: [1, 2], 1: [0]}


def test_missing_task_ids_are_refused_with_a_way_out() -> None:
    """In training as at inference."""
    head = MultiHead(4, tasks={0: 2})
    with pytest.raises(InvalidValue, match=r"needs the task id.*predict\(x, task=.*GrowingHead"):
        head(torch.zeros(1, 4))
    with pytest.raises(InvalidValue, match=r"got none: observe batches with task="):
        head.grow(Batch(torch.zeros(1, 4), torch.tensor([0])))


def test_an_unseen_task_is_refused_naming_the_known_ones() -> None:
    """Its outputs would all be masked, which looks like an answer and is none."""
    with pytest.raises(UnseenTask, match=r"no outputs for task 2, 9; it knows tasks 0, 4\."):
        MultiHead(4, tasks={4: 2, 0: 2})(torch.zeros(3, 4), torch.tensor([9, 0, 2]))
    with pytest.raises(UnseenTask, match=r"knows tasks \(none yet\)"):
        MultiHead(4)(torch.zeros(1, 4), torch.tensor([0]))


def test_a_negative_task_id_is_refused() -> None:
    """By value, with what to do."""
    with pytest.raises(InvalidValue, match=r"task id is -1; map tasks to 0, 1, 2"):
        MultiHead(4, tasks={-1: 2})


def test_a_snapshot_answers_for_the_tasks_that_it_knew() -> None:
    """A teacher taken before growth: its own outputs for old tasks, MASKED for a later one."""
    head, features = MultiHead(4, tasks={0: 2, 6: 3}), torch.randn(3, 4)
    before = head(features[:2], torch.tensor([0, 6])).detach()
    snapshot = {n: t.detach().clone() for n, t in (*head.named_parameters(), *head.named_buffers())}
    head.grow(of([(1, 5), (0, 4)]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(1)
        answer = functional_call(head, snapshot, (features, torch.tensor([0, 6, 1])))
    torch.testing.assert_close(answer[:2], before)
    assert bool((answer[2] == MASKED).all())


def test_no_rows_have_no_outputs() -> None:
    """An empty batch keeps its width."""
    out = MultiHead(4, tasks={0: 3})(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert out.shape == (0, 3)
