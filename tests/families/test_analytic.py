"""What all methods in closed form have in common: when they count rows, and how they answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from perdure import Batch, Learner, testing
from perdure.errors import IllegalCombination, Impossible, InvalidValue, NonFinite
from perdure.families.analytic import Analytic
from perdure.methods import ER, NCM, SLDA, FeCAM, RanPAC, Ridge
from perdure.nets import MASKED, MLP, Classifier, FixedHead, Flat, GrowingHead, MultiHead, NoHead

D = 5
MAKES: dict[str, Callable[..., Analytic]] = {
    "NCM": NCM,
    "cosine": lambda **more: NCM("cosine", **more),
    "SLDA": SLDA,
    "Ridge": Ridge,
    "expanded": lambda **more: Ridge(projections=30, **more),
    "RanPAC": lambda **more: RanPAC(projections=30, **more),
    "FeCAM": FeCAM,
}
every = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


def learner(method: Analytic, head: nn.Module | None = None, seed: int = 0) -> Learner:
    return Learner(Classifier(Flat(D), head or NoHead(D)), method, seed=seed)


def rows(n: int = 60, seed: int = 0, labels: tuple[int, ...] = (0, 1, 4)) -> Batch:
    """Classes around centres of their own."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(labels), (n,), generator=generator)
    centres = 3 * torch.randn(9, D, generator=torch.Generator().manual_seed(99))
    y = torch.tensor(labels)[which]
    return Batch(centres[y] + torch.randn(n, D, generator=generator), y)


def accuracy(found: Learner, test: Batch, task: int | None = None) -> float:
    return float((found.predict(test.x, task).argmax(1) == test.y).float().mean())


# -- learning ------------------------------------------------------------------------------------


@every
def test_classes_far_apart_are_told_apart(make: Callable[..., Analytic]) -> None:
    """Learnt one after the other, each seen once, in single rows; unseen labels are MASKED."""
    found = learner(make())
    for label in (4, 0, 1):
        for row in range(30):
            found.observe(rows(30, label, (label,))[row : row + 1])
    test = rows(200, 7)
    assert accuracy(found, test) > 0.9
    out = found.predict(test.x)
    assert (200, 5) == out.shape
    assert torch.float32 == out.dtype
    assert torch.equal(out[:, 2:4], torch.full((200, 2), MASKED))
    torch.testing.assert_close(out.exp().sum(1), torch.ones(200))


