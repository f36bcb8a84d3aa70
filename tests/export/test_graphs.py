"""A graph answers as the learner does, without perdure, or is not written at all."""

from __future__ import annotations

import copy
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from perdure import Batch, Learner, export
from perdure.errors import Impossible, InvalidValue
from perdure.method import Method
from perdure.methods import ER, NCM, SLDA, ICaRL, LoRA, PackNet, Prompts, RanPAC, Ridge
from perdure.nets import (
    CNN,
    MLP,
    Classifier,
    FixedHead,
    Flat,
    GrowingHead,
    MultiHead,
    NoHead,
    Patches,
    Prompted,
    Transformer,
    lora,
)

SHAPE = (1, 8, 8)
Writer = Callable[..., export.Exported]


def images(rows: int, seed: int = 0) -> Tensor:
    """Raw images of three kinds, (rows, 1, 8, 8) uint8."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 90, (rows, *SHAPE), generator=drawn, dtype=torch.uint8)
    for row in range(rows):
        x[row, 0, row % 3] += 160
    return x


def taught(model: nn.Module, *methods: Method, closes: bool = True) -> Learner:
    """A learner of three classes."""
    learner = Learner(model, *methods)
    rows = Batch(images(30), torch.arange(30) % 3)
    for _ in range(3):
        learner.observe(rows)
    if closes:
        learner.consolidate(rows.seen())
    return learner


def mlp() -> nn.Module:
    return Classifier(MLP(64, (16,)), GrowingHead(16))


def adapted() -> nn.Module:
    return Classifier(lora(MLP(64, (16,)), rank=2, alpha=2), GrowingHead(16))


def prompted() -> nn.Module:
    encoder = Transformer(Patches(SHAPE, 4, 8), depth=1, heads=2)
    return Classifier(Prompted(encoder, 2), GrowingHead(8))


def taught_by_tasks(model: nn.Module, method: Method) -> Learner:
    """A learner of two classes, then of a third."""
    learner, x, y = Learner(model, method), images(30), torch.arange(30) % 3
    for task, among in enumerate((y < 2, y == 2)):
        rows = Batch(x[among], y[among], torch.full((int(among.sum()),), task))
        for _ in range(3):
            learner.observe(rows)
        learner.consolidate(rows.seen())
    return learner


def asked_onnx(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def asked_torch(path: Path, x: Tensor) -> Tensor:
    return torch.export.load(path).module()(x).detach()


Written = tuple[Learner, Path, export.Exported]
FORMATS = {"model.onnx": (export.onnx, asked_onnx), "model.pt2": (export.program, asked_torch)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """A learner with its graph in both formats, by the name of its method."""
    made = {}
    for method in (ER(capacity=10), ICaRL(capacity=9)):
        learner, folder = taught(mlp(), method), tmp_path_factory.mktemp(method.name)
        for file, (write, _) in FORMATS.items():
            found = write(learner, images(4), folder / file, classes=["red", "green", "blue"])
            assert found.largest_difference < 1e-5
        made[method.name] = (learner, folder, found)
    return made


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("method", ["er", "icarl"])
def test_a_graph_answers_as_the_learner_does(
    written: dict[str, Written], method: str, file: str
) -> None:
    """For one row and for many that it has not seen, from raw images, class means included."""
    learner, folder, _ = written[method]
    for rows in (1, 2, 17):
        x = images(rows, seed=rows)
        assert torch.allclose(learner.predict(x), FORMATS[file][1](folder / file, x), atol=1e-5)


def test_class_means_are_in_the_graph(written: dict[str, Written]) -> None:
    """What iCaRL answers is not what its head would say."""
    learner, folder, _ = written["icarl"]
    x = images(6, seed=5)
    head = learner.forward(learner.prepare(x), None)
    assert not torch.allclose(head, asked_torch(folder / "model.pt2", x), atol=0.1)


@pytest.mark.parametrize("method", [NCM(), SLDA(), Ridge(), RanPAC(projections=32)], ids=repr)
def test_closed_forms_are_in_the_graph(method: Method, tmp_path: Path) -> None:
    """A model without a head answers by what its method decides, in float64 as before."""
    learner = taught(Classifier(Flat(64), NoHead(64)), method)
    assert export.program(learner, images(4), tmp_path / "model.pt2").largest_difference < 1e-6
    x = images(7, seed=5)
    assert torch.allclose(learner.predict(x), asked_torch(tmp_path / "model.pt2", x), atol=1e-6)


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize(
    ("model", "method"), [(adapted, LoRA()), (prompted, Prompts())], ids=["LoRA", "Prompts"]
)
def test_parts_that_answer_together_are_in_the_graph(
    model: Callable[[], nn.Module], method: Method, file: str, tmp_path: Path
) -> None:
    """Adapters and prompts of all tasks, for any number of rows."""
    learner = taught_by_tasks(model(), copy.deepcopy(method))
    write, ask = FORMATS[file]
    write(learner, images(4), tmp_path / file)
    for rows in (1, 7):
        x = images(rows, seed=5)
        assert torch.allclose(learner.predict(x), ask(tmp_path / file, x), atol=1e-5)


def test_convolutions_are_written_too(tmp_path: Path) -> None:
    """With batch normalisation as it is at inference."""
    learner = taught(Classifier(CNN(1), FixedHead(CNN(1).out_features, 3)), ER(capacity=10))
    made = export.onnx(learner, images(2), tmp_path / "model.onnx", probe=images(9, seed=1))
    assert (9, 1.0) == (made.rows, made.same_label)


def test_exporting_changes_nothing(tmp_path: Path) -> None:
    """The learner goes on as if it had not been exported."""
    learner, other = taught(mlp(), ER(capacity=10)), taught(mlp(), ER(capacity=10))
    other.load_state_dict(learner.state_dict())
    export.program(learner, images(4), tmp_path / "model.pt2")
    more = Batch(images(12, seed=3), torch.arange(12) % 3)
    learner.observe(more), other.observe(more)
    assert torch.equal(learner.predict(images(5)), other.predict(images(5)))


def test_a_file_says_what_it_takes_and_gives(written: dict[str, Written]) -> None:
    """Names of classes, dtype and shape of inputs, and the methods, in both formats."""
    _, folder, made = written["er"]
    held = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}
    assert ["red", "green", "blue"] == json.loads(held["classes"])
    assert {"dtype": "uint8", "shape": list(SHAPE)} == json.loads(held["input"])
    files = {"perdure.json": ""}
    torch.export.load(folder / "model.pt2", extra_files=files)
    assert made.metadata == json.loads(files["perdure.json"])
    assert ["ER(capacity=10)"] == made.metadata["methods"]


def test_the_onnx_graph_is_valid_and_takes_any_number_of_rows(written: dict[str, Written]) -> None:
    """ONNX's own checker passes it, and the first dimension has a name in place of a number."""
    graph = onnx.load(written["er"][1] / "model.onnx")
    onnx.checker.check_model(graph)
    assert "rows" == graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_no_row_and_no_folder_of_this_machine_is_in_the_file(
    written: dict[str, Written], root: Path
) -> None:
    """Neither the example's bytes, nor the memory's, nor where the source lies."""
    _, folder, _ = written["icarl"]
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        parts = [archive.read(name) for name in archive.namelist()]
    for data in (*parts, (folder / "model.onnx").read_bytes()):
        assert str(root).encode() not in data
        assert not any(row.numpy().tobytes() in data for row in images(30))


