"""The Open Inference Protocol and MLflow's: what goes in, what comes out, and under which id."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

pytestmark = pytest.mark.anyio
A, B = [0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -2.0, 3.25]
INFER = "/v2/models/flowers/infer"


async def test_an_answer_has_probabilities_a_label_and_an_id_for_each_row(
    client, project, question, outputs, expected
) -> None:
    """The numbers are those of the version in the header, to the last bit."""
    answer = await client.post(INFER, json=question(A, B))
    held = outputs(answer)
    assert "1" == answer.headers["X-Model-Version"] == answer.json()["model_version"]
    assert expected(project, 1, [A, B]) == held["probabilities"]
    assert ["rose", "lily", "iris"] == held["classes"]
    rows = np.reshape(held["probabilities"], (2, 3))
    assert [held["classes"][i] for i in rows.argmax(1)] == held["label"]
    assert 2 == len(set(held["prediction_id"]))


async def test_the_output_follows_the_protocol(client, question) -> None:
    """Names, datatypes and shapes that agree with the data; the request's id comes back."""
    answer = (await client.post(INFER, json={"id": "abc", **question(A, B)})).json()
    assert ("flowers", "1", "abc") == tuple(
        answer[k] for k in ("model_name", "model_version", "id")
    )
    said = [(o["name"], o["datatype"], o["shape"]) for o in answer["outputs"]]
    assert [
        ("probabilities", "FP32", [2, 3]),
        ("label", "BYTES", [2]),
        ("prediction_id", "BYTES", [2]),
        ("classes", "BYTES", [3]),
    ] == said
    assert all(np.prod(o["shape"]) == len(o["data"]) for o in answer["outputs"])


async def test_only_the_outputs_that_are_asked_for_are_given(client, question) -> None:
    """`outputs` names them."""
    body = {**question(A), "outputs": [{"name": "label"}]}
    assert ["label"] == [o["name"] for o in (await client.post(INFER, json=body)).json()["outputs"]]


async def test_the_data_may_be_flat_nested_or_bytes(client, question, outputs) -> None:
    """Three ways to say the same rows give the same answer."""
    flat = question(A, B)
    tensor = flat["inputs"][0]
    nested = {"inputs": [{**tensor, "data": [A, B]}]}
    data = np.array([A, B], "<f4").tobytes()
    said = {**tensor, "parameters": {"binary_data_size": len(data)}}
    del said["data"]
    head = json.dumps({"inputs": [said]}).encode()
    answers = [
        await client.post(INFER, json=flat),
        await client.post(INFER, json=nested),
        await client.post(
            INFER,
            content=head + data,
            headers={"Inference-Header-Content-Length": str(len(head))},
        ),
    ]
    assert 1 == len({tuple(outputs(answer)["probabilities"]) for answer in answers})


async def test_one_version_is_asked_by_its_number(
    client, project, question, outputs, expected
) -> None:
    """Whoever serves, version 3 answers for itself; there is no version 4."""
    answer = await client.post("/v2/models/flowers/versions/3/infer", json=question(A))
    assert "3" == answer.headers["X-Model-Version"]
    assert expected(project, 3, [A]) == outputs(answer)["probabilities"]
    for version in ("4", "0", "x", "9" * 30):
        answer = await client.post(f"/v2/models/flowers/versions/{version}/infer", json=question(A))
        assert 404 == answer.status_code
        assert "version" == answer.json()["field"]


