"""From an experiment to the stream and the learner that it describes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from math import prod

import torch
from torch import nn

from perdure.advise.compatibility import check
from perdure.bench import presets
from perdure.bench.experiment import Experiment
from perdure.bench.shifting import shifting
from perdure.engine import Engine
from perdure.errors import Impossible
from perdure.learner import Learner
from perdure.nets import (
    CNN,
    MLP,
    Classifier,
    FixedHead,
    Flat,
    GrowingHead,
    MultiHead,
    NoHead,
    ProgressiveNet,
    ResNet18,
)
from perdure.scenario import Scenario
from perdure.streams import Data, Stream, gradual, load, permuted, rotated, split

_loaded = cache(load)


def build(experiment: Experiment) -> tuple[Stream, Learner]:
    """The stream and an untrained learner for it; seeds torch's global generator.

    Raises:
        Impossible: scenario, model and method cannot work together.
        DataUnavailable: the data set is neither here nor downloadable.
    """
    stream = stream_of(experiment)
    torch.manual_seed(experiment.seed)
    model = model_of(experiment, stream)
    method = presets.make(experiment.method, experiment.resolved)
    check(stream.scenario, model, [method])
    learner = Learner(
        model,
        method,
        optimizer=partial(_optimizer, experiment),
        engine=Engine(experiment.device, experiment.precision),
        seed=experiment.seed,
    )
    return stream, learner


def stream_of(experiment: Experiment) -> Stream:
    """The tasks, in their order; with rows held out of each where the experiment says so."""
    stream = _whole_stream(experiment)
    return stream.holdout(experiment.holdout, experiment.seed) if experiment.holdout else stream


def model_of(experiment: Experiment, stream: Stream) -> nn.Module:
    """The network: a head a task where task ids are given, one head otherwise.

    A `MultiHead` has the outputs of every task from the start, so that its accuracy on tasks that
    are still to come can be measured.
    """
    inputs = prod(stream.input_shape)
    preset = presets.find(experiment.method)
    if preset.architecture == "progressive":
        return ProgressiveNet(inputs, experiment.hidden, stream.classes)
    if preset.closed_form:
        return Classifier(Flat(inputs), NoHead(inputs))
    backbone = _backbone(experiment, stream.input_shape)
    return Classifier(backbone, _head(experiment, stream, backbone.out_features))


def _whole_stream(experiment: Experiment) -> Stream:
    data: Data = _loaded(experiment.data)
    tasks, scenario, seed = experiment.tasks, experiment.scenario, experiment.seed
    if experiment.kind == "permuted":
        return permuted(data, tasks, scenario, seed=seed)
    if experiment.kind == "rotated":
        return rotated(data, tasks, scenario)
    if experiment.kind == "shifting":
        if scenario != Scenario.CLASS:
            raise Impossible(
                "kind 'shifting' brings classes into one label space and scenario is "
                f"{scenario!r}; use scenario 'class'"
            )
        return shifting(data, tasks, seed, experiment.order)
    whole = split(data, tasks, scenario, order=experiment.order, seed=seed)
    return gradual(whole, seed=seed) if experiment.kind == "gradual" else whole


def _backbone(experiment: Experiment, shape: tuple[int, ...]) -> MLP | CNN | ResNet18:
    if experiment.network == "mlp":
        return MLP(prod(shape), experiment.hidden)
    if len(shape) != 3:
        raise Impossible(
            f"network {experiment.network!r} takes images (channels, height, width) and "
            f"{experiment.data} has inputs {shape}; use network 'mlp'"
        )
    return CNN(shape[0]) if experiment.network == "cnn" else ResNet18(shape[0])


def _head(experiment: Experiment, stream: Stream, features: int) -> nn.Module:
    if stream.scenario is Scenario.TASK:
        return MultiHead(features, {task.id: len(task.classes) for task in stream})
    if stream.scenario is not Scenario.DOMAIN and experiment.head == "growing":
        return GrowingHead(features)
    return FixedHead(features, stream.classes)


def _optimizer(experiment: Experiment, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    if experiment.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=experiment.lr, fused=True)
    return torch.optim.SGD(parameters, lr=experiment.lr, momentum=experiment.momentum, fused=True)
