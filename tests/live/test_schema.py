"""The schema as a whole: its settings, its classes, and how it is told from another."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perdure.live.refusals import RowRefused
from perdure.live.schema import Column, Fields, Schema, class_name

KINDS = {
    "tensor": {"shape": (3,)},
    "table": {"columns": ({"name": "a"}, {"name": "b", "type": "category"})},
    "text": {"length": 20},
    "image": {"channels": 3, "height": 8, "width": 8},
}
CLOSED = Schema(kind="tensor", shape=(2,), classes=("cat", "dog", "7"))


def of(kind, **changed):
    return Schema(**{"kind": kind, "open": True, **KINDS[kind], **changed})


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_what_its_settings_say(kind):
    """Through plain values and back, it is equal and has the same digest."""
    schema = of(kind)
    again = Schema.model_validate(json.loads(schema.model_dump_json()))
    assert schema == again
    assert schema.digest() == again.digest()


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_every_kind_travels_as_json(kind):
    """It is valid after a round trip, and fills exactly one row."""
    schema = of(kind)
    example = json.loads(json.dumps(schema.example()))
    assert schema.row_bytes == len(schema.encode(example))
    assert 1 == len(schema.decode(schema.encode_many([example])))


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_is_told_what_a_row_is(kind):
    """On one line, with the number of classes."""
    said = of(kind, classes=("a", "b")).describe()
    assert "\n" not in said
    assert "2 classes and whatever comes" in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_settings_of_another_kind_are_refused_by_name(kind, other):
    """A shape says nothing about a table."""
    if kind != other:
        with pytest.raises(ValidationError, match=f"kind '{kind}' has no .* that is of {other}"):
            of(kind, **KINDS[other])


@pytest.mark.parametrize("kind", KINDS)
def test_settings_that_the_kind_needs_are_asked_for(kind):
    """Each by its name."""
    with pytest.raises(ValidationError, match=f"kind '{kind}' needs {next(iter(KINDS[kind]))}"):
        Schema(kind=kind, open=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"open": False}, "name the classes, or set open = true"),
        ({"classes": ("a", " a ")}, "classes hold 'a' more than once"),
        ({"classes": ("a", "")}, "a class 'label' is ''; a class is named"),
        ({"classes": ("a", "b"), "max_classes": 1}, "2 classes are more than"),
        ({"shape": (3, 0)}, "size below 1"),
        ({"shape": (2**14, 2**14)}, "a row takes 1,073,741,824 bytes"),
        ({"dtype": "float16"}, "float32"),
        ({"colour": 1}, "not permitted"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, said):
    """When the schema is made."""
    with pytest.raises(ValidationError, match=said):
        of("tensor", **changed)


def test_an_unknown_kind_is_refused():
    """And the message names those that there are."""
    with pytest.raises(ValidationError, match="'tensor', 'table', 'text' or 'image'"):
        Schema(kind="sound", open=True)


def test_columns_have_different_names():
    """Two of one name could not be told apart."""
    with pytest.raises(ValidationError, match="columns hold 'a' more than once"):
        of("table", columns=(Column(name="a"), Column(name="a", max=3)))


def test_a_schema_never_changes():
    """It is frozen, down to its lists, and can be a key."""
    with pytest.raises(ValidationError, match="frozen"):
        CLOSED.open = True
    assert ("cat", "dog", "7") == CLOSED.classes
    assert 1 == len({CLOSED, CLOSED.model_copy()})


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": (4,)},
        {"dtype": "uint8"},
        {"classes": ("a",)},
        {"open": False, "classes": ("a",)},
        {"tasks": True},
        {"max_classes": 5},
    ],
)
def test_another_meaning_is_another_digest(changed):
    """Whatever changes what rows or labels are."""
    assert of("tensor").digest() != of("tensor", **changed).digest()


def test_the_digest_is_the_same_for_ever():
    """A number written down; names of columns in files do not count."""
    schema = of("table", fields=Fields(label="species"))
    assert of("table").digest() == schema.digest()
    assert "913982da7ad9e610543338de1f9427c102ee7b8ca39843ea42f432e8bb97e0f2" == schema.digest()


@pytest.mark.parametrize(
    ("label", "name"),
    [("cat", "cat"), (" dog ", "dog"), (7, "7"), ("7", "7"), (7.0, "7")],
    ids=repr,
)
def test_a_label_is_a_class_by_name(label, name):
    """An integer is the class that it prints as, never a position."""
    assert name == CLOSED.check_label(label)


@pytest.mark.parametrize("label", ["bird", 0, "Cat", True])
def test_an_unknown_class_of_a_closed_label_space_is_refused(label):
    """The message names those that there are."""
    with pytest.raises(RowRefused, match="closed: 'cat', 'dog', '7'; give one of them") as refused:
        CLOSED.check_label(label)
    assert "label" == refused.value.field


def test_a_long_list_of_classes_is_cut_short():
    """Twenty are enough for a message."""
    schema = Schema(kind="tensor", shape=(2,), classes=tuple(map(str, range(1000))))
    with pytest.raises(RowRefused, match=r"'19', \.\.\.; give one") as refused:
        schema.check_label("cat")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "label", ["", "  ", "a\nb", "a\0", "x" * 201, None, 1.5, 1e60, 2**63, ["cat"], b"cat"]
)
def test_what_can_be_no_name_is_refused_even_where_labels_may_be_new(label):
    """Empty, too long, on two lines, or no text at all."""
    with pytest.raises(RowRefused, match="'label' is"):
        of("tensor").check_label(label)


@given(st.text() | st.integers() | st.booleans())
def test_a_name_of_a_name_is_that_name(label):
    """What one process stored another reads as the same class."""
    try:
        name = class_name(label)
    except RowRefused:
        return
    assert name == class_name(name)


def test_an_open_label_space_takes_new_names():
    """How many there may be is the log's affair, which knows those that came."""
    assert "unicorn" == of("tensor", classes=("horse",)).check_label("unicorn")