@every
@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=2, max_size=6), random=st.randoms())
def test_neither_order_nor_batches_matter(make: Callable[..., Analytic], sizes, random) -> None:
    """To 1e-6, of the scores themselves."""
    batch = rows(sum(sizes), 3)
    one, other = learner(make()), learner(make())
    start = 0
    for size in sizes:
        one.observe(batch[start : start + size])
        start += size
    order = torch.tensor(random.sample(range(len(batch)), len(batch)))
    other.observe(Batch(batch.x[order], batch.y[order]))
    x = rows(20, 5).x
    scores = [m.methods[0].solve()(m.methods[0].embed(x)) for m in (one, other)]
    torch.testing.assert_close(*scores, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(one.predict(x), other.predict(x), rtol=1e-5, atol=1e-5)


@every
def test_a_boundary_tells_what_steps_would_have(make: Callable[..., Analytic]) -> None:
    """With write="boundary" the task's rows count once, when it ends."""
    stepwise, closing, batch = learner(make()), learner(make(write="boundary")), rows()
    for part in (batch[:30], batch[30:], batch[:30].seen()):
        stepwise.observe(part)
        closing.observe(part)
    assert 0 == closing.methods[0].moments.rows
    assert (60, 0) == tuple(closing.predict(batch.x).shape)
    stepwise.consolidate(batch)
    closing.consolidate([batch[:50], batch[50:]])
    assert 60 == stepwise.methods[0].moments.rows == closing.methods[0].moments.rows
    x = rows(20, 5).x
    torch.testing.assert_close(stepwise.predict(x), closing.predict(x), rtol=1e-5, atol=1e-5)


@every
def test_an_update_costs_the_same_at_any_row(make: Callable[..., Analytic]) -> None:
    """FLOPs and bytes, after a thousand rows and after a million."""
    found, batch = learner(make()), rows(1000)
    found.observe(batch)
    before, size = flops(found, batch), found.methods[0].state_bytes()
    while found.rows < 1_000_000:
        found.observe(Batch(batch.x.repeat(200, 1), batch.y.repeat(200)))
    assert before == flops(found, batch)
    assert size == found.methods[0].state_bytes()


def flops(found: Learner, batch: Batch) -> int:
    with FlopCounterMode(display=False) as counter:
        found.observe(batch)
    return counter.get_total_flops()


@every
def test_a_learner_goes_on_from_a_file_bit_for_bit(
    make: Callable[..., Analytic], tmp_path: Path
) -> None:
    """Even one of another seed, and one that had answered before from other sums."""
    whole, first, second = (learner(make(), seed=seed) for seed in (0, 0, 5))
    second.observe(rows(20, 8))
    second.predict(rows().x)
    for part in (rows(30, 1), rows(30, 2)):
        whole.observe(part)
    first.observe(rows(30, 1))
    first.save(tmp_path / "state.safetensors")
    second.load(tmp_path / "state.safetensors")
    second.observe(rows(30, 2))
    testing.assert_same_state(
        whole.methods[0].state_dict(), second.methods[0].state_dict(), "resumed"
    )
    assert torch.equal(whole.predict(rows().x), second.predict(rows().x))


@every
def test_answers_follow_what_was_learnt_since(make: Callable[..., Analytic]) -> None:
    """The solution that answered before is not asked again."""
    found = learner(make())
    found.observe(rows(30, 1, (0, 1)))
    assert 2 == found.predict(rows().x).shape[1]
    found.observe(rows(30, 2, (4,)))
    assert accuracy(found, rows(50, 4, (4,))) > 0.9


@every
def test_one_row_a_class_is_enough(make: Callable[..., Analytic]) -> None:
    """With no spread to measure, the nearest row answers; no number is infinite."""
    found = learner(make())
    found.observe(Batch(10 * torch.eye(D), torch.arange(D)))
    out = found.predict(10 * torch.eye(D))
    assert out.isfinite().all()
    assert torch.equal(torch.arange(D), out.argmax(1))


@every
def test_features_of_zeros_are_no_catastrophe(make: Callable[..., Analytic]) -> None:
    """Dead features give equal scores, and no error."""
    found = learner(make())
    found.observe(Batch(torch.zeros(4, D), torch.tensor([0, 1, 0, 1])))
    assert found.predict(torch.zeros(2, D)).exp().allclose(torch.tensor(0.5))


# -- tasks ---------------------------------------------------------------------------------------


@every
def test_a_task_chooses_among_its_own_labels(make: Callable[..., Analytic]) -> None:
    """Task 3 knows labels 0 and 1, task 5 labels 0 to 2, and their rows lie elsewhere."""
    found = learner(make(per_task=True))
    for task, labels in ((3, (0, 1)), (5, (0, 1, 2))):
        batch = rows(60, task, labels)
        found.observe(Batch(batch.x + 4 * (task == 5), batch.y, task))
    here, there = rows(50, 8, (0, 1)), rows(50, 9, (0, 1, 2))
    assert accuracy(found, here, 3) > 0.85
    assert accuracy(found, Batch(there.x + 4, there.y), 5) > 0.85
    assert torch.equal(found.predict(here.x, 3)[:, 2], torch.full((50,), MASKED))
    mixed = torch.tensor([3, 5])
    alone = torch.cat((found.predict(here.x[:1], 3), found.predict(here.x[1:2], 5)))
    torch.testing.assert_close(alone, found.predict(here.x[:2], mixed))


def test_a_task_that_never_came_has_no_label_that_is_open() -> None:
    """As a masked class has none; without a task id the question is refused."""
    found = learner(SLDA(per_task=True))
    found.observe(Batch(torch.eye(D), torch.arange(D) % 2, 1))
    assert bool((found.predict(torch.eye(D), 7) == MASKED).all())
    with pytest.raises(InvalidValue, match=r"predict\(x, task=...\)"):
        found.predict(torch.eye(D))


@pytest.mark.parametrize("name", ["NCM", "SLDA"])
def test_the_contract_holds_with_tasks(name: str) -> None:
    """On a model with a head a task, whose outputs the method overrides."""
    testing.check_method(lambda: MAKES[name](per_task=True))


# -- beside others -------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [FixedHead(D, 7), GrowingHead(D), MultiHead(D, {0: 7})])
def test_a_head_may_train_beside(head: nn.Module) -> None:
    """The answers are as wide as its outputs, and are not its own."""
    found = learner(SLDA(), head)
    batch = Batch(rows().x, rows().y, 0)
    weights = [p.detach().clone() for p in head.parameters()]
    found.observe(batch)
    assert not weights or any(
        not torch.equal(a, b) for a, b in zip(weights, head.parameters(), strict=True)
    )
    alone = learner(SLDA())
    alone.observe(rows())
    ours, theirs = found.predict(batch.x, batch.task), alone.predict(batch.x)
    torch.testing.assert_close(ours[:, :5], theirs)
    assert bool((ours[:, 5:] == MASKED).all())


def test_recalled_rows_are_not_counted_again() -> None:
    """What a memory beside it brings back has been counted when it came."""
    found = Learner(Classifier(Flat(D), GrowingHead(D)), ER(capacity=50), SLDA())
    for seed in range(4):
        found.observe(rows(20, seed))
    assert 80 == found.methods[1].moments.rows


def test_a_backbone_that_trains_is_refused() -> None:
    """At the first row: sums of features that move would mean nothing."""
    found = Learner(Classifier(MLP(D, (4,)), GrowingHead(4)), SLDA())
    with pytest.raises(Impossible, match="still train"):
        found.observe(rows())


def test_two_that_answer_alone_are_refused() -> None:
    """One would silently answer for both."""
    with pytest.raises(IllegalCombination, match="both answer alone"):
        Learner(Classifier(Flat(D), NoHead(D)), NCM(), SLDA())


@every
def test_features_that_are_not_finite_are_refused(make: Callable[..., Analytic]) -> None:
    """One NaN would stay in the sums for ever; they are as before, and so are the answers."""
    found, batch = learner(make()), rows()
    found.observe(batch)
    before = testing.frozen(found.methods[0].state_dict())
    spoilt = batch.x.clone()
    spoilt[7, 2] = torch.nan
    with pytest.raises(NonFinite, match="1 of 60"):
        found.observe(Batch(spoilt, batch.y))
    testing.assert_same_state(before, found.methods[0].state_dict(), "refused")
    assert bool(found.predict(spoilt)[7].isnan().any())


@every
def test_an_unknown_write_is_refused(make: Callable[..., Analytic]) -> None:
    """With what it may be."""
    with pytest.raises(InvalidValue, match="'step' or 'boundary'"):
        make(write="often")


@every
def test_the_callers_tensors_are_not_kept(make: Callable[..., Analytic]) -> None:
    """Sums are of copies; overwriting the rows changes no answer."""
    found, batch = learner(make()), rows()
    mine = Batch(batch.x.clone(), batch.y.clone())
    found.observe(mine)
    before: Tensor = found.predict(batch.x)
    mine.x.zero_()
    mine.y.zero_()
    assert torch.equal(before, found.predict(batch.x))


@every
def test_sums_are_restored_where_the_learner_computes(make: Callable[..., Analytic]) -> None:
    """A file's tensors come to the CPU, and features of a GPU are held against them there.

    Tensors without a place stand for those of a GPU.
    """
    first = learner(make())
    first.observe(rows())
    again = make()
    again.seed(0)
    again.load_state_dict(first.methods[0].state_dict(), "meta")
    assert {t.device.type for t in (again.moments.sum, again.moments.keys)} == {"meta"}
