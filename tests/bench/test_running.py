"""A run measures what it says, costs what it did, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from perdure.bench import Experiment, Result, evaluate, run
from perdure.bench.build import build, stream_of
from perdure.bench.running import WATCHED, stages
from perdure.errors import DataUnavailable, Impossible, InvalidValue
from perdure.folding import Schedule, fold
from perdure.learner import Learner
from perdure.nets import GrowingHead, MultiHead, ProgressiveNet
from perdure.scenario import Scenario
from perdure.streams import Rows


def test_the_same_experiment_gives_the_same_result(small: Experiment, naive: Result) -> None:
    """Every accuracy and every count, though not the seconds."""
    again = run(naive.experiment)
    assert naive.matrix == again.matrix
    assert naive.curves == again.curves
    assert naive.cost.flops == again.cost.flops
    assert run(replace(small, scenario="task", seed=1)).matrix != naive.matrix


def test_the_matrix_is_what_a_plain_fold_measures(naive: Result) -> None:
    """Written out: fold, and after each task ask about every task, with its id."""
    stream, learner = build(naive.experiment)
    columns = [
        [accuracy(learner, task.test) for task in stream]
        for position in fold(learner, stream, naive.experiment.schedule, seed=0)
        if position.closed
    ]
    assert columns == [list(column) for column in zip(*naive.matrix.values, strict=True)]


def test_the_baseline_is_the_untrained_model(naive: Result) -> None:
    """Which forward transfer is measured against."""
    stream, learner = build(naive.experiment)
    assert [accuracy(learner, task.test) for task in stream] == list(naive.matrix.baseline)


def test_early_accuracies_are_those_of_the_task_in_progress(naive: Result) -> None:
    """Before its first update and after 1, 2, 5 and 6: at both ends the matrix has them too."""
    assert [[0, 1, 2, 5, 6]] * 5 == [[n for n, _ in curve] for curve in naive.curves]
    R = naive.matrix.values
    assert [naive.matrix.baseline[0], R[1][0], R[2][1]] == [c[0][1] for c in naive.curves[:3]]
    assert [R[i][i] for i in range(5)] == [curve[-1][1] for curve in naive.curves]
    assert {1, 2, 5, 10, 20, 50, 100} <= WATCHED


def test_what_joint_training_spends_at_boundaries_is_counted(small: Experiment) -> None:
    """It makes 6, 12, ... 30 updates at the five boundaries, with the FLOPs of naive's each."""
    naive, joint = run(small), run(replace(small, method="joint"))
    assert (30, 6 + 12 + 18 + 24 + 30) == (naive.cost.updates, joint.cost.updates)
    answers = 5 * 2 * (64 * 16 + 16 * 16 + 16 * 10)  # one after each task
    assert 3 * (naive.cost.flops - answers) == joint.cost.flops - answers
    assert 4 * naive.cost.rows == joint.cost.rows  # those that came, and those learned again


def test_a_fisher_at_a_boundary_is_counted(small: Experiment) -> None:
    """The updates are as many as naive's, and yet there are more FLOPs and rows."""
    naive, ewc = run(small), run(replace(small, method="ewc"))
    assert naive.cost.updates == ewc.cost.updates
    assert naive.cost.flops < ewc.cost.flops
    assert naive.cost.rows < ewc.cost.rows


