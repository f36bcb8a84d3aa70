"""A learner's life over a long stream: measured at every batch, resumable at any."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from perdure import Learner
from perdure.bench import Experiment, life, live_through, run
from perdure.bench import lifecycle as module
from perdure.bench.lifecycle import tensor_bytes
from perdure.errors import CheckpointMismatch, Impossible
from perdure.folding import Schedule
from perdure.measure import LifeCycle, life_cycle_savings
from perdure.method import Method
from perdure.methods import ER, SI, Joint, Naive
from perdure.nets import Classifier, Flat, GrowingHead
from perdure.streams import Data, Stream, nic, split

WIDTH, CLASSES, ROWS = 8, 4, 20
ONCE = Schedule(batch_size=16)


def blobs() -> Data:
    """Four classes far apart, twenty rows each to learn from and ten to measure on."""
    generator = torch.Generator().manual_seed(0)
    means = 4 * torch.eye(CLASSES, WIDTH)
    parts = []
    for rows in (ROWS, 10):
        y = torch.arange(CLASSES).repeat_interleave(rows)
        parts += [means[y] + torch.randn(len(y), WIDTH, generator=generator), y]
    return Data("blobs", parts[0], parts[1], parts[2], parts[3], ("a", "b", "c", "d"))


def stream() -> Stream:
    return nic(blobs(), 11, 2)  # 12 sessions of 6 or 7 rows


def learner(*methods: Method, rate: float = 0.05) -> Learner:
    torch.manual_seed(0)
    return Learner(
        Classifier(Flat(WIDTH), GrowingHead(WIDTH)),
        *methods,
        optimizer=partial(torch.optim.Adam, lr=rate),
    )


def lived(tmp_path: Path, method: Method, name: str = "x", epochs: int = 1) -> LifeCycle:
    schedule = Schedule(batch_size=16, epochs=epochs)
    return live_through(learner(method), stream(), schedule, tmp_path / f"{name}.json", name=name)


def without_time(cycle: LifeCycle) -> list[tuple[object, ...]]:
    """All that two equal lives share: not the time they took, nor what the process held."""
    return [
        (m.rows, m.classes, m.accuracy, m.accuracy_seen, m.held_bytes, m.cost.flops, m.cost.rows)
        for m in cycle.moments
    ]


def test_a_moment_says_what_came_and_what_is_known(tmp_path: Path) -> None:
    """Rows and classes so far; accuracy on all is that on the seen, diluted by unseen classes."""
    moments = lived(tmp_path, Naive()).moments
    assert 11 == len(moments)
    assert CLASSES * ROWS == moments[-1].rows
    assert 2 == moments[0].classes
    assert CLASSES == moments[-1].classes
    for moment in moments:
        assert moment.accuracy == pytest.approx(moment.accuracy_seen * moment.classes / CLASSES)
    assert moments[-1].accuracy == moments[-1].accuracy_seen


def test_retraining_reads_all_rows_again_at_each_batch(tmp_path: Path) -> None:
    """As many updates at batch t as there were batches: the sum of rows is theirs, by hand."""
    cycle = lived(tmp_path, Joint())
    assert sum(range(1, 12)) == cycle.cost.updates  # one batch of rows each, so 1 + 2 + ... + 11
    last = cycle.moments[-1].cost
    assert 11 == last.updates


def test_the_gap_to_retraining_is_told_with_what_was_saved(tmp_path: Path) -> None:
    """Replay of everything learns as well for less; its memory grows no more once it is full."""
    kept = lived(tmp_path, ER(capacity=16, rows=16), "er", epochs=8)
    savings = life_cycle_savings(kept, lived(tmp_path, Joint(), "joint", epochs=8))
    assert 0.3 < savings.flops.whole < savings.flops.last
    assert savings.final_gap < 0.1
    assert 0 == kept.bytes_per_row()


def test_memory_is_all_that_a_checkpoint_holds(tmp_path: Path) -> None:
    """Weights, Adam's moments, random state and every row kept: 8 floats, a label and a task id."""
    cycle = lived(tmp_path, Joint(steps=1))
    assert 4 * WIDTH + 8 + 8 == cycle.bytes_per_row()
    state = {"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.float64), 1, "x"]}
    assert 12 + 16 == tensor_bytes(state)


def test_the_first_answer_after_a_batch_is_part_of_its_cost(tmp_path: Path) -> None:
    """A linear layer for one row: 2 x width x classes seen, beside the update's own products."""
    first = lived(tmp_path, Naive()).moments[0]
    rows, classes = first.rows, first.classes
    update = 4 * rows * WIDTH * classes  # forward, and the gradient of the weights
    assert update + 2 * WIDTH * classes == first.cost.flops


def test_a_life_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after five batches, with methods that keep rows, importance and random state."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    whole = lived(tmp_path, ER(capacity=12), "whole")

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    path = tmp_path / "part.json"
    with pytest.raises(KeyboardInterrupt):
        live_through(learner(ER(capacity=12)), stream(), ONCE, path, name="whole", progress=stop)
    assert not path.exists()
    seen: list[int] = []
    again = live_through(
        learner(ER(capacity=12)),
        stream(),
        ONCE,
        path,
        name="whole",
        progress=lambda done, total: seen.append(done),
    )
    assert list(range(6, 12)) == seen
    assert without_time(whole) == without_time(again)
    assert [path, tmp_path / "whole.json"] == sorted(tmp_path.iterdir())


def test_a_life_that_is_over_is_read_and_not_lived_again(tmp_path: Path) -> None:
    """The same moments, times included, without an update."""
    first = lived(tmp_path, SI())
    fresh = learner(SI())
    again = live_through(fresh, stream(), ONCE, tmp_path / "x.json", name="x")
    assert first == again
    assert 0 == fresh.updates
    assert 11 == len(json.loads((tmp_path / "x.json").read_text())["moments"])


def test_the_life_of_another_learner_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Nor one that is in progress."""
    lived(tmp_path, Naive())
    with pytest.raises(CheckpointMismatch, match=r"life cycle of .*Naive.* name another file"):
        lived(tmp_path, ER())


def test_another_learning_rate_is_another_life(tmp_path: Path) -> None:
    """Though model, methods and stream are the same."""
    lived(tmp_path, Naive())
    slower = learner(Naive(), rate=0.01)
    with pytest.raises(CheckpointMismatch, match=r"Adam\(lr=0.05\).*Adam\(lr=0.01\)"):
        live_through(slower, stream(), ONCE, tmp_path / "x.json", name="x")


def test_accuracy_may_be_measured_at_some_batches_and_always_at_the_last(tmp_path: Path) -> None:
    """Costs are there for all."""
    cycle = live_through(learner(Naive()), stream(), ONCE, tmp_path / "x.json", name="x", every=4)
    measured = [i for i, moment in enumerate(cycle.moments) if moment.accuracy is not None]
    assert [0, 4, 8, 10] == measured
    assert all(moment.cost.flops for moment in cycle.moments)


def test_tasks_with_test_rows_of_their_own_are_measured_together(tmp_path: Path) -> None:
    """A split by class: after the first of two tasks, half of all test rows can be right."""
    parts = split(blobs(), 2, order=[0, 1, 2, 3])
    cycle = live_through(learner(Naive()), parts, ONCE, tmp_path / "x.json", name="x")
    assert cycle.moments[0].accuracy == pytest.approx(cycle.moments[0].accuracy_seen / 2)
    assert [2, 4] == [moment.classes for moment in cycle.moments]


def test_held_out_rows_stand_for_the_test_rows(tmp_path: Path) -> None:
    """For tuning: the test rows are never looked at."""
    held = stream().holdout(0.2)
    valid = sum(len(task.valid) for task in held)
    cycle = live_through(learner(Naive()), held, ONCE, tmp_path / "x.json", name="x")
    hits = cycle.moments[-1].accuracy * valid
    assert hits == pytest.approx(round(hits))


def test_a_life_cycle_needs_classes_and_no_task_ids(tmp_path: Path) -> None:
    """Task ids at inference, or a regression, are refused before the first update."""
    with pytest.raises(Impossible, match="scenario 'task'"):
        live_through(
            learner(Naive()), split(blobs(), 2, "task"), ONCE, tmp_path / "x.json", name="x"
        )


def test_an_experiment_lives_through_its_stream(tmp_path: Path) -> None:
    """Under the method's name, in a file of its own key."""
    small = Experiment(kind="nic", tasks=12, hidden=(8,), head="growing")
    cycle = life(small, tmp_path)
    assert "naive" == cycle.name
    assert 12 == len(cycle.moments)
    assert [f"naive-{small.key}.json"] == [path.name for path in tmp_path.iterdir()]
    assert cycle == life(small, tmp_path)


def test_a_matrix_of_small_batches_is_refused(tmp_path: Path) -> None:
    """They share one test set; and classes need one label space."""
    small = Experiment(kind="nic", tasks=12)
    with pytest.raises(Impossible, match="perdure lifecycle"):
        run(small)
    with pytest.raises(Impossible, match="'nic' brings classes into one label space"):
        life(replace(small, scenario="domain"), tmp_path)


def test_what_is_saved_is_what_can_be_worked_out_by_hand(tmp_path: Path) -> None:
    """Sixteen batches of five rows: a linear head of c outputs takes 4 x 5 x width x c an update.

    Retraining makes t updates at batch t, and both answer one row, 2 x width x c.
    """
    even = nic(blobs(), 16, 1)
    assert {5} == {len(task.train) for task in even}
    once, again = (
        live_through(learner(method), even, Schedule(5), tmp_path / f"{name}.json", name=name)
        for name, method in (("once", Naive()), ("again", Joint()))
    )
    for t, (a, b) in enumerate(zip(once.moments, again.moments, strict=True), 1):
        assert (20 + 2) * WIDTH * a.classes == a.cost.flops
        assert (20 * t + 2) * WIDTH * b.classes == b.cost.flops
    saved = life_cycle_savings(once, again).flops
    assert 1 - 22 / 322 == pytest.approx(saved.last)
    spent = [
        sum((20 * n + 2) * m.classes for n, m in zip(updates, once.moments, strict=True))
        for updates in ([1] * 16, range(1, 17))
    ]
    assert 1 - spent[0] / spent[1] == pytest.approx(saved.whole)


def test_a_checkpoint_of_another_life_is_refused_before_anything_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is in progress as after its end; and it is still there for its own."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x.json"
    with pytest.raises(KeyboardInterrupt):
        live_through(learner(Naive()), stream(), ONCE, path, name="x", progress=stop)
    for other, seed, every in ((ER(), 0, 1), (Naive(), 1, 1), (Naive(), 0, 2)):
        fresh = learner(other)
        with pytest.raises(CheckpointMismatch, match="name another file"):
            live_through(fresh, stream(), ONCE, path, name="x", seed=seed, every=every)
        assert 0 == fresh.updates
    assert 11 == len(live_through(learner(Naive()), stream(), ONCE, path, name="x").moments)


def test_looking_at_accuracy_changes_nothing_that_is_learnt_or_paid(tmp_path: Path) -> None:
    """Often or seldom: the same last accuracy, the same FLOPs at every batch."""
    often, seldom = (
        live_through(
            learner(ER(capacity=12)), stream(), ONCE, tmp_path / f"{k}.json", name="x", every=k
        )
        for k in (1, 5)
    )
    assert often.final_accuracy() == seldom.final_accuracy()
    flops = [[moment.cost.flops for moment in life.moments] for life in (often, seldom)]
    assert flops[0] == flops[1]


@pytest.mark.parametrize("place", range(1, 11, 3))
def test_wherever_a_life_is_stopped_it_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A penalty whose importance is summed over batches, stopped before and after classes came."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)

    def stop(done: int, total: int) -> None:
        if done == place:
            raise KeyboardInterrupt

    path = tmp_path / "part.json"
    with pytest.raises(KeyboardInterrupt):
        live_through(learner(SI()), stream(), ONCE, path, name="x", progress=stop)
    again = live_through(learner(SI()), stream(), ONCE, path, name="x")
    assert without_time(lived(tmp_path, SI(), "x")) == without_time(again)
