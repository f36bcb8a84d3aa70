"""A head over one growing label space."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perdure.batch import Batch
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.growth import Grows
from perdure.model import takes_task
from perdure.nets import MASKED, GrowingHead

arrivals = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5), min_size=1, max_size=5)


def labelled(labels: list[int]) -> Batch:
    return Batch(torch.zeros(len(labels), 4), torch.tensor(labels))


def grown(*arrivals: list[int]) -> GrowingHead:
    head = GrowingHead(4)
    for labels in arrivals:
        head.grow(labelled(labels))
    return head


def one_by_one(head: GrowingHead, features: Tensor) -> Tensor:
    """The same outputs, one label at a time, from the blocks themselves."""
    out = torch.full((len(features), 1 + max(head.labels)), MASKED)
    for labels, block in zip(head.plan(), head.blocks, strict=True):
        for row, label in enumerate(labels):
            out[:, label] = features @ block.weight[row] + block.bias[row]
    return out.detach()


@given(arrivals)
def test_columns_are_label_ids_whatever_the_order_of_arrival(arrivals: list[list[int]]) -> None:
    """Against a loop over labels; columns of labels that never came are MASKED."""
    head, features = grown(*arrivals), torch.randn(3, 4)
    torch.testing.assert_close(head(features), one_by_one(head, features))
    assert sorted(head.labels) == sorted({label for labels in arrivals for label in labels})


def test_labels_3_1_then_5_6_stand_in_their_columns() -> None:
    """By hand: four outputs among seven columns, in two blocks of two."""
    head = grown([3, 1], [5, 6])
    out = head(torch.randn(2, 4))
    assert out.shape == (2, 7)
    assert [0, 2, 4] == [column for column in range(7) if bool((out[:, column] == MASKED).all())]
    assert head.plan() == [[1, 3], [5, 6]]


@given(arrivals)
def test_old_blocks_are_the_same_tensors_after_growth(arrivals: list[list[int]]) -> None:
    """Object for object and bit for bit, under the same names; and old columns answer the same."""
    head, features = GrowingHead(4, classes=3), torch.randn(3, 4)
    before, values = dict(head.named_parameters()), [p.clone() for p in head.parameters()]
    out = head(features)
    for labels in arrivals:
        head.grow(labelled(labels))
    after = dict(head.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert all(torch.equal(a, b) for a, b in zip(before.values(), values, strict=True))
    torch.testing.assert_close(head(features)[:, :3], out)


def test_growth_keeps_the_adam_moments_of_old_rows() -> None:
    """A loop by hand: new blocks join as a group; old moments and their step counts go on."""
    head, features = grown([0, 1]), torch.randn(6, 4)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.01)
    F.cross_entropy(head(features), torch.tensor([0, 1, 0, 1, 0, 1])).backward()
    optimiser.step()
    old = list(head.parameters())
    moments = [optimiser.state[p]["exp_avg"].clone() for p in old]

    head.grow(labelled([2]))
    optimiser.add_param_group({"params": [p for p in head.parameters() if p not in set(old)]})
    kept = [optimiser.state[p]["exp_avg"] for p in old]
    assert all(torch.equal(a, b) for a, b in zip(moments, kept, strict=True))

    optimiser.zero_grad()
    F.cross_entropy(head(features), torch.tensor([0, 1, 2, 1, 0, 2])).backward()
    optimiser.step()
    steps = [int(optimiser.state[p]["step"]) for p in head.parameters()]
    assert steps == [2, 2, 1, 1]


def test_nothing_new_adds_nothing() -> None:
    """The answer is False and no tensor is made."""
    head = grown([2, 0])
    names = list(head.state_dict())
    assert head.grow(labelled([0, 2, 2])) is False
    assert names == list(head.state_dict())


@given(arrivals)
def test_a_plan_rebuilds_the_head_of_a_checkpoint(arrivals: list[list[int]]) -> None:
    """Through JSON: same names, same tensors once loaded, same outputs."""
    head, features = grown(*arrivals), torch.randn(2, 4)
    plan = json.loads(json.dumps(head.plan()))
    twin = GrowingHead(4)
    twin.rebuild(plan)
    twin.load_state_dict(head.state_dict())
    twins = twin.state_dict()
    assert list(twins) == list(head.state_dict())
    assert all(torch.equal(twins[name], tensor) for name, tensor in head.state_dict().items())
    assert torch.equal(twin(features), head(features))


def test_rebuilding_goes_on_from_what_is_there() -> None:
    """A head with labels from the start, or loaded once already, grows only the rest."""
    twin = GrowingHead(4, classes=[0, 1])
    twin.rebuild([[0, 1], [4]])
    twin.rebuild([[0, 1], [4], [2]])
    assert twin.plan() == [[0, 1], [4], [2]]
    with pytest.raises(CheckpointMismatch, match="load into a model that was just made"):
        twin.rebuild([[0, 1]])


def test_gradients_of_a_masked_column_are_zero() -> None:
    """Cross-entropy over columns with gaps moves the blocks as if there were no gaps."""
    gaps, dense = grown([1, 4]), grown([0, 1])
    dense.load_state_dict(gaps.state_dict())
    features = torch.randn(4, 4)
    F.cross_entropy(gaps(features), torch.tensor([1, 4, 4, 1])).backward()
    F.cross_entropy(dense(features), torch.tensor([0, 1, 1, 0])).backward()
    for a, b in zip(gaps.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("later", [[2], [0]], ids=["ordered", "with gaps"])
def test_a_snapshot_of_parameters_and_buffers_answers_in_its_own_columns(later: list[int]) -> None:
    """A teacher taken before growth has no columns for what came since."""
    head, features = grown([1], later) if later == [0] else grown([0, 1]), torch.randn(3, 4)
    before = head(features).detach()
    snapshot = {n: t.detach().clone() for n, t in head.named_parameters()}
    snapshot |= {n: t.clone() for n, t in head.named_buffers()}
    head.grow(labelled([5, 2, 3]))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(1)
        answer = torch.func.functional_call(head, snapshot, (features,))
    assert head(features).shape == (3, 6)
    torch.testing.assert_close(answer, before)


def test_before_the_first_label_there_are_no_columns() -> None:
    """The outputs are (n, 0), not an error: a prediction may come before any observation."""
    assert GrowingHead(4)(torch.zeros(3, 4)).shape == (3, 0)


def test_classes_may_be_a_number_or_labels() -> None:
    """3 stands for 0, 1, 2; repeated labels count once."""
    assert GrowingHead(4, classes=3).plan() == [[0, 1, 2]]
    assert GrowingHead(4, classes=[7, 2, 7]).plan() == [[2, 7]]
    assert isinstance(GrowingHead(4), Grows)
    assert not takes_task(GrowingHead(4))


@pytest.mark.parametrize(
    ("classes", "said"), [([-1], "label is -1"), ([3, -2], "label is -2")], ids=str
)
def test_an_impossible_label_is_refused(classes: list[int], said: str) -> None:
    """At construction, by value."""
    with pytest.raises(InvalidValue, match=said):
        GrowingHead(4, classes)


def test_an_impossible_width_is_refused() -> None:
    """At construction, with the range."""
    with pytest.raises(InvalidValue, match="features is 0"):
        GrowingHead(0)
