"""From an experiment to the stream and the learner that it describes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from math import gcd, prod

import torch
from torch import nn

from perdure.advise.compatibility import check
from perdure.bench import presets
from perdure.bench.encoding import loaded, on_features
from perdure.bench.experiment import Experiment
from perdure.bench.shifting import shifting
from perdure.engine import Engine
from perdure.errors import Impossible
from perdure.learner import Learner
from perdure.nets import (
    CNN,
    MLP,
    Classifier,
    ConsolidatedHead,
    CosineHead,
    FixedHead,
    Flat,
    GatedMLP,
    GrowingHead,
    MultiHead,
    NoHead,
    Patches,
    ProgressiveNet,
    Prompted,
    PromptPool,
    ResNet18,
    Transformer,
    lora,
)
from perdure.scenario import Scenario
from perdure.streams import Data, Stream, gradual, nic, permuted, rotated, split

CHANGING = ("permuted", "rotated", "shifting")  # kinds whose tasks change their inputs
WIDTH = 64  # of a transformer's tokens


def build(experiment: Experiment) -> tuple[Stream, Learner]:
    """The stream and an untrained learner for it; seeds torch's global generator.

    Raises:
        Impossible: scenario, model and method cannot work together.
        DataUnavailable: the data set is neither here nor downloadable.
    """
    stream = stream_of(experiment)
    torch.manual_seed(experiment.seed)
    model = model_of(experiment, stream)
    methods = presets.make(experiment.method, experiment.resolved)
    check(stream.scenario, model, methods)
    learner = Learner(
        model,
        *methods,
        optimizer=partial(_optimizer, experiment),
        engine=Engine(experiment.device, experiment.precision),
        seed=experiment.seed,
    )
    return stream, learner


def foresee(experiments: Iterable[Experiment]) -> None:
    """Refuse, before the first run, mistakes that all runs of a method or a scenario would make.

    Pairs that cannot work together are no mistake: their runs say so.

    Raises:
        InvalidValue: an unknown data set or device, a setting out of range, or tasks into which
            the classes do not divide.
        DataUnavailable: the data set is neither here nor downloadable.
    """
    seen = set()
    for one in experiments:
        Engine(one.device, one.precision)
        if one.group not in seen:
            seen.add(one.group)
            presets.make(one.method, one.resolved)
            data = loaded(one.data, None)
            if one.kind in ("split", "gradual"):
                split(data, one.tasks, one.scenario, order=one.order)


def stream_of(experiment: Experiment) -> Stream:
    """The tasks, in their order; with rows held out of each where the experiment says so.

    From features; where tasks change their inputs, it is these that are encoded.
    """
    later = experiment.encoder if experiment.kind in CHANGING else None
    data = loaded(experiment.data, None if later else experiment.encoder)
    stream = _stream_from(experiment, data)
    if experiment.holdout:  # while tasks still share their rows, and no boundary is blurred
        stream = stream.holdout(experiment.holdout, experiment.seed)
    if experiment.kind == "gradual":
        stream = gradual(stream, seed=experiment.seed)
    return on_features(stream, later) if later else stream


def model_of(experiment: Experiment, stream: Stream) -> nn.Module:
    """The network: a head a task where task ids are given, one head otherwise.

    A `MultiHead` has the outputs of every task from the start, so that its accuracy on tasks that
    are still to come can be measured.
    """
    inputs = prod(stream.input_shape)
    preset = presets.find(experiment.method)
    if preset.architecture == "progressive":
        return ProgressiveNet(inputs, experiment.hidden, stream.classes)
    if preset.architecture == "gated":
        return GatedMLP(inputs, experiment.hidden, stream.classes)
    if preset.closed_form:
        return Classifier(Flat(inputs), NoHead(inputs))
    if preset.frozen:
        return Classifier(Flat(inputs), _head(experiment, stream, inputs))
    backbone = _adapted(preset.architecture, experiment, stream.input_shape)
    return Classifier(backbone, _head(experiment, stream, backbone.out_features))


def _stream_from(experiment: Experiment, data: Data) -> Stream:
    tasks, scenario, seed = experiment.tasks, experiment.scenario, experiment.seed
    if experiment.kind == "permuted":
        return permuted(data, tasks, scenario, seed=seed)
    if experiment.kind == "rotated":
        return rotated(data, tasks, scenario)
    if experiment.kind in ("shifting", "nic"):
        if scenario != Scenario.CLASS:
            raise Impossible(
                f"kind {experiment.kind!r} brings classes into one label space and scenario is "
                f"{scenario!r}; use scenario 'class'"
            )
        if experiment.kind == "nic":
            return nic(data, tasks, seed=seed)
        return shifting(data, tasks, seed, experiment.order)
    return split(data, tasks, scenario, order=experiment.order, seed=seed)


def _adapted(
    architecture: str | None, experiment: Experiment, shape: tuple[int, ...]
) -> MLP | CNN | ResNet18 | Prompted | PromptPool:
    """The backbone, with the adapters that a method wants beside it; it has learnt nothing yet."""
    if architecture in ("prompted", "pool"):
        image = shape if len(shape) == 3 else (1, 1, prod(shape))
        encoder = Transformer(Patches(image, max(1, gcd(*image[1:]) // 4), WIDTH))
        return Prompted(encoder) if architecture == "prompted" else PromptPool(encoder)
    backbone = _backbone(experiment, shape)
    return lora(backbone) if architecture == "lora" else backbone


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
    if presets.find(experiment.method).architecture == "consolidated":
        return ConsolidatedHead(features)
    if presets.find(experiment.method).architecture == "cosine":
        return CosineHead(features)
    if stream.scenario is Scenario.TASK:
        return MultiHead(features, {task.id: len(task.classes) for task in stream})
    if stream.scenario is not Scenario.DOMAIN and experiment.head == "growing":
        return GrowingHead(features)
    return FixedHead(features, stream.classes)


def _optimizer(experiment: Experiment, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    if experiment.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=experiment.lr, fused=True)
    return torch.optim.SGD(parameters, lr=experiment.lr, momentum=experiment.momentum, fused=True)