async def test_a_label_finds_its_answer_by_the_prediction_id(
    client, project, question, outputs
) -> None:
    """The answered row becomes an example, with what was predicted beside it."""
    held = outputs(await client.post(INFER, json=question(A, subject="ada", id="visit-1")))
    assert ["visit-1"] == held["prediction_id"]
    given = {"labels": [{"id": "visit-1", "label": "lily"}]}
    answer = await client.post("/v1/models/flowers/labels", json=given)
    assert [{"id": "visit-1", "status": "joined"}] == answer.json()["labels"]
    row = project.database.one(
        "SELECT subject, source, version, p.label, e.label AS given, confidence"
        " FROM rows JOIN predictions p USING (position) JOIN examples e USING (position)"
    )
    picked = int(np.argmax(held["probabilities"]))
    assert ("ada", "admin", 1, picked, 1) == tuple(row)[:5]
    assert max(held["probabilities"]) == pytest.approx(row["confidence"])
    assert A == project.log.features([1])[0].tolist()


async def test_rows_may_have_ids_and_subjects_each(client, project, question, outputs) -> None:
    """Inputs of these names say them row by row; an empty text is none."""
    body = question(A, B)
    body["inputs"] += [
        {"name": "id", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
        {"name": "subject", "shape": [2, 1], "datatype": "BYTES", "data": ["ada", ""]},
    ]
    assert ["a", "b"] == outputs(await client.post(INFER, json=body))["prediction_id"]
    rows = project.database.read("SELECT id, subject FROM rows ORDER BY position")
    assert [("a", "ada"), ("b", None)] == [tuple(row) for row in rows]


async def test_asking_again_under_one_id_is_the_same_question(client, project, question) -> None:
    """The same row is in the log once; another row under its id is a conflict."""
    for _ in range(2):
        assert 200 == (await client.post(INFER, json=question(A, id="x"))).status_code
    answer = await client.post(INFER, json=question(B, id="x"))
    assert (409, "id") == (answer.status_code, answer.json()["field"])
    assert 1 == project.database.value("SELECT count(*) FROM rows")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shape": [1, 5]}, "inputs[0].data"),
        ({"shape": [0, 4], "data": []}, "inputs"),
        ({"data": [1, 2, 3, "x"]}, "inputs[0].data"),
        ({"data": [[1, 2], [3]]}, "inputs[0].data"),
        ({"data": [1, 2, 3, 1e39]}, "features[3]"),
        ({"shape": [4, 1]}, "features"),
        ({"datatype": "FP12"}, "inputs.0.datatype"),
        ({"data": None}, "inputs[0].data"),
        ({"name": None}, "inputs.0.name"),
        ({"shape": []}, "inputs.0.shape"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name(
    client, project, question, change, field
) -> None:
    """422 with the place that is wrong, in the protocol's shape; nothing is stored."""
    body = question(A)
    body["inputs"][0].update(change)
    answer = await client.post(INFER, json=body)
    assert (422, "invalid") == (answer.status_code, answer.json()["code"])
    assert field == answer.json()["field"]
    assert isinstance(answer.json()["error"], str)
    assert 0 == project.database.value("SELECT count(*) FROM rows")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "at least 1 item"),
        ([("id", ["a"])], "at least one input with features"),
        ([("a", [1.0] * 4), ("a", [1.0] * 4)], "two inputs have this name"),
        ([("a", [1.0] * 4), ("b", [1.0] * 4)], "one input of features"),
        ([("a", [1.0] * 4), ("id", ["x", "y"])], "differ in their number of rows"),
        ([("a", [1.0] * 4), ("id", [7])], "give one text a row"),
        ([("a", [1.0] * 4), ("task", ["x"])], "give one integer a row"),
    ],
)
async def test_inputs_that_contradict_each_other_are_refused(client, inputs, message) -> None:
    """Each with a sentence that says which."""
    said = [
        {
            "name": name,
            "shape": [len(data)] if name in ("id", "task") else [1, 4],
            "datatype": "FP32" if isinstance(data[0], float) else "BYTES",
            "data": data,
        }
        for name, data in inputs
    ]
    answer = await client.post(INFER, json={"inputs": said})
    assert 422 == answer.status_code
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("length", "size", "message"),
    [
        ("999", 16, "give the bytes of the JSON part"),
        ("x", 16, "give the bytes of the JSON part"),
        (None, 15, "15 bytes are no whole number of FP32"),
        (None, 12, "4 bytes belong to no input"),
        (None, 20, "16 bytes are left"),
        (None, -1, "16 bytes are left"),
    ],
)
async def test_bytes_that_do_not_add_up_are_refused(client, length, size, message) -> None:
    """Whatever the sizes say, nothing is read beyond the body and nothing is left over."""
    said = {"name": "x", "shape": [1, 4], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**said, "parameters": {"binary_data_size": size}}]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    data = np.zeros(4, "<f4").tobytes()
    answer = await client.post(INFER, content=head + data, headers=headers)
    assert 422 == answer.status_code
    # Twelve bytes are three numbers: the shape is what is wrong first.
    assert message in answer.json()["error"] or (size == 12 and "3 elements" in answer.text)


