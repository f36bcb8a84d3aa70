"""BiC: the line that it fits, against a search by another program, and whom it concerns."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import nn

from perdure import Batch, Learner, methods, nets
from perdure.errors import InvalidValue
from perdure.nets import MASKED


def test_the_line_is_the_minimum_that_another_search_finds() -> None:
    """Nelder-Mead on the same loss over the rows set aside: scale and shift to four digits."""
    learner = after_two_tasks(methods.BiC(aside=40, decay=0.01))
    bic = learner.methods[0]
    held = bic.memory.rows()
    out = learner.model(held.x).detach().double()

    def loss(line: np.ndarray) -> float:
        corrected = out.clone()
        corrected[:, 2:] = line[0] * out[:, 2:] + line[1]
        pull = 0.01 * ((line[0] - 1) ** 2 + line[1] ** 2)
        return float(F.cross_entropy(corrected, held.y)) + pull

    found = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6}).x
    assert bic.line == pytest.approx(found.tolist(), abs=1e-3)
    assert bic.line != [1.0, 0.0]


def test_the_answer_is_the_outputs_with_new_classes_on_the_line() -> None:
    """Old ones are as the model gives them."""
    learner = after_two_tasks(methods.BiC(aside=40))
    (scale, shift), x = learner.methods[0].line, torch.rand(7, 4)
    out, answer = learner.model(x).detach(), learner.predict(x)
    assert torch.equal(out[:, :2], answer[:, :2])
    assert torch.allclose(scale * out[:, 2:] + shift, answer[:, 2:])


def test_a_shift_of_the_new_outputs_is_found_and_undone() -> None:
    """A model without bias whose new outputs are then all raised by 5 answers as before."""
    learner = after_two_tasks(methods.BiC(aside=60, decay=0.0))
    line = list(learner.methods[0].line)
    with torch.no_grad():
        learner.model.head.bias[2:] += 5.0
    raised = methods.BiC(aside=60, decay=0.0)
    raised.seed(0)
    raised.load_state_dict(learner.methods[0].state_dict())
    raised.old = [0, 1]
    raised.consolidate(learner, ())
    scale, shift = raised.line
    assert scale == pytest.approx(line[0], rel=1e-2)
    assert shift == pytest.approx(line[1] - 5 * scale, rel=1e-2, abs=5e-2)


def test_after_the_first_task_nothing_is_corrected() -> None:
    """There is no old class that could lose."""
    learner = flat(methods.BiC(aside=10))
    learner.observe(pair(0, 1))
    learner.consolidate()
    x = torch.rand(5, 4)
    assert torch.equal(learner.model(x).detach(), learner.predict(x))


def test_only_the_newest_classes_are_corrected() -> None:
    """After a third task that is class 4; a task without new classes corrects none."""
    learner = after_two_tasks(methods.BiC(aside=40), classes=5)
    bic = learner.methods[0]
    assert [2, 3] == bic.newest
    learner.observe(Batch(torch.rand(4, 4), torch.full((4,), 4)))
    learner.consolidate()
    assert [4] == bic.newest
    learner.observe(pair(0, 1))
    learner.consolidate()
    assert [] == bic.newest
    assert [1.0, 0.0] == bic.line


def test_a_class_that_is_closed_stays_closed() -> None:
    """In a head with a gap the column of the label that never came holds the masked value."""
    learner = flat(methods.BiC(aside=40), growing=True)
    for labels in ((0, 1), (3, 4)):
        for _ in range(5):
            learner.observe(pair(*labels, width=5))
        learner.consolidate()
    assert {MASKED} == {*learner.predict(torch.rand(6, 4))[:, 2].tolist()}


def test_rows_set_aside_are_balanced_and_never_recalled() -> None:
    """10 rows of four classes; a step has its own rows alone."""
    learner = after_two_tasks(methods.BiC(aside=10))
    counts = learner.methods[0].memory.group_counts()
    assert 10 == sum(counts.values())
    assert {2, 3} == {*counts.values()}
    assert 10 == len(learner.observe(pair(2, 3)).batch)


@pytest.mark.parametrize("settings", [{"aside": 0}, {"decay": -1.0}], ids=str)
def test_settings_out_of_range_are_refused(settings) -> None:
    """The message holds the name, or the memory's."""
    with pytest.raises(InvalidValue, match="decay" if "decay" in settings else "capacity"):
        methods.BiC(**settings)


def test_old_classes_come_back_where_little_is_replayed() -> None:
    """One recalled row for ten incoming ones: more old rows are told right with the line."""
    assert old_accuracy(methods.ER(20, rows=1), methods.BiC(aside=20)) > 0.1 + old_accuracy(
        methods.ER(20, rows=1)
    )


def old_accuracy(*used: methods.ER | methods.BiC) -> float:
    learner = flat(*used)
    for labels in ((0, 1), (2, 3)):
        for _ in range(60):
            learner.observe(pair(*labels, noise=1.0))
        learner.consolidate()
    test = pair(0, 1, noise=1.0)
    for _ in range(19):
        test = test + pair(0, 1, noise=1.0)
    return float((learner.predict(test.x).argmax(1) == test.y).float().mean())


def after_two_tasks(method: methods.BiC, classes: int = 4) -> Learner:
    """Classes 0 and 1, then 2 and 3, which win too often since nothing is replayed."""
    learner = flat(method, classes=classes)
    for labels in ((0, 1), (2, 3)):
        for _ in range(6):
            learner.observe(pair(*labels, noise=1.0))
        learner.consolidate()
    return learner


def flat(*used: methods.ER | methods.BiC, classes: int = 4, growing: bool = False) -> Learner:
    torch.manual_seed(4)
    head = nets.GrowingHead(8) if growing else nets.FixedHead(8, classes)
    model: nn.Module = nets.Classifier(nets.MLP(4, (8,)), head)
    return Learner(model, *used, optimizer=partial(torch.optim.SGD, lr=0.1))


def pair(a: int, b: int, noise: float = 0.3, width: int = 4) -> Batch:
    y = torch.tensor([a, b]).repeat(5)
    centres = 2 * torch.eye(width)[:, :4]
    return Batch(centres[y] + noise * torch.randn(10, 4), y)
