"""Runs on features: a setting of the experiment, encoded once for all runs of a machine."""

from __future__ import annotations

import json

import pytest
import torch

from perdure.bench import Experiment, encoding
from perdure.bench.build import stream_of
from perdure.bench.running import run
from perdure.errors import InvalidValue
from perdure.folding import Schedule
from perdure.nets import Encoder
from perdure.streams import load


@pytest.fixture
def halves(tmp_path, monkeypatch):
    """A small encoder in the place of the pretrained ones, and a folder of its own."""
    asked = []

    class Halves(torch.nn.Module):
        def forward(self, x):
            asked.append(len(x))
            return x.flatten(1)[:, ::2].float() / 16

    monkeypatch.setenv("PERDURE_DATA", str(tmp_path))
    monkeypatch.setattr(encoding, "encoder", lambda kind: Encoder(Halves(), kind, 32))
    for held in (encoding.loaded, encoding._encoder):
        held.cache_clear()
    yield asked
    for held in (encoding.loaded, encoding._encoder):
        held.cache_clear()


def test_an_experiment_without_encoder_has_the_key_that_it_always_had():
    """Folders of results that were written before go on."""
    held = Experiment().to_dict()
    assert "encoder" not in held
    assert Experiment.from_dict(held) == Experiment()
    made = Experiment(encoder="image")
    assert made == Experiment.from_dict(json.loads(json.dumps(made.to_dict())))
    assert made.key != Experiment().key
    assert "features" in made.title
    with pytest.raises(InvalidValue, match="encoder is 'sound'"):
        Experiment(encoder="sound")


@pytest.mark.parametrize("method", ["slda", "naive"])
def test_closed_forms_and_mlps_learn_from_features(halves, method):
    """The features are the input; nothing of the method changes."""
    experiment = Experiment(
        encoder="image", method=method, tasks=2, schedule=Schedule(steps=20), hidden=(16,)
    )
    result = run(experiment)
    assert 2 == len(result.matrix.tasks)
    assert result.experiment == experiment
    assert (32,) == stream_of(experiment).input_shape
    data = load("digits")
    assert sum(halves) <= len(data.train_x) + len(data.test_x)


def test_the_next_process_reads_from_the_disk(halves):
    """As if the process began anew: caches in memory are empty, the file is there."""
    experiment = Experiment(encoder="image", tasks=2)
    stream_of(experiment)
    halves.clear()
    encoding.loaded.cache_clear()
    encoding._encoder.cache_clear()
    stream_of(experiment)
    assert [] == halves


def test_where_tasks_change_their_inputs_these_are_encoded(halves):
    """A turned picture has features of its own, and not turned features."""
    experiment = Experiment(encoder="image", kind="rotated", scenario="domain", tasks=3)
    raw = stream_of(Experiment(kind="rotated", scenario="domain", tasks=3))
    made = stream_of(experiment)
    for before, after in zip(raw, made, strict=True):
        index = torch.arange(20)
        x = before.train.batch(index).x
        expected = x.flatten(1)[:, ::2].float() / 16
        assert torch.equal(expected, after.train.batch(index).x)