def test_what_a_closed_form_solves_is_counted(small: Experiment) -> None:
    """Sums row by row; after each task one system and one answer, however often it was looked at.

    5 tasks of 6 x 32 rows, two classes each, 64 inputs: a Cholesky factor is n^3 / 3, two
    triangular systems are 2 n^2 k, and an answer 2 n k, of the k = 2, 4, ... 10 classes so far.
    """
    cost = run(replace(small, method="ridge")).cost
    sums = 5 * 6 * 32 * (2 * 64 * 64 + 2 * 64 * 2)
    solved = sum(64**3 // 3 + 2 * 64 * 64 * k + 2 * 64 * k for k in (2, 4, 6, 8, 10))
    assert sums + solved == cost.flops


def test_no_rows_have_no_accuracy_and_targets_of_a_regression_are_refused() -> None:
    """Held-out rows may be none, where a class has a single row; a target is never "right"."""
    learner = Learner(nn.Linear(3, 2))
    none = Rows(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert evaluate(learner, none, Scenario.DOMAIN) is None
    with pytest.raises(Impossible, match="regression"):
        evaluate(learner, Rows(torch.zeros(4, 3), torch.zeros(4, 1)), Scenario.DOMAIN)


def test_measuring_leaves_no_trace_in_the_learner(small: Experiment) -> None:
    """A learner that was measured all the time ends where one that never was ends."""
    stream, watched = build(small)
    assert 6 == len(list(stages(small, stream, watched)))
    _, alone = build(small)
    assert 35 == len(list(fold(alone, stream, small.schedule, seed=small.seed)))
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name])


def test_frozen_learns_the_first_task_and_nothing_after(small: Experiment) -> None:
    """Its matrix is one column again and again."""
    result = run(replace(small, method="frozen"))
    assert 6 == result.cost.updates
    assert all(len(set(row)) == 1 for row in result.matrix.values)


def test_a_task_without_a_column_is_not_measured(few: list[Result]) -> None:
    """A progressive network cannot answer for a task to come: None, which is not 0."""
    progressive = few[2]
    R = progressive.matrix.values
    assert [None] * 10 == [R[i][j] for i in range(5) for j in range(i)]
    assert (None,) * 5 == progressive.matrix.baseline
    assert progressive.matrix.fwt() is None
    assert 0.0 == progressive.matrix.forgetting()


def test_a_growing_head_has_no_answer_before_its_first_label(small: Experiment) -> None:
    """No outputs at all: not measured. Afterwards a class to come is simply wrong."""
    result = run(replace(small, head="growing"))
    assert (None,) * 5 == result.matrix.baseline
    assert 0.0 == result.matrix.values[4][0]


def test_task_ids_are_given_in_scenario_task_alone(small: Experiment) -> None:
    """A model that asks for them is refused its answer elsewhere."""
    stream, _ = build(replace(small, scenario="task"))
    learner = Learner(Flat(MultiHead(64, {task.id: 2 for task in stream})))
    rows = stream.tasks[1].test
    assert 0 <= evaluate(learner, rows, Scenario.TASK) <= 1
    with pytest.raises(InvalidValue, match="task id"):
        evaluate(learner, rows, Scenario.DOMAIN)


def test_held_out_rows_are_training_rows_that_are_not_learned_from(small: Experiment) -> None:
    """Tuning measures on them, and no test row is among them."""
    held = stream_of(replace(small, holdout=0.25))
    whole = stream_of(small)
    for part, task in zip(held, whole, strict=True):
        assert len(task.train) == len(part.train) + len(part.valid)
        assert 0.2 < len(part.valid) / len(task.train) < 0.3
        assert set() == pixels(part.valid) & pixels(part.train)
        assert pixels(part.valid) <= pixels(task.train)
    assert run(small).matrix != run(replace(small, holdout=0.25)).matrix


@pytest.mark.parametrize("kind", ["permuted", "rotated", "shifting"])
def test_a_row_that_several_tasks_show_is_held_out_of_all_of_them(
    small: Experiment, kind: str
) -> None:
    """Turned or in noise it would otherwise be learnt, and tuning be measured on what it saw."""
    scenario = "class" if kind == "shifting" else "domain"
    held = stream_of(replace(small, kind=kind, scenario=scenario, holdout=0.25))
    learnt = {row for task in held for row in positions(task.train)}
    shown = {row for task in held for row in positions(task.valid)}
    assert learnt
    assert shown
    assert set() == learnt & shown


