"""Rows are forgotten by key: everywhere, and with what was made of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from perdure import Batch, Learner, methods
from perdure.errors import InvalidValue
from perdure.memory import Memory, class_means, forget, memories
from perdure.testing import assert_same_state, frozen, toy_events, toy_learner, toy_question

SMALL = {
    "er": lambda: methods.ER(capacity=30),
    "er balanced": lambda: methods.ER(capacity=30, policy="balanced"),
    "er herding": lambda: methods.ER(capacity=30, policy="herding", write="boundary"),
    "der": lambda: methods.DER(capacity=30),
    "der++": lambda: methods.DERpp(capacity=30),
    "er-ace": lambda: methods.ERACE(capacity=30),
    "gem": lambda: methods.GEM(capacity=30),
    "a-gem": lambda: methods.AGEM(capacity=30),
    "a-gem by step": lambda: methods.AGEM(capacity=30, write="step"),
    "bic": lambda: methods.BiC(aside=30),
    "mir": lambda: methods.MIR(capacity=30),
    "x-der": lambda: methods.XDER(capacity=30),
    "gdumb": lambda: methods.GDumb(capacity=30, epochs=2),
    "icarl": lambda: methods.ICaRL(capacity=30),
    "cumulative": methods.Cumulative,
    "joint": lambda: methods.Joint(steps=2),
    "er and der": lambda: (methods.ER(capacity=30), methods.DER(capacity=20)),
}
every_method = pytest.mark.parametrize("make", SMALL.values(), ids=list(SMALL))


def test_all_methods_that_keep_raw_rows_are_among_these() -> None:
    """Whoever writes another one adds it above."""
    everyone = [getattr(methods, name)() for name in methods.__all__]
    keeping = {method.name for method in everyone if method.needs.raw_rows}
    assert keeping == {*SMALL} - {name for name in SMALL if " " in name}


@every_method
def test_rows_keep_their_keys_on_their_way_into_memory(make) -> None:
    """Through recall, later epochs and boundaries: each row is held with its own key and source."""
    learner = taught(make)
    xs = {key: x for batch in batches_of(make) for key, x in rows_of(batch)}
    assert len(memories(learner)) >= 1
    for memory in memories(learner).values():
        assert len(memory) >= 20
        held = memory.rows()
        for x, key, source in zip(
            held.x, *(held.extras[n] for n in ("row", "source")), strict=True
        ):
            assert torch.equal(x, xs[int(key)])
            assert int(source) == int(key) % 3


@every_method
@pytest.mark.parametrize("kind", ["ram", "mapped", "database"])
def test_nothing_of_a_forgotten_row_is_left(storages, files, make, kind) -> None:
    """Neither in the state nor in files; the others stay as they were, and learning goes on."""
    learner = taught(make, storages[kind])
    keys = torch.arange(0, 120, 3)
    xs = {key: x for batch in batches_of(make) for key, x in rows_of(batch)}
    gone = [bytes_of(x) for key, x in xs.items() if key % 3 == 0]
    held = {n: one.column("row").tolist() for n, one in memories(learner).items()}
    assert any(x in bytes_of(learner.state_dict()["methods"]) for x in gone)
    expected = sum(key % 3 == 0 for keys_held in held.values() for key in keys_held)
    assert forget(learner, keys) == expected > 0
    left = {n: one.column("row").tolist() for n, one in memories(learner).items()}
    assert left == {n: [key for key in rows if key % 3] for n, rows in held.items()}
    said = bytes_of(learner.state_dict()) + files()
    assert not any(x in said for x in gone)
    assert forget(learner, keys) == 0
    play(learner, make)


@every_method
def test_forgetting_rows_that_are_not_held_changes_nothing(make) -> None:
    """Not even by recomputing something with a model that has moved on."""
    learner = taught(make)
    learner.observe(batches_of(make)[0].seen())
    before = frozen(learner.state_dict())
    assert forget(learner, torch.tensor([-5, 10**12])) == 0
    assert_same_state(before, learner.state_dict(), "after nothing was forgotten")


@every_method
def test_a_learner_that_forgot_everything_goes_on(make) -> None:
    """Memories are empty, as before the first row; predictions are made, rows are learned."""
    learner = taught(make)
    assert forget(learner, torch.arange(120)) > 0
    assert all(len(memory) == 0 for memory in memories(learner).values())
    learner.predict(*toy_question(make))
    play(learner, make)
    assert all(len(memory) > 0 for memory in memories(learner).values())


def test_class_means_are_those_of_the_exemplars_that_are_left() -> None:
    """iCaRL answers by means of exemplars: a forgotten one has no part in them any more."""
    learner = taught(SMALL["icarl"])
    (icarl,) = learner.methods
    doomed = icarl.memory.column("row")[icarl.memory.column("y") == 4]  # a whole class
    before = icarl.means
    forget(learner, torch.cat((doomed, icarl.memory.column("row")[:1])))
    rows = icarl.memory.rows()
    unit = F.normalize(learner.features(rows.x), dim=1)
    for label in range(6):
        mean = unit[rows.y == label].sum(0)
        assert torch.allclose(F.normalize(mean, dim=0), icarl.means[label], atol=1e-6)
    assert not icarl.means[4].any()
    assert not torch.equal(before, icarl.means)
    assert 4 not in learner.predict(torch.randn(50, 6)).argmax(1)
    forget(learner, torch.arange(120))
    assert icarl.means is None
    assert class_means(learner, icarl.memory, 6) is None


def test_a_memory_whose_rows_have_no_keys_is_named_and_nothing_is_erased() -> None:
    """One of two memories lacks them: the other one is left as it is."""
    learner = taught(SMALL["er and der"])
    er, der = (method.memory for method in learner.methods)
    held = der.rows()
    der.load_state_dict(methods.DER(capacity=20).memory.state_dict())
    der.add(Batch(held.x, held.y, held.task))
    with pytest.raises(InvalidValue, match=r"20 rows of der\.memory have no extra 'row'"):
        forget(learner, torch.arange(120))
    assert (30, 20) == (len(er), len(der))


def test_memories_are_named_by_method_and_attribute() -> None:
    """Methods that keep no rows have none."""
    learner = Learner(torch.nn.Linear(4, 2), methods.ER(), methods.DER(), methods.EWC(strength=1.0))
    assert ["er.memory", "der.memory"] == list(memories(learner))
    assert all(isinstance(memory, Memory) for memory in memories(learner).values())
    assert forget(learner, torch.tensor([1])) == 0


# -- learners whose rows have keys -----------------------------------------------------------------


def taught(make, make_storage=None) -> Learner:
    """A toy learner after three tasks of 40 rows with keys 0 to 119, learned twice."""
    learner = toy_learner(make)
    for memory in memories(learner).values() if make_storage else ():
        memory.move(make_storage(memory.capacity))
    play(learner, make)
    return learner


def play(learner: Learner, make) -> None:
    for kind, batch in keyed(make):
        learner.consolidate(batch) if kind == "consolidate" else learner.observe(batch)


def keyed(make):
    """The toy events, each row with its key."""
    key = {}
    for kind, batch in toy_events(make):
        numbers = [key.setdefault(bytes_of(x), len(key)) for x in batch.x]
        row = torch.tensor(numbers)
        yield kind, batch.with_extras(row=row, source=row % 3)


def batches_of(make) -> list[Batch]:
    return [batch for kind, batch in keyed(make) if kind == "consolidate"]


def rows_of(batch: Batch):
    return zip(batch.extras["row"].tolist(), batch.x, strict=True)


def bytes_of(state) -> bytes:
    """Every tensor's bytes, however deep it lies."""
    if isinstance(state, Tensor):
        return state.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(state, Mapping):
        return b"".join(map(bytes_of, state.values()))
    return b"".join(map(bytes_of, state)) if isinstance(state, (list, tuple)) else b""
