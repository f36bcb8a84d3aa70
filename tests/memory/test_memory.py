"""What every memory promises, whatever its policy."""

from __future__ import annotations

import ast
import time

import pytest
import torch
from scipy.stats import chisquare

from perdure import Batch, checkpoint
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.memory import Balanced, Capped, Herding, Memory, Reservoir

MAKES = {
    "reservoir": lambda: Reservoir(20),
    "balanced": lambda: Balanced(20),
    "balanced by task": lambda: Balanced(20, by="task"),
    "balanced by group": lambda: Balanced(20, by="group", quota=4),
    "capped": lambda: Capped(20, share=0.4, by="class"),
    "herding": lambda: Herding(20, quota=9),
}
every_memory = pytest.mark.parametrize("make", MAKES.values(), ids=list(MAKES))


@every_memory
def test_an_empty_memory_has_no_rows(make) -> None:
    """Nothing to draw, nothing to list, nothing to erase, and an empty batch adds nothing."""
    memory = make()
    memory.add(rows(0))
    assert memory.sample(4) is None
    assert memory.rows() is None
    assert {} == memory.group_counts()
    assert 0 == len(memory) == memory.erase(torch.zeros(0, dtype=torch.bool))


@every_memory
def test_a_draw_has_as_many_rows_as_asked_for(make) -> None:
    """Also more than the memory holds; drawn rows are whole rows and never new."""
    memory = make()
    memory.add(rows(3))
    drawn = memory.sample(50)
    assert (50, 0) == (len(drawn), drawn.new)
    assert torch.equal(drawn.x[:, 0], 10 * drawn.y + drawn.task)
    assert {*drawn.x[:, 0].tolist()} <= {*memory.rows().x[:, 0].tolist()}


@every_memory
def test_a_draw_is_uniform(make) -> None:
    """20,000 draws over the rows held pass a chi-square test at 0.001."""
    memory = filled(make)
    place = {value: at for at, value in enumerate(memory.rows().x[:, 1].tolist())}
    drawn = torch.tensor([place[value] for value in memory.sample(20_000).x[:, 1].tolist()])
    assert chisquare(drawn.bincount(minlength=len(place)).numpy()).pvalue > 0.001


@every_memory
def test_a_memory_never_exceeds_its_capacity_in_rows_or_bytes(make) -> None:
    """After 2,000 rows at most 20, each of 56 bytes and 16 of what the policy knows."""
    memory = make()
    for start in range(0, 2000, 50):
        memory.add(rows(50, start))
        assert len(memory) <= 20
    # x takes 24 bytes, y 8, the task id 8, the extra 16.
    assert memory.bytes() <= 20 * (56 + 16)


@every_memory
def test_erasing_by_mask_or_by_index_forgets_those_rows_alone(make) -> None:
    """The rows that stay keep their order; how many went is said."""
    masked, indexed = filled(make), filled(make)
    held = masked.rows().x[:, 1]
    doomed = torch.arange(len(held)) % 3 == 0
    assert int(doomed.sum()) == masked.erase(doomed)
    assert int(doomed.sum()) == indexed.erase(doomed.nonzero()[:, 0])
    for memory in (masked, indexed):
        assert held[~doomed].tolist() == memory.rows().x[:, 1].tolist()
        memory.add(rows(30, 900))
        assert len(memory) <= 20


@every_memory
def test_a_memory_that_was_emptied_fills_again(make) -> None:
    """What is erased or expires leaves room for what comes."""
    for empty in ("erase", "expire"):
        memory = filled(make)
        assert len(memory) == getattr(memory, empty)(torch.ones(len(memory), dtype=torch.bool))
        assert 0 == len(memory)
        for start in range(900, 3900, 60):
            memory.add(rows(60, start))
        assert len(memory) >= 2
        assert int(memory.rows().x[:, 1].min()) >= 900


