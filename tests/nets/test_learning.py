"""The networks under a learner: growth, resume and prediction, as users meet them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

import perdure.nets
from perdure.batch import Batch
from perdure.errors import UnseenClass, UnseenTask
from perdure.learner import Learner
from perdure.nets import MASKED, MLP, Classifier, FixedHead, GrowingHead, MultiHead, ProgressiveNet


def growing() -> nn.Module:
    torch.manual_seed(1)
    return Classifier(MLP(6, (8,)), GrowingHead(8))


def multi() -> nn.Module:
    torch.manual_seed(1)
    return Classifier(MLP(6, (8,)), MultiHead(8))


def progressive() -> nn.Module:
    torch.manual_seed(1)
    net = ProgressiveNet(6, (8, 8))
    net.add_column(0, [0, 1])
    return net


MAKES = pytest.mark.parametrize("make", [growing, multi, progressive])


def stream(tasks: int = 3, batches: int = 6) -> list[Batch]:
    """Two separable classes a task, labels 2 t and 2 t + 1."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for task in range(tasks):
        for _ in range(batches):
            side = torch.randint(0, 2, (16,), generator=generator)
            x = torch.randn(16, 6, generator=generator)
            x[:, task] += 6 * side - 3
            found.append(Batch(x, 2 * task + side, task))
    return found


def taught(make: Callable[[], nn.Module], batches: list[Batch]) -> Learner:
    learner = Learner(make(), optimizer=partial(torch.optim.Adam, lr=0.02))
    for batch in batches:
        learner.observe(batch)
    return learner


@MAKES
def test_a_learner_resumed_in_the_middle_ends_bit_for_bit_the_same(make, tmp_path) -> None:
    """Blocks and columns are rebuilt from the checkpoint, and growth goes on alike after it."""
    batches = stream()
    whole = taught(make, batches)
    taught(make, batches[:8]).save(tmp_path / "half")
    resumed = Learner(make(), optimizer=partial(torch.optim.Adam, lr=0.02))
    torch.manual_seed(99)  # what a new process would have drawn; the checkpoint brings its own
    resumed.load(tmp_path / "half")
    for batch in batches[8:]:
        resumed.observe(batch)
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize("make", [multi, progressive])
def test_every_task_is_still_known_to_its_own_head(make) -> None:
    """Given the task id, separable classes are told apart after all tasks were learned."""
    learner = taught(make, stream(batches=25))
    for batch in stream(batches=1):
        answer = learner.predict(batch.x, task=int(batch.task[0])).argmax(1)
        assert float((answer == batch.y).float().mean()) >= 0.9


def test_outputs_of_classes_that_never_came_are_masked() -> None:
    """A stream whose labels start at 4 leaves the columns before it out of every answer."""
    learner = taught(growing, [Batch(b.x, b.y + 4, b.task) for b in stream(tasks=1)])
    out = learner.predict(torch.randn(5, 6))
    assert out.shape == (5, 6)
    assert bool((out[:, :4] == MASKED).all())
    assert bool((out[:, :4].softmax(1).argmax(1) == 0).all())
    assert bool((out.argmax(1) >= 4).all())


def test_a_fixed_head_refuses_the_batch_before_it_learns_from_it() -> None:
    """No parameter has moved when the error names the label."""
    learner = Learner(Classifier(MLP(6, (8,)), FixedHead(8, 2)))
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    with pytest.raises(UnseenClass, match=r"labels \[2, 3\].*0 to 1"):
        learner.observe(stream()[6])
    assert all(torch.equal(p, before[name]) for name, p in learner.params.items())


@pytest.mark.parametrize("make", [multi, progressive])
def test_a_prediction_for_an_unseen_task_is_refused(make) -> None:
    """It names the task and the known ones."""
    with pytest.raises(UnseenTask, match=r"no outputs for task 2; it knows tasks 0, 1\."):
        taught(make, stream(tasks=2)).predict(torch.zeros(1, 6), task=2)


def test_a_teacher_answers_in_the_columns_that_it_had() -> None:
    """What a snapshot recites after growth is what the model said before it."""
    batches = stream()
    learner = taught(growing, batches[:6])
    x = torch.randn(4, 6)
    said, teacher = learner.predict(x), learner.snapshot()
    for batch in batches[6:]:
        learner.observe(batch)
    recited = learner.recite(teacher, x, None)
    assert recited.shape == (4, 2)
    torch.testing.assert_close(recited, said)
    assert learner.predict(x).shape == (4, 6)


def test_the_names_are_sorted_and_all_there() -> None:
    """`perdure.nets.__all__` is the public surface: capitals, classes, functions."""
    listed = perdure.nets.__all__
    assert listed == sorted(listed, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(getattr(perdure.nets, name) is not None for name in listed)