async def test_another_models_name_is_not_found(client, question) -> None:
    """The refusal says which model is here."""
    for method, path in (("POST", "infer"), ("GET", "ready"), ("GET", "")):
        answer = await client.request(method, f"/v2/models/trees/{path}".rstrip("/"), json={})
        assert 404 == answer.status_code
        assert "this service has 'flowers'" in answer.json()["error"]


async def test_metadata_describe_rows_and_versions(client) -> None:
    """-1 stands for any number of rows."""
    said = (await client.get("/v2/models/flowers")).json()
    assert [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}] == said["inputs"]
    assert ["1", "2", "3"] == said["versions"]
    one = (await client.get("/v2/models/flowers/versions/2")).json()
    assert ["2"] == one["versions"]
    assert "flowers" == (await client.get("/v2")).json()["model"]


async def test_health_says_whether_anything_can_answer(begin, add_version, serve, question) -> None:
    """Live at once; ready, for every protocol, when a version serves; 503 with a reason until."""
    project = begin()
    ready = ["/v2/health/ready", "/ping", "/v2/models/flowers/ready"]
    async with serve(project) as client:
        assert {"live": True} == (await client.get("/v2/health/live")).json()
        assert [503] * 3 == [(await client.get(path)).status_code for path in ready]
        answer = await client.post(INFER, json=question(A))
        assert 503 == answer.status_code
        assert "no version serves yet" in answer.json()["error"]
        assert int(answer.headers["Retry-After"]) > 0
        project.registry.promote(add_version(project), actor="tester", reason="first")
        await client.service.server.follow()
        assert [200] * 3 == [(await client.get(path)).status_code for path in ready]
        assert 200 == (await client.post(INFER, json=question(A))).status_code


async def test_the_repository_lists_loads_and_says_what_is_loaded(client, project) -> None:
    """`load` brings a version beside the one that serves, which stays."""
    states = {
        entry["version"]: entry["state"]
        for entry in (await client.post("/v2/repository/index", json={})).json()
    }
    assert {"1": "READY", "2": "UNAVAILABLE", "3": "UNAVAILABLE"} == states
    body = {"parameters": {"version": 2}}
    answer = await client.post("/v2/repository/models/flowers/load", json=body)
    assert {"name": "flowers", "version": "2"} == answer.json()
    loaded = (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert ["1", "2"] == sorted(entry["version"] for entry in loaded)
    assert "1" == (await client.post("/v2/repository/models/flowers/load")).json()["version"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [A, B]},
        {"instances": [A, B]},
        {"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": [A, B]}},
        {
            "dataframe_records": [
                dict(zip("abcd", A, strict=True)),
                dict(zip("abcd", B, strict=True)),
            ]
        },
        {
            "inputs": {
                name: list(cells)
                for name, cells in zip("abcd", zip(A, B, strict=True), strict=True)
            }
        },
    ],
    ids=["inputs", "instances", "split", "records", "columns"],
)
async def test_mlflows_clients_are_answered(client, project, expected, body) -> None:
    """Each of MLflow's forms is the same question."""
    answer = await client.post("/invocations", json=body)
    said = answer.json()
    assert expected(project, 1, [A, B]) == [p for row in said["probabilities"] for p in row]
    assert [said["classes"][int(np.argmax(row))] for row in said["probabilities"]] == said[
        "predictions"
    ]
    assert "1" == answer.headers["X-Model-Version"]
    assert 2 == project.database.value("SELECT count(*) FROM predictions")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "give exactly one of"),
        ({"inputs": [A], "instances": [A]}, "give exactly one of"),
        ({"inputs": []}, "at least one row"),
        ({"inputs": {"a": [1], "b": []}}, "columns differ in length"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "2 values for 1 columns"),
        ({"instances": [A, B], "params": {"id": "x"}}, "one id cannot name 2 rows"),
    ],
)
async def test_mlflows_wrong_forms_are_refused(client, body, message) -> None:
    """In the shape of this service's other refusals."""
    answer = await client.post("/invocations", json=body)
    assert 422 == answer.status_code
    assert message in answer.json()["error"]["message"]