class Rounds(Method):
    """Answers with numpy, which no graph can hold."""

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        return torch.from_numpy(np.round(out.cpu().numpy()))


class Doubts(Method):
    """Answers by a branch on a value."""

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        return out if float(out.max()) > 0 else -out


class Counts(Method):
    """Answers by Python's number of rows."""

    def decide(self, learner: Learner, x: Tensor, out: Tensor, task: Tensor | None) -> Tensor:
        return out + torch.zeros(len(x), 1)


class Reads(nn.Module):
    """A model whose preparation is Python's, as a tokeniser's is."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 3)

    def prepare(self, x: Tensor) -> Tensor:
        return torch.tensor([[float(len(bytes(row.tolist()).rstrip(b"\0")))] for row in x])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


@pytest.mark.parametrize(
    ("learner", "named"),
    [
        (lambda: taught(mlp(), Rounds()), "what Rounds decides"),
        (lambda: taught(mlp(), ER(capacity=10), Doubts()), "what Doubts decides"),
        (
            lambda: taught(mlp(), Counts()),
            "what Counts decides cannot be written as a graph: it fixes",
        ),
        (lambda: Learner(Reads()), "the preparation of raw inputs"),
        (lambda: taught_by_tasks(adapted(), LoRA(route="nearest")), "what LoRA decides"),
    ],
    ids=["numpy", "a branch", "a length", "a tokeniser", "the nearest task"],
)
def test_what_is_no_graph_is_refused_by_name(
    learner: Callable[[], Learner], named: str, tmp_path: Path
) -> None:
    """The message says which part it is, and there is no file."""
    rows = torch.zeros(2, 5, dtype=torch.uint8) if "prep" in named else images(2)
    with pytest.raises(Impossible, match=re.escape(named)):
        export.program(learner(), rows, tmp_path / "model.pt2")
    assert [] == list(tmp_path.iterdir())


class Noisy(nn.Module):
    """A model that answers by chance even at inference."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)) + torch.rand(x.shape[0], 3)