def test_blurred_boundaries_leave_held_out_rows_with_their_task(small: Experiment) -> None:
    """They stand for its test rows, which have its classes alone."""
    held = stream_of(replace(small, kind="gradual", holdout=0.25))
    for task in held:
        assert set(task.test.labels().tolist()) == set(task.valid.labels().tolist())
    assert any(len(set(task.train.labels().tolist())) > 2 for task in held)


@pytest.mark.parametrize("kind", ["split", "permuted", "rotated", "gradual"])
@pytest.mark.parametrize("scenario", ["task", "domain", "class", "free"])
def test_every_kind_of_stream_runs_or_says_why_not(
    small: Experiment, kind: str, scenario: str
) -> None:
    """Turning an image brings no new class; everything else runs."""
    experiment = replace(
        small, kind=kind, scenario=scenario, tasks=2, schedule=Schedule(32, steps=1)
    )
    if (kind, scenario) == ("rotated", "class"):
        with pytest.raises(Impossible, match="use scenario"):
            run(experiment)
    else:
        result = run(experiment)
        assert scenario == build(experiment)[0].scenario
        assert all(value is not None for row in result.matrix.values for value in row)


def test_a_shifting_stream_brings_classes_and_then_all_of_them_in_other_conditions(
    small: Experiment,
) -> None:
    """Two tasks of five classes, then noise and inversion of all ten, in one label space."""
    experiment = replace(small, kind="shifting", tasks=2, order=tuple(range(10)))
    stream = stream_of(experiment)
    assert ["0+1+2+3+4", "5+6+7+8+9", "noise", "inversion"] == [task.name for task in stream]
    assert 10 == stream.classes
    plain, inverted = (next(iter(stream.tasks[i].train)) for i in (0, 3))
    assert float(plain.x.mean()) < 0.5 < float(inverted.x.mean())
    assert [3] * len(inverted) == inverted.task.tolist()
    with pytest.raises(Impossible, match="use scenario 'class'"):
        run(replace(experiment, scenario="task"))


def test_an_impossible_combination_is_refused_before_the_first_batch(small: Experiment) -> None:
    """A progressive network has no answer where nobody says which task it is."""
    with pytest.raises(Impossible, match=r"ProgressiveNet .* scenario 'class'"):
        build(replace(small, method="progressive", scenario="class"))


def test_the_network_fits_scenario_and_method(small: Experiment) -> None:
    """A head a task; columns for a progressive network; a growing head where it is asked for."""
    assert isinstance(model(small, scenario="task").head, MultiHead)
    assert 2 == model(small, scenario="domain").head.out_features
    assert 10 == model(small).head.out_features
    assert isinstance(model(small, head="growing").head, GrowingHead)
    assert isinstance(model(small, scenario="task", method="progressive"), ProgressiveNet)


def test_an_unknown_data_set_is_named(small: Experiment) -> None:
    """With the nearest one that there is."""
    with pytest.raises((InvalidValue, DataUnavailable), match="did you mean 'digits'"):
        run(replace(small, data="digit"))


def test_the_environment_says_versions_and_threads(naive: Result) -> None:
    """What the numbers hang on; the process has its own number of threads again."""
    assert torch.__version__ == naive.environment["torch"]
    assert "1" == naive.environment["threads"]


class Flat(nn.Module):
    """A head over raw pixels."""

    takes_task = True

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: torch.Tensor, task: torch.Tensor | None = None) -> torch.Tensor:
        return self.head(x.flatten(1), task)


def accuracy(learner: Learner, rows: Rows) -> float:
    """By hand, in one batch."""
    batch = rows.batch(torch.arange(len(rows)))
    hits = learner.predict(batch.x, batch.task).argmax(1) == batch.y
    return float(hits.double().mean())


def model(small: Experiment, **changes: str) -> nn.Module:
    return build(replace(small, **changes))[1].model


def positions(rows: Rows) -> list[int]:
    """Which of the data set's rows these are."""
    return (torch.arange(len(rows)) if rows.index is None else rows.index).tolist()


def pixels(rows: Rows) -> set[tuple[float, ...]]:
    return {tuple(x.flatten().tolist()) for batch in rows for x in batch.x}
