"""From plain values to a stream, a network, an optimiser: what each value comes to."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from perdure.bench import Experiment, presets, run
from perdure.bench.build import build, model_of, stream_of
from perdure.bench.frozen import Frozen
from perdure.bench.presets import PRESETS
from perdure.errors import Impossible
from perdure.folding import Schedule
from perdure.learner import Learner
from perdure.nets import CNN, MLP, Flat, NoHead, ProgressiveNet, ResNet18

SCENARIOS = ("task", "domain", "class")


@pytest.mark.parametrize(("method", "scenario"), [*product(PRESETS, SCENARIOS)])
def test_every_method_runs_in_every_scenario_or_is_refused(
    small: Experiment, method: str, scenario: str
) -> None:
    """Two tasks of four updates: it ends with accuracies, or is told apart before it begins."""
    experiment = replace(
        small,
        method=method,
        settings={"projections": 64} if method == "ranpac" else {},
        scenario=scenario,
        tasks=2,
        schedule=Schedule(16, steps=4),
    )
    alone = method in {"packnet", "progressive", "hat"} and scenario != "task"
    if alone:
        with pytest.raises(Impossible, match="gives no task id"):
            build(experiment)
    else:
        result = run(experiment)
        assert result.matrix.accuracy() is not None
        assert result.cost.flops > 0
        assert result.cost.updates >= (4 if method == "frozen" else 8)


def test_classes_come_in_the_order_that_is_given_or_that_the_seed_draws(
    small: Experiment,
) -> None:
    """A fixed order is the same for every seed; drawn ones differ, and so do permutations."""
    fixed = replace(small, order=(3, 1, 5, 6, 0, 2, 7, 4, 9, 8))
    names = ["3+1", "5+6", "0+2", "7+4", "9+8"]
    assert names == [task.name for task in stream_of(fixed)]
    assert names == [task.name for task in stream_of(replace(fixed, seed=5))]
    drawn = {tuple(task.classes for task in stream_of(replace(small, seed=s))) for s in range(4)}
    assert 4 == len(drawn)
    first, second = (
        stream_of(replace(small, kind="permuted", scenario="domain", seed=s)) for s in (0, 1)
    )
    assert not torch.equal(one_row(first, 1), one_row(second, 1))
    assert torch.equal(one_row(first, 0), one_row(second, 0))


def test_the_seed_decides_the_first_weights_and_nothing_before_it_does(small: Experiment) -> None:
    """Whatever was drawn before, the same experiment begins with the same network."""
    torch.rand(17)
    first = weights(small)
    torch.rand(5)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(small), strict=True))
    other = weights(replace(small, seed=1))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_methods_begin_with_the_same_weights(small: Experiment) -> None:
    """So that their runs are paired by seed: only the method differs."""
    first, *others = (weights(replace(small, method=name)) for name in ("naive", "er", "joint"))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_networks_go_by_their_names(small: Experiment) -> None:
    """An MLP of the widths that are given, convolutions for images."""
    for name, kind in (("mlp", MLP), ("cnn", CNN), ("resnet", ResNet18)):
        assert isinstance(network(replace(small, network=name)).backbone, kind)
    widths = [len(p) for p in network(replace(small, hidden=(7, 5))).backbone.parameters()]
    assert [7, 7, 5, 5] == widths
    columns = network(replace(small, scenario="task", method="progressive", hidden=(7, 5)))
    assert isinstance(columns, ProgressiveNet)
    assert (64, 7, 5) == columns.widths


def test_what_wants_fixed_features_has_the_inputs_for_them(small: Experiment) -> None:
    """A network that never learnt says less than its inputs: a head on them, trained or absent."""
    trained = network(replace(small, method="feature-replay"))
    assert isinstance(trained.backbone, Flat)
    assert all(parameter.requires_grad for parameter in trained.head.parameters())
    assert (64, 10) == (trained.head.in_features, trained.head.out_features)
    closed = network(replace(small, method="slda"))
    assert isinstance(closed.backbone, Flat)
    assert isinstance(closed.head, NoHead)


def test_optimisers_go_by_their_names(small: Experiment) -> None:
    """With the learning rate, and for SGD the momentum, that are given."""
    adam = build(replace(small, lr=0.02))[1].optimiser.torch
    assert (torch.optim.Adam, 0.02) == (type(adam), adam.param_groups[0]["lr"])
    sgd = build(replace(small, optimizer="sgd", lr=0.3, momentum=0.9))[1].optimiser.torch
    assert (torch.optim.SGD, 0.3, 0.9) == (
        type(sgd),
        sgd.param_groups[0]["lr"],
        sgd.param_groups[0]["momentum"],
    )


def test_a_permuted_class_stream_has_an_output_for_every_class(small: Experiment) -> None:
    """Three permutations of ten digits are thirty classes."""
    experiment = replace(small, kind="permuted", tasks=3)
    stream = stream_of(experiment)
    assert 30 == network(experiment, stream).head.out_features
    assert 30 == stream.classes


def test_frozen_says_what_it_needs() -> None:
    """A boundary, after which it learns no more; without one it learns for ever."""
    learner = Learner(torch.nn.Linear(64, 10), Frozen())
    rows = next(iter(stream_of(Experiment(schedule=Schedule(steps=1))).tasks[0].train))
    flat = replace(rows, x=rows.x.flatten(1))
    learner.observe(flat)
    learner.consolidate()
    before = learner.model.weight.clone()
    learner.observe(flat)
    assert torch.equal(before, learner.model.weight)
    assert 1 == learner.updates
    assert "Frozen()" == repr(Frozen())
    assert Frozen().needs.boundaries


def test_a_penalty_is_stronger_where_task_ids_tell_the_heads_apart() -> None:
    """The presets' strengths are by scenario, and say where they come from."""
    for name in ("ewc", "online-ewc", "si", "mas"):
        strengths = {s: presets.defaults(name, s)["strength"] for s in SCENARIOS}
        assert strengths["domain"] == strengths["class"] != strengths["task"]
        assert "strengths" in presets.find(name).origin


def one_row(stream, task: int) -> torch.Tensor:
    return stream.tasks[task].train.batch(torch.tensor([0])).x


def weights(experiment: Experiment) -> list[torch.Tensor]:
    return [p.detach().clone() for p in build(experiment)[1].model.parameters()]


def network(experiment: Experiment, stream=None):
    return model_of(experiment, stream or stream_of(experiment))