@pytest.mark.parametrize("file", FORMATS)
def test_a_graph_that_answers_otherwise_is_not_kept(file: str, tmp_path: Path) -> None:
    """The largest difference is in the message."""
    write, _ = FORMATS[file]
    with pytest.raises(Impossible, match=r"largest difference on 4 rows is 0\.\d+"):
        write(Learner(Noisy()), images(4), tmp_path / file)
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_there_stays_where_the_new_one_fails(tmp_path: Path) -> None:
    """And is replaced in one step where it does not."""
    path = tmp_path / "model.pt2"
    path.write_bytes(b"old")
    with pytest.raises(Impossible):
        export.program(Learner(Noisy()), images(4), path)
    assert b"old" == path.read_bytes()
    export.program(taught(mlp()), images(4), path)
    assert b"old" != path.read_bytes()


def test_task_ids_are_no_input_of_a_graph(tmp_path: Path) -> None:
    """A head for each task is chosen by values; so are weights, adapters and prompts by them."""
    many = Classifier(MLP(64, (16,)), MultiHead(16, {0: 3, 1: 3}))
    for learner, asking in (
        (Learner(many), "Classifier"),
        (taught_by_tasks(mlp(), PackNet(tasks=2)), "PackNet"),
        (taught_by_tasks(adapted(), LoRA(route="task")), "LoRA"),
        (taught_by_tasks(prompted(), Prompts(route="task")), "Prompts"),
    ):
        with pytest.raises(Impossible, match=f"{asking} chooses its parts by the task ids"):
            export.program(learner, images(2), tmp_path / "model.pt2")


def test_nothing_learnt_and_nothing_asked_is_refused(tmp_path: Path) -> None:
    """A head without outputs, an example without rows, and more names than outputs."""
    path = tmp_path / "model.pt2"
    with pytest.raises(InvalidValue, match="knows no class yet"):
        export.program(Learner(mlp()), images(2), path)
    with pytest.raises(InvalidValue, match="no rows"):
        export.program(taught(mlp()), images(0), path)
    with pytest.raises(InvalidValue, match="4 classes"):
        export.program(taught(mlp()), images(2), path, classes=["a", "b", "c", "d"])
