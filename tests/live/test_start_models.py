"""The models that a new project begins with: they learn, grow, and are saved whole."""

from __future__ import annotations

import importlib.util
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live import tiny
from torch import nn

from perdure.batch import Batch
from perdure.errors import UnseenClass
from perdure.learner import Learner
from perdure.live.project import Project
from perdure.live.readers import read_rows
from perdure.live.schema import Column, Schema
from perdure.live.start import begin
from perdure.live.templates import table, text
from perdure.methods import ER

KINDS = {
    "tensor": {"shape": (4,)},
    "table": {"columns": (Column(name="a"), Column(name="b", type="category", buckets=50))},
    "text": {"length": 30},
    "image": {"channels": 1, "height": 8, "width": 8},
}
ADAM = partial(torch.optim.Adam, lr=0.01)


def schema_of(kind, **changed):
    return Schema(**{"kind": kind, "open": True, **KINDS[kind], **changed})


def examples(kind, rows=96, seed=0):
    """Features of two classes that the first look tells apart, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    noise = rng.standard_normal(rows)
    made = {
        "tensor": lambda i: [float(y[i]), float(noise[i]), 0.0, 1.0],
        # The number is far from standard, and the category alone tells the class.
        "table": lambda i: {"a": 5000 + 300 * noise[i], "b": ("Oslo", "Bergen")[y[i]]},
        "text": lambda i: f"{('good morning', 'sad evening')[y[i]]} {i}",
        "image": lambda i: np.full((8, 8), 60 + 120 * y[i] + int(20 * rng.random()), np.uint8),
    }[kind]
    return [made(i) for i in range(rows)], torch.from_numpy(y)


def built(directory, kind, schema, classes):
    """The model of the file that was written, not of the one that it was copied from."""
    begin(directory, kind, scratch=True)
    spec = importlib.util.spec_from_file_location(f"written_{kind}", directory / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(schema, classes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_opens_and_its_learner_learns_from_rows(tmp_path, kind):
    """From the three files alone: one update on encoded examples, and a prediction."""
    begin(tmp_path, kind, scratch=True)
    with Project(tmp_path) as project:
        learner, schema = project.learner(), project.schema
        x = schema.decode(schema.encode_many([schema.example()] * 8))
        learner.observe(Batch(x, torch.arange(8) % 3))
        assert (8, 3) == learner.predict(x).shape
        assert torch.isfinite(learner.predict(x)).all()


def test_a_csv_file_becomes_a_project_that_has_learnt_it(tmp_path):
    """Schema, rows, labels and model fit each other; reading the file twice changes nothing."""
    (tmp_path / "rows.csv").write_text(
        "age,town,species\n" + "".join(f"{i},{'ab'[i % 2]},{i % 3}\n" for i in range(30))
    )
    begin(tmp_path / "p", sample=tmp_path / "rows.csv", label="species")
    with Project(tmp_path / "p") as project:
        for status in ("stored", "duplicate"):
            (rows,) = read_rows(tmp_path / "rows.csv", project.schema)
            assert {status} == {one.status for one in project.log.append(rows).result()}
        assert ["0", "1", "2"] == project.classes()
        learner = project.learner()
        batch = project.log.examples(0, project.log.head()).batch
        learner.observe(batch)
        assert (len(batch), 3) == learner.predict(batch.x).shape


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_learns(tmp_path, kind):
    """Two classes that are easy to tell apart, on rows that it has not seen."""
    schema = schema_of(kind)
    learner = Learner(built(tmp_path, kind, schema, 2), ER(capacity=50), optimizer=ADAM)
    features, y = examples(kind)
    x = schema.decode(schema.encode_many(features))
    for _ in range(15):
        for rows in torch.arange(len(y)).split(16):
            learner.observe(Batch(x[rows], y[rows]))
    others, expected = examples(kind, seed=1)
    answers = learner.predict(schema.decode(schema.encode_many(others))).argmax(1)
    assert (answers == expected).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_model_grows_and_a_closed_one_refuses(tmp_path, kind):
    """New classes get outputs of their own, or an error that names them."""
    x = torch.stack([schema_of(kind).decode(encoded_example(kind))[0]] * 2)
    learner = Learner(built(tmp_path, kind, schema_of(kind), 1))
    assert (2, 1) == learner.predict(x).shape
    learner.observe(Batch(x, torch.tensor([0, 4])))
    assert (2, 5) == learner.predict(x).shape
    closed = schema_of(kind, open=False, classes=("a", "b"))
    fixed = Learner(built(tmp_path / "closed", kind, closed, 2))
    assert (2, 2) == fixed.predict(x).shape
    with pytest.raises(UnseenClass):
        fixed.observe(Batch(x, torch.tensor([0, 2])))


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_offers_its_features_and_is_saved_whole(tmp_path, kind):
    """Buffers included: a loaded learner answers bit for bit the same."""
    schema = schema_of(kind)
    learner = Learner(built(tmp_path, kind, schema, 2))
    features, y = examples(kind, rows=16)
    x = schema.decode(schema.encode_many(features))
    learner.observe(Batch(x, y))
    assert (16, learner.model.backbone.out_features) == learner.features(x).shape
    learner.save(tmp_path / "learner.safetensors")
    again = Learner(built(tmp_path / "again", kind, schema, 2))
    again.load(tmp_path / "learner.safetensors")
    assert torch.equal(learner.predict(x), again.predict(x))


@pytest.mark.parametrize("kinds", [("number",), ("category",), ("category", "number", "category")])
def test_a_table_may_be_all_numbers_or_all_categories(kinds):
    """In any order; each category has vectors of its own."""
    columns = tuple(
        Column(name=str(i), type=kind, buckets=3 if kind == "category" else None)
        for i, kind in enumerate(kinds)
    )
    model = table.build(Schema(kind="table", columns=columns, open=True), 2)
    assert (5, 2) == model(torch.full((5, len(kinds)), 3.0)).shape
    assert 4 * kinds.count("category") == model.backbone.columns.embedding.num_embeddings


def test_a_text_is_the_sum_of_its_trigrams():
    """By hand, and whatever the padding; an empty text has no features."""
    backbone = text.Trigrams(buckets=97, width=3)

    def features(said, length):
        row = torch.zeros(1, length)
        row[0, : len(said)] = torch.tensor(list(said.encode())).float() / 255
        return backbone(row)[0]

    codes = [*b"abcd", 0, 0]
    parts = [codes[i] * 65536 + codes[i + 1] * 256 + codes[i + 2] for i in range(4)]
    ids = [part * 2_654_435_761 % 2**32 * 97 // 2**32 for part in parts]
    by_hand = backbone.bag.weight[ids].sum(0) / 2
    torch.testing.assert_close(by_hand, features("abcd", 4))
    torch.testing.assert_close(features("abcd", 4), features("abcd", 9))
    assert [0.0, 0.0, 0.0] == features("", 9).tolist()


def encoded_example(kind):
    schema = schema_of(kind)
    return schema.encode_many([schema.example()])


def test_an_edit_of_the_model_is_seen_at_once(tmp_path: Path) -> None:
    """Within the second, at the same length: what Python's bytecode would take for no edit."""
    model = tmp_path / "model.py"
    with tiny.project(tmp_path) as project:
        before = model.stat()
        assert project.model().training
        model.write_text(model.read_text().replace("0.1", "0.7"))
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
        drops = [m.p for m in project.model().modules() if isinstance(m, nn.Dropout)]
    assert [0.7] == drops
    assert not (tmp_path / "__pycache__").exists()