@every_memory
def test_a_memory_of_the_last_days_stays_in_use(make) -> None:
    """Rows expire five days after they came: of 60 days, the last 30 see a third of it filled."""
    memory, held, days = make(), [], []
    for day in range(60):
        memory.add(rows(300, 300 * day))
        memory.expire(memory.column("x")[:, 1] // 300 < day - 4)
        if day >= 30:
            held.append(len(memory))
            days.append((day - memory.column("x")[:, 1] // 300).bincount(minlength=5))
    assert sum(held) / len(held) >= 20 / 3
    share = torch.stack(days).sum(0) / sum(held)
    assert share.numel() == 5
    assert share.min() >= 0.08 or isinstance(memory, Herding)  # of each day a fair part


def test_erased_rows_do_not_hurry_a_reservoir() -> None:
    """What `expire` is for: by `erase`, a reservoir of the last days is all but empty."""
    memory = Reservoir(20)
    for day in range(60):
        memory.add(rows(300, 300 * day))
        memory.erase(memory.column("x")[:, 1] // 300 < day - 4)
    assert len(memory) < 20 / 3


@every_memory
def test_a_column_is_read_without_the_others(make) -> None:
    """In the order of `rows`; None where there is none of that name, or no row yet."""
    memory = make()
    assert memory.column("y") is None
    memory = filled(make)
    assert torch.equal(memory.rows().y, memory.column("y"))
    assert torch.equal(memory.rows().x, memory.column("x"))
    assert memory.column("subject") is None


@every_memory
def test_erasing_rows_that_are_not_there_is_refused(make) -> None:
    """A mask of another length, and an index beyond the last row."""
    memory = filled(make)
    with pytest.raises(InvalidValue, match="mask of 3 rows"):
        memory.erase(torch.zeros(3, dtype=torch.bool))
    with pytest.raises(InvalidValue, match="row 20"):
        memory.erase(torch.tensor([0, 20]))


@every_memory
def test_state_read_from_a_file_goes_on_bit_for_bit(make, tmp_path) -> None:
    """Rows, generator and counts: later additions, erasures and draws are the same."""
    whole, loaded = filled(make), make()
    checkpoint.save(tmp_path / "memory.safetensors", whole.state_dict())
    loaded.seed(99)
    loaded.load_state_dict(checkpoint.load(tmp_path / "memory.safetensors"))
    for memory in (whole, loaded):
        memory.erase(torch.tensor([2, 5]))
        memory.add(rows(64, 500))
    assert torch.equal(whole.rows().x, loaded.rows().x)
    assert torch.equal(whole.sample(30).x, loaded.sample(30).x)


@every_memory
def test_loaded_state_is_a_copy(make) -> None:
    """A memory that goes on does not write into what another one loaded."""
    ours, theirs = filled(make), make()
    theirs.load_state_dict(ours.state_dict())
    before = theirs.rows().x
    for start in range(0, 1000, 50):
        ours.add(rows(50, start))
    assert torch.equal(before, theirs.rows().x)


@every_memory
def test_the_seed_decides_the_rows_and_the_draws(make) -> None:
    """Equal seeds, equal memories."""
    one, two = make(), make()
    for memory in (one, two):
        memory.seed(7)
        memory.add(rows(300))
    assert torch.equal(one.rows().x, two.rows().x)
    assert torch.equal(one.sample(9).x, two.sample(9).x)


@every_memory
def test_repr_is_the_call_that_makes_the_memory(make) -> None:
    """Arguments at their default are left out."""
    call = ast.parse(repr(make()), mode="eval").body
    given = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    policies = (Reservoir, Balanced, Capped, Herding)
    again = {policy.__name__: policy for policy in policies}[call.func.id]
    assert repr(make()) == repr(again(**given))


def test_the_state_of_another_policy_is_refused_by_name() -> None:
    """A reservoir's `seen` is no part of a balanced memory."""
    memory = Reservoir(20)
    with pytest.raises(CheckpointMismatch, match=r"Balanced\(capacity=20\).*seen"):
        Balanced(20).load_state_dict(memory.state_dict())


@pytest.mark.parametrize(
    "make",
    [lambda: Reservoir(0), lambda: Balanced(0), lambda: Herding(5, quota=0)],
    ids=["reservoir", "balanced", "quota"],
)
def test_a_memory_without_room_is_refused(make) -> None:
    """Capacity and quota start at 1."""
    with pytest.raises(InvalidValue, match="must lie in"):
        make()


def test_rows_that_cannot_be_grouped_are_refused() -> None:
    """By task without ids, by class with targets that are no labels; by task any target will do."""
    with pytest.raises(InvalidValue, match="without task ids"):
        Balanced(5, by="task").add(Batch(torch.zeros(2, 1), torch.zeros(2).long()))
    with pytest.raises(InvalidValue, match="no class labels"):
        Balanced(5).add(Batch(torch.zeros(2, 1), torch.zeros(2)))
    memory = Balanced(5, by="task")
    memory.add(Batch(torch.zeros(2, 1), torch.zeros(2, 3), task=4))
    assert {4: 2} == memory.group_counts()


def test_a_reservoir_takes_regression_targets() -> None:
    """Nothing of a uniform sample depends on labels."""
    memory = Reservoir(5)
    memory.add(Batch(torch.zeros(9, 1), torch.rand(9, 2)))
    assert (5, 2) == memory.rows().y.shape


def test_drawing_costs_microseconds() -> None:
    """64 rows of 784 bytes out of 20,000: well under a millisecond on any machine."""
    memory = Reservoir(20_000)
    memory.add(Batch(torch.zeros(20_000, 784, dtype=torch.uint8), torch.zeros(20_000).long()))
    best = min(seconds(lambda: memory.sample(64)) for _ in range(50))
    assert best < 1e-3


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rows(count: int, start: int = 0) -> Batch:
    """Rows of tasks 0 to 2 with labels 0 to 2; x[:, 0] tells both, x[:, 1] is the row's number."""
    number = torch.arange(start, start + count)
    y, task = number % 3, number // 3 % 3
    x = torch.stack((10 * y + task, number, number), 1)
    angles = torch.stack((torch.sin(number.double()), torch.cos(number.double())), 1)
    return Batch(x, y, task, {"features": angles})


def filled(make) -> Memory:
    """A memory that 300 rows were offered to."""
    memory = make()
    memory.add(rows(300))
    return memory
