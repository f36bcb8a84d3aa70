"""GEM: the projection against the conditions of its program, and what it does to a learner."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from perdure import Batch, Learner, methods, nets, testing
from perdure.errors import InvalidValue
from perdure.methods.gem import least_turn

SGD = partial(torch.optim.SGD, lr=0.1)


@st.composite
def gradients(draw):
    """g (p,) and G (t, p) with entries of ordinary size, t from 1 to 5."""
    tasks, size = draw(st.integers(1, 5)), draw(st.integers(5, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** rng.uniform(-2, 2, size=(tasks + 1, 1))
    both = scale * rng.standard_normal((tasks + 1, size))
    return both[0], both[1:]


def test_one_conflict_in_the_plane_is_turned_by_hand() -> None:
    """g = (1, 0) against G = (-1, 1): v = 1/2, and g + v G = (1/2, 1/2) is orthogonal to G."""
    inner = np.array([[1.0, -1.0], [-1.0, 2.0]])
    assert least_turn(inner, 0.0) == pytest.approx([0.5])
    assert least_turn(inner, 0.8) == pytest.approx([0.8])  # the bound decides once above 1/2


@given(gradients(), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_turn_meets_the_conditions_of_karush_kuhn_and_tucker(both, least) -> None:
    """v is above its bound, the slope P v + q is not negative, and one of them is at its edge."""
    g, G = both
    v = least_turn(inner_of(g, G), least)
    slope = G @ G.T @ v + G @ g
    size = 1e-6 * (np.linalg.norm(G, axis=1) * np.linalg.norm(g + v @ G) + np.abs(G @ g))
    assert (v >= least).all()
    assert (slope >= -size).all()
    assert (np.abs((v - least) * slope) <= size * (1 + v)).all()


@given(gradients())
def test_the_turned_gradient_is_the_nearest_one_that_hurts_no_task(both) -> None:
    """The primal program of eq. 8-9, solved by another method: min |z - g|^2 with G z >= 0."""
    g, G = both
    g, G = g / np.linalg.norm(g), G / np.linalg.norm(G, axis=1, keepdims=True)
    found = minimize(
        lambda z: 0.5 * ((z - g) ** 2).sum(),
        g,
        jac=lambda z: z - g,
        constraints={"type": "ineq", "fun": lambda z: G @ z, "jac": lambda z: G},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert g + least_turn(inner_of(g, G), 0.0) @ G == pytest.approx(found.x, abs=1e-5)


def test_two_tasks_with_the_same_gradient_count_once() -> None:
    """The Gram matrix of dependent rows is singular and the answer is still the projection."""
    g, G = np.array([1.0, 0.0]), np.array([[-1.0, 1.0], [-1.0, 1.0]])
    assert g + least_turn(inner_of(g, G), 0.0) @ G == pytest.approx([0.5, 0.5], abs=1e-6)


def test_a_task_that_pulls_nowhere_is_left_alone() -> None:
    """A past gradient of zero takes no part, and the other one is turned from as if alone."""
    g, G = np.array([1.0, 0.0]), np.array([[0.0, 0.0], [-1.0, 1.0]])
    assert least_turn(inner_of(g, G), 0.0) == pytest.approx([0.0, 0.5])


def test_the_first_task_is_plain_fine_tuning() -> None:
    """Without a past there is nothing to project on: the same bits as a bare learner."""
    bare, gem = two_learners()
    for batch in conflicting(first_only=True):
        bare.observe(batch)
        gem.observe(batch)
    assert all(torch.equal(p, gem.params[name]) for name, p in bare.params.items())


def test_the_applied_gradient_is_the_projection_of_the_batch_gradient() -> None:
    """A step of SGD after two tasks moves the weights by SLSQP's answer from torch's gradients."""
    _, gem = two_learners(strength=0.0)
    *past, batch = conflicting()
    for earlier in past:
        gem.observe(earlier)
    before = [p.detach().clone() for p in gem.params.values()]
    g = flat_gradient(gem, batch)
    G = np.stack([flat_gradient(gem, earlier) for earlier in past])
    assert (G @ g).min() < 0, "the toy must conflict"
    gem.observe(batch)
    moved = np.concatenate(
        [
            ((b - p) / 0.1).detach().flatten()
            for b, p in zip(before, gem.params.values(), strict=True)
        ]
    )
    found = minimize(
        lambda z: 0.5 * ((z - g) ** 2).sum(),
        g,
        jac=lambda z: z - g,
        constraints={"type": "ineq", "fun": lambda z: G @ z, "jac": lambda z: G},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert moved == pytest.approx(found.x, abs=1e-4)


def test_a_small_step_raises_no_past_loss_where_fine_tuning_does() -> None:
    """The promise of the method, on rows that ask for the opposite of the first task's."""
    changes = []
    for learner in two_learners(strength=0.0):
        first, _, last = conflicting()
        learner.observe(first)
        before = loss_on(learner, first)
        learner.observe(last)
        changes.append(loss_on(learner, first) - before)
    naive, gem = changes
    assert naive > 0.01
    assert gem < 0.05 * naive  # what is left is the curvature over a step of finite length