async def test_mlflows_version_is_that_of_perdure(client) -> None:
    """A word that MLflow's clients ask for."""
    from perdure import __version__

    assert {"version": __version__} == (await client.get("/version")).json()


async def test_every_answer_has_a_request_id(client, question) -> None:
    """The caller's own where it is a plain word, another one where not; errors have one too."""
    given = await client.get("/v2", headers={"X-Request-Id": "abc-1"})
    assert "abc-1" == given.headers["X-Request-Id"]
    for path, sent in (("/v2", "two words"), ("/nowhere", ""), ("/v1/jobs/99", "x" * 200)):
        answer = await client.get(path, headers={"X-Request-Id": sent})
        assert sent != answer.headers["X-Request-Id"]
        assert answer.headers["X-Request-Id"]


TABLE = """
kind = "table"
classes = ["no", "yes"]
columns = [{ name = "age" }, { name = "city", type = "category", buckets = 8 }]
"""
OF_TABLE = (
    "from torch.nn import Linear\n\n\ndef build(schema, classes):\n    return Linear(2, classes)"
)
TEXT = 'kind = "text"\nlength = 8\nclasses = ["no", "yes"]'
OF_TEXT = """
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(x.float())


def build(schema, classes):
    return Model()
"""


def as_bytes(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@pytest.mark.parametrize(
    ("schema", "model", "ways"),
    [
        (
            TABLE,
            OF_TABLE,
            [
                [("age", "FP32", [41.0]), ("city", "BYTES", ["rome"])],
                [("rows", "BYTES", ['{"age": 41, "city": "rome"}'])],
                [("rows", "BYTES", ['[41, "rome"]'])],
            ],
        ),
        (TEXT, OF_TEXT, [[("text", "BYTES", ["hello"])], [("x", "BYTES", [b"hello"])]]),
    ],
    ids=["table", "text"],
)
async def test_rows_of_any_kind_go_in(
    begin, add_version, serve, outputs, schema, model, ways
) -> None:
    """Columns, JSON rows, texts, and texts as bytes; all ways of one kind give one answer."""
    project = begin(schema=schema, model=model)
    project.registry.promote(add_version(project), actor="tester", reason="first")
    answers = []
    async with serve(project) as client:
        for way in ways:
            inputs, data = [], b""
            for name, datatype, cells in way:
                said = {"name": name, "datatype": datatype, "shape": [1]}
                if isinstance(cells[0], bytes):
                    packed = as_bytes(cells)
                    said["parameters"] = {"binary_data_size": len(packed)}
                    data += packed
                else:
                    said["data"] = cells
                inputs.append(said)
            head = json.dumps({"inputs": inputs}).encode()
            headers = {"Inference-Header-Content-Length": str(len(head))}
            answers.append(await client.post(INFER, content=head + data, headers=headers))
    assert 1 == len({tuple(outputs(answer)["probabilities"]) for answer in answers})
