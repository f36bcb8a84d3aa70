"""The check that stands between a written graph and its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from perdure import Batch, Learner
from perdure.errors import Impossible, InvalidValue
from perdure.export.checked import TOLERANCE, Ask, Exported, as_text, described, kept
from perdure.methods import ER


class Affine(nn.Module):
    """Outputs (n, 2) that can be worked out by hand: the input's sum, and 100."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        total = self.scale * x.sum(1)
        return torch.stack([total, torch.full_like(total, 100.0)], 1)


PROBE = torch.tensor([[0.0, 1.0], [2.0, 2.0], [99.0, 51.0]])  # sums 1, 4 and 150


def asked(folder: Path, answer: Ask, tolerance: float = TOLERANCE) -> Exported:
    """Keep a file whose graph would answer so."""
    beside = folder / "beside"
    beside.write_bytes(b"a graph")
    learner = Learner(Affine())
    return kept(folder / "model", learner, PROBE, tolerance, {"a": 1}, lambda _: answer, beside)


def true(x: Tensor) -> Tensor:
    return Affine()(x).detach()


def test_what_answers_alike_gets_its_name(tmp_path: Path) -> None:
    """With its size, the rows that were asked and what was found."""
    made = asked(tmp_path, true)
    assert ["model"] == [path.name for path in tmp_path.iterdir()]
    assert Exported(tmp_path / "model", 7, 3, 0.0, 1.0, {"a": 1}) == made
    assert str(tmp_path / "model") == json.loads(json.dumps(made.to_dict()))["path"]


def test_an_answer_that_is_no_number_is_no_match(tmp_path: Path) -> None:
    """Whether to all rows or to one alone, as where a graph divides by a row's deviation."""
    for rows in (1, len(PROBE)):

        def broken(x: Tensor, rows: int = rows) -> Tensor:
            return true(x) * (float("nan") if len(x) == rows else 1.0)

        with pytest.raises(Impossible, match="largest difference on 3 rows is nan"):
            asked(tmp_path, broken)
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("row", "column", "by", "scaled"),
    [(0, 0, 0.5, 0.25), (1, 0, -0.5, 0.1), (2, 1, 1.01, 0.01), (2, 0, -15.1, 0.1)],
)
def test_the_difference_is_relative_to_one_and_the_output(
    tmp_path: Path, row: int, column: int, by: float, scaled: float
) -> None:
    """|found - wanted| / (1 + |wanted|), by hand; the message holds it, and it decides."""

    def off(x: Tensor) -> Tensor:
        out = true(x)
        if len(x) > row:
            out[row, column] += by
        return out

    largest = f"{scaled:.3g}"
    with pytest.raises(Impossible, match=rf"on 3 rows is {largest}, and 0\.0001 is allowed"):
        asked(tmp_path, off)
    assert [] == list(tmp_path.iterdir())
    made = asked(tmp_path, off, tolerance=1.01 * scaled)
    assert scaled == pytest.approx(made.largest_difference, rel=1e-5)
    with pytest.raises(Impossible):
        asked(tmp_path, off, tolerance=0.99 * scaled)


def test_a_number_that_is_none_is_no_match(tmp_path: Path) -> None:
    """Whatever the tolerance."""

    def nothing(x: Tensor) -> Tensor:
        return torch.full((len(x), 2), float("nan"))

    for tolerance in (TOLERANCE, 1e9):
        with pytest.raises(Impossible, match="largest difference on 3 rows is nan"):
            asked(tmp_path, nothing, tolerance)


def test_outputs_of_another_shape_are_no_match(tmp_path: Path) -> None:
    """One class too many, or answers for other rows, are not compared by stretching them."""
    for cut in (lambda out: out[:, :1], lambda out: out[:1], lambda out: out[0]):
        with pytest.raises(Impossible, match="is inf"):
            asked(tmp_path, lambda x, cut=cut: cut(true(x)), tolerance=1e9)


def test_one_row_alone_is_asked_as_well(tmp_path: Path) -> None:
    """A graph that was traced for many rows may go wrong for one."""

    def many(x: Tensor) -> Tensor:
        return true(x) + (len(x) == 1)

    with pytest.raises(Impossible, match=r"is 0\.5"):  # 1 off, where the learner answers 1
        asked(tmp_path, many)


def test_labels_are_compared_beside_numbers(tmp_path: Path) -> None:
    """Two of three rows have the same likeliest class, which the tolerance says nothing about."""

    def turned(x: Tensor) -> Tensor:
        out = true(x)
        return torch.cat([out[:2], out[2:].flip(1)])

    assert 2 / 3 == pytest.approx(asked(tmp_path, turned, tolerance=9.0).same_label)


def test_a_file_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    """And what had the name before has it still."""
    (tmp_path / "model").write_bytes(b"old")

    def broken(path: Path) -> Ask:
        raise OSError("the disk is full")

    beside = tmp_path / "beside"
    beside.write_bytes(b"new")
    with pytest.raises(OSError, match="disk is full"):
        kept(tmp_path / "model", Learner(Affine()), PROBE, 1.0, {}, broken, beside)
    assert {"model": b"old"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_description_names_classes_inputs_and_methods() -> None:
    """Names that were given, in their order; numbers where none were."""
    learner = Learner(Affine(), ER(capacity=7))
    learner.observe(Batch(PROBE, torch.tensor([0, 1, 1])))
    said = described(learner, PROBE, ["no", "yes"])
    assert (["no", "yes"], ["ER(capacity=7)"]) == (said["classes"], said["methods"])
    assert {"dtype": "float32", "shape": [2]} == said["input"]
    assert ["0", "1"] == described(learner, PROBE, [])["classes"]
    assert ["no"] == described(learner, PROBE, ["no"])["classes"]  # a wider head has spare outputs
    with pytest.raises(InvalidValue, match="3 classes were named and the learner has 2 outputs"):
        described(learner, PROBE, ["a", "b", "c"])


plain = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(min_size=1), plain, max_size=4))
def test_metadata_is_text_that_comes_back(metadata: dict[str, object]) -> None:
    """Texts as they are, anything else as JSON."""
    for key, value in as_text(metadata).items():
        assert isinstance(value, str)
        assert metadata[key] == (value if isinstance(metadata[key], str) else json.loads(value))
