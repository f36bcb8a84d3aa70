"""How much is kept, and for how long."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perdure import Batch, Learner, Scenario, methods
from perdure.advise.compatibility import check
from perdure.errors import Impossible, InvalidValue
from perdure.memory import Balanced, Capped, Reservoir, capacity_within, memories, retain
from perdure.memory.retention import DAY, beyond, older
from perdure.nets import MLP, Classifier, FixedHead

NOW = 1_800_000_000.0


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 6)), max_size=30),
)
def test_of_each_subject_the_newest_rows_stay(rows, held) -> None:
    """As a sort of each subject's rows by time says it; of equal times the later row is newer."""
    dropped = beyond(
        rows,
        torch.tensor([subject for subject, _ in held], dtype=torch.long),
        torch.tensor([time for _, time in held], dtype=torch.float64),
    )
    expected = set()
    for subject in {subject for subject, _ in held}:
        mine = [(time, place) for place, (who, time) in enumerate(held) if who == subject]
        expected |= {place for _, place in sorted(mine)[:-rows]}
    assert sorted(expected) == dropped.nonzero()[:, 0].tolist()


def test_older_is_strictly_older() -> None:
    """A row of exactly that age stays."""
    assert [True, False, False] == older(torch.tensor([1.0, 2.0, 3.0]), 2.0).tolist()


def test_old_rows_and_those_beyond_a_subject_s_share_leave_every_memory() -> None:
    """Ten rows, one a day, of two subjects: four days, then two rows each."""
    learner = taught(methods.ER(capacity=50), methods.DER(capacity=50))
    assert retain(learner, now=NOW, days=3.5) == 2 * 6
    for memory in memories(learner).values():
        assert {0.0, 1.0, 2.0, 3.0} == ages(memory)
    assert retain(learner, now=NOW, rows_per_subject=1) == 2 * 2
    for memory in memories(learner).values():
        assert {0.0, 1.0} == ages(memory)
        assert {7, 8} == set(memory.column("subject").tolist())
    assert 0 == retain(learner, now=NOW, days=3.5, rows_per_subject=1)
    assert 2 * 2 == retain(learner, now=NOW + 30 * DAY, days=3.5, rows_per_subject=1)


def test_both_bounds_at_once_are_both_kept() -> None:
    """The old ones go first; then of each subject the newest stay."""
    learner = taught(methods.ER(capacity=50))
    assert 8 == retain(learner, now=NOW, days=5.0, rows_per_subject=1)
    (memory,) = memories(learner).values()
    assert {0.0, 1.0} == ages(memory)


def test_without_bounds_nothing_is_looked_at() -> None:
    """Rows need no times then."""
    learner = Learner(torch.nn.Linear(2, 2), methods.ER(capacity=50))
    learner.observe(Batch(torch.rand(4, 2), torch.arange(4) % 2))
    assert 0 == retain(learner, now=NOW)


def test_class_means_follow_what_is_retained() -> None:
    """iCaRL's answers are made of the rows that are left."""
    torch.manual_seed(0)
    learner = Learner(Classifier(MLP(2, (8,)), FixedHead(8, 2)), methods.ICaRL(capacity=20))
    learner.observe(dated())
    learner.consolidate(dated())
    before = learner.methods[0].means
    assert 6 == retain(learner, now=NOW, days=3.5)
    assert not torch.equal(before, learner.methods[0].means)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"days": -1.0}, "days is -1.0"),
        ({"rows_per_subject": 0}, "rows_per_subject is 0"),
        ({"days": 1.0}, r"er\.memory have no extra 'time'"),
        ({"rows_per_subject": 2}, "have no extra 'time'"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(bounds, words) -> None:
    """Out of range, or for rows that do not say when they came."""
    learner = Learner(torch.nn.Linear(2, 2), methods.ER(capacity=50))
    learner.observe(Batch(torch.rand(4, 2), torch.arange(4) % 2))
    with pytest.raises(InvalidValue, match=words):
        retain(learner, now=NOW, **bounds)


@pytest.mark.parametrize(
    "make", [Reservoir, Balanced, partial(Capped, by="class")], ids=["reservoir", "balanced", "cap"]
)
def test_a_capacity_in_bytes_is_kept_to_and_made_use_of(make) -> None:
    """Images of 784 bytes, a label and a source: never more, and no more than a row less."""
    rows = Batch(torch.zeros(300, 784, dtype=torch.uint8), torch.arange(300) % 4)
    rows = rows.with_extras(source=torch.arange(300))
    each = 784 + 8 + 8 + 16
    memory = make(capacity_within(100_000, rows[:1]))
    for _ in range(4):
        memory.add(rows)
        assert memory.bytes() <= 100_000
    assert len(memory) == 100_000 // each
    assert capacity_within(each, rows) == 1
    with pytest.raises(InvalidValue, match=f"takes {each} bytes"):
        capacity_within(each - 1, rows)


@pytest.mark.parametrize("name", methods.__all__)
def test_where_no_row_may_be_kept_methods_that_keep_rows_are_refused_by_name(name) -> None:
    """And nobody else: a method that says that it keeps none has no memory."""
    method = getattr(methods, name)()
    model = Classifier(MLP(2, (8,)), FixedHead(8, 2))
    learner = Learner(model, method) if method.needs.architecture is None else None
    if learner is not None:
        latent = isinstance(method, methods.LatentReplay)  # keeps what a layer made of rows
        assert bool(memories(learner)) == (method.needs.raw_rows or latent)
    if method.needs.raw_rows:
        check(Scenario.CLASS, model, [method])
        with pytest.raises(Impossible) as refusal:
            check(Scenario.CLASS, model, [method], retention=False)
        reason, _, instead = str(refusal.value).partition("What would fit: ")
        assert reason.startswith(f"{method.name} keeps raw rows of the past")
        offered = [words.partition(" on ")[0] for words in instead.split(", ")]
        known = {one.name: one for one in (getattr(methods, n)() for n in methods.__all__)}
        assert offered
        assert not any(known[one].needs.raw_rows for one in offered)


def taught(*used) -> Learner:
    learner = Learner(torch.nn.Linear(2, 2), *used)
    learner.observe(dated())
    return learner


def dated() -> Batch:
    """Ten rows, the i-th i days old, of subjects 7 and 8 in turn."""
    day = torch.arange(10)
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    extras = {"time": NOW - DAY * day.double(), "subject": 7 + day % 2}
    return Batch(x, day % 2, extras=extras)


def ages(memory) -> set[float]:
    return {(NOW - time) / DAY for time in memory.column("time").tolist()}