def test_a_task_is_no_constraint_on_itself() -> None:
    """While only rows of one task are held, that task learns as if there were no memory."""
    bare, gem = two_learners()
    first, _, last = conflicting()
    for batch in (first, Batch(last.x, last.y, task=0)):
        bare.observe(batch)
        gem.observe(batch)
    assert all(torch.equal(p, gem.params[name]) for name, p in bare.params.items())


def test_heads_by_task_get_the_rows_with_their_task_ids() -> None:
    """With equal heads and opposite labels the tasks conflict, and the first task's head moves."""
    model = nets.Classifier(nets.MLP(4, (8,)), nets.MultiHead(8, {0: 2, 2: 2}))
    heads = model.head.by_task()
    learner = Learner(model, methods.GEM(), optimizer=SGD)
    first, _, last = conflicting()
    learner.observe(first)
    with torch.no_grad():
        for mine, other in zip(heads[2], heads[0], strict=True):
            mine.copy_(other)
    before = heads[0][0].detach().clone()
    learner.observe(last)
    assert not torch.equal(before, heads[0][0])


def test_rows_limits_what_a_past_task_shows_in_a_step() -> None:
    """`rows=1` reads one row a past task, so the model sees two past rows beside the batch."""
    seen = []
    model = nn.Linear(4, 2)
    model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    learner = Learner(model, methods.GEM(rows=1), optimizer=SGD)
    for batch in conflicting():
        learner.observe(batch)
    assert seen == [8, 8, 1, 8, 1, 1]


def test_the_capacity_is_shared_equally_by_the_tasks() -> None:
    """Of 9 rows, 3 for each of three tasks."""
    learner = Learner(nn.Linear(4, 2), methods.GEM(capacity=9), optimizer=SGD)
    for batch in conflicting():
        learner.observe(batch)
    assert learner.methods[0].memory.group_counts() == {0: 3, 1: 3, 2: 3}


def test_a_batch_without_task_ids_is_refused() -> None:
    """The message says what to pass."""
    learner = Learner(nn.Linear(4, 2), methods.GEM())
    with pytest.raises(InvalidValue, match="task ids"):
        learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))


@pytest.mark.parametrize("wrong", [{"strength": -0.1}, {"rows": 0}, {"capacity": 0}])
def test_an_argument_out_of_range_is_refused(wrong) -> None:
    """By name."""
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        methods.GEM(**wrong)


def test_it_resumes_exactly_with_a_draw_of_rows() -> None:
    """The rows drawn for each task come from the memory's generator, which is saved."""
    testing.check_resume_is_exact(lambda: methods.GEM(capacity=12, rows=2))


def test_it_forgets_far_less_than_fine_tuning() -> None:
    """The error on the first of three tasks, over three seeds, is less than half as large."""
    naive = sum(first_error([], seed) for seed in range(3))
    gem = sum(first_error([methods.GEM(capacity=60)], seed) for seed in range(3))
    assert naive > 0.5
    assert gem < 0.5 * naive


def inner_of(g, G):
    rows = np.vstack((g, G))
    return rows @ rows.T


def two_learners(**settings) -> tuple[Learner, Learner]:
    """The same model twice: fine-tuning, and GEM."""
    made = []
    for together in ([], [methods.GEM(**settings)]):
        torch.manual_seed(3)
        made.append(Learner(nn.Linear(4, 2), *together, optimizer=SGD))
    return made[0], made[1]


def conflicting(first_only: bool = False) -> list[Batch]:
    """Three tasks of 8 rows over the same inputs: the third has the first's labels reversed."""
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(11))
    y = (x[:, 0] > 0).long()
    other = (x[:, 1] > 0).long()
    batches = [Batch(x, y, task=0), Batch(x, other, task=1), Batch(x, 1 - y, task=2)]
    return batches[:1] if first_only else batches


def flat_gradient(learner: Learner, batch: Batch):
    loss = F.cross_entropy(learner.model(batch.x), batch.y)
    found = torch.autograd.grad(loss, list(learner.params.values()))
    return torch.cat([each.flatten() for each in found]).numpy().astype(np.float64)


def loss_on(learner: Learner, batch: Batch) -> float:
    return F.cross_entropy(learner.predict(batch.x), batch.y).item()


def first_error(together, seed: int) -> float:
    """The share of wrong answers on the first of three tasks, each of two clouds of points."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = nets.Classifier(nets.MLP(20, (32,)), nets.FixedHead(32, 2))
    learner = Learner(model, *together, optimizer=partial(torch.optim.SGD, lr=0.2))
    y, tasks = torch.arange(200) % 2, []
    for task in range(3):
        centres = torch.randn(2, 20, generator=generator)
        tasks.append(Batch(centres[y] + torch.randn(200, 20, generator=generator), y, task))
        for epoch in range(5):
            for start in range(0, 200, 20):
                rows = tasks[task][start : start + 20]
                learner.observe(rows.seen() if epoch else rows)
        learner.consolidate(tasks[task])
    return (learner.predict(tasks[0].x).argmax(1) != y).float().mean().item()
