"""GDumb: it only stores, and what it answers was trained on the memory alone, from scratch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import IllegalCombination, InvalidValue
from perdure.nets import MASKED

SGD = partial(torch.optim.SGD, lr=0.2, momentum=0.9)


def test_nothing_is_learned_between_boundaries() -> None:
    """Observing changes no parameter and makes no update."""
    learner = a_learner()
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    for start in range(0, 40, 10):
        learner.observe(clouds([0, 1])[start : start + 10])
    assert all(torch.equal(p, learner.params[name]) for name, p in before.items())
    assert (learner.updates, learner.rows) == (0, 40)


def test_a_boundary_trains_from_the_beginning_whatever_was_learned_before() -> None:
    """Where both have seen the same rows, an earlier boundary leaves no trace but in the order."""
    once, twice = a_learner(epochs=60), a_learner(epochs=60)
    rows = clouds([0, 1])
    for learner in (once, twice):
        learner.observe(rows)
    twice.consolidate()
    initial = twice.methods[0].initial
    for learner in (once, twice):
        learner.consolidate()
    assert not torch.equal(initial["weight"], twice.params["weight"])
    for name, p in once.params.items():
        assert torch.allclose(p, twice.params[name], atol=1e-4)


def test_the_result_is_what_a_plain_loop_over_the_memory_gives() -> None:
    """With one batch an epoch: full-batch SGD from the initial weights, written out by hand."""
    learner = a_learner(epochs=12)
    rows = clouds([0, 1])
    initial = {name: p.detach().clone() for name, p in learner.params.items()}
    learner.observe(rows)
    learner.consolidate()
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    model.load_state_dict(initial)
    optimiser = SGD(model.parameters())
    for _ in range(12):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(rows.x), rows.y).backward()
        optimiser.step()
    for name, p in model.named_parameters():
        assert torch.allclose(p, learner.params[name], atol=1e-5)
    assert learner.updates == 12


def test_updates_are_the_epochs_times_the_whole_batches_of_the_memory() -> None:
    """20 rows held, batches of 8: two an epoch, the other 4 rows left out; 5 epochs are 10."""
    learner = a_learner(capacity=20, epochs=5)
    for start in range(0, 40, 8):
        learner.observe(clouds([0, 1])[start : start + 8])
    learner.consolidate()
    assert learner.updates == 10


def test_the_memory_is_balanced_over_classes() -> None:
    """Of 12 rows, 3 for each of four classes, however unequal the tasks were."""
    learner = a_learner(capacity=12)
    learner.observe(clouds([0, 1], rows=100))
    learner.observe(clouds([2, 3], rows=10))
    assert learner.methods[0].memory.group_counts() == {0: 3, 1: 3, 2: 3, 3: 3}


def test_classes_never_seen_cannot_be_answered() -> None:
    """Their outputs are masked; the others are the model's own."""
    learner = a_learner()
    x = torch.randn(5, 6)
    assert torch.equal(learner.predict(x), learner.model(x))
    learner.observe(clouds([0, 2]))
    learner.consolidate()
    out = learner.predict(x)
    assert (out[:, [1, 3]] == MASKED).all()
    assert torch.equal(out[:, [0, 2]], learner.model(x)[:, [0, 2]])


def test_outputs_that_grew_later_begin_where_they_began() -> None:
    """A block of the second task restarts at its own first values, the others at theirs."""
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(6, (8,)), nets.GrowingHead(8))
    learner = Learner(model, methods.GDumb(epochs=3), optimizer=SGD)
    learner.observe(clouds([0, 1]))
    began = {name: held.clone() for name, held in model.state_dict().items()}
    learner.consolidate()
    learner.observe(clouds([2, 3]))
    began |= {n: held.clone() for n, held in model.state_dict().items() if n not in began}
    learner.consolidate()
    assert len(began) == 6  # weight and bias of one layer and two blocks
    initial = learner.methods[0].initial
    assert initial.keys() == began.keys()
    assert all(torch.equal(held, initial[name]) for name, held in began.items())


def test_it_learns_all_classes_from_a_small_memory() -> None:
    """Two tasks of two clouds, 40 rows kept of 400: all four are told apart."""
    learner = a_learner(capacity=40, epochs=30)
    for labels in ([0, 1], [2, 3]):
        rows = clouds(labels, rows=200)
        for start in range(0, 200, 20):
            learner.observe(rows[start : start + 20])
        learner.consolidate()
    everything = clouds([0, 1], rows=200) + clouds([2, 3], rows=200)
    right = learner.predict(everything.x).argmax(1) == everything.y
    assert right.float().mean() > 0.95


def test_it_stands_alone() -> None:
    """A method beside it would never act."""
    with pytest.raises(IllegalCombination, match="GDumb"):
        Learner(nn.Linear(6, 4), methods.GDumb(), methods.PackNet())


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"epochs": 0}])
def test_an_argument_out_of_range_is_refused(wrong) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        methods.GDumb(**wrong)


def test_it_resumes_exactly() -> None:
    """Memory, beginning, classes and the order of the passes are state."""
    testing.check_resume_is_exact(lambda: methods.GDumb(capacity=12, epochs=2))


def a_learner(**settings) -> Learner:
    torch.manual_seed(0)
    return Learner(nn.Linear(6, 4), methods.GDumb(**settings), optimizer=SGD)


def clouds(labels: list[int], rows: int = 40) -> Batch:
    """Points around one centre a label, labels in turn."""
    centres = 3 * torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    y = torch.tensor(labels)[torch.arange(rows) % len(labels)]
    noise = torch.randn(rows, 6, generator=torch.Generator().manual_seed(rows))
    return Batch(centres[y] + noise, y)
