"""`perdure init`: three files from which everything else works."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from perdure.errors import InvalidValue
from perdure.live import start
from perdure.live.schema import Column, Fields, Schema
from perdure.live.settings import Settings
from perdure.live.start import as_toml, begin

KINDS = ("tensor", "table", "text", "image")
CHOSEN = {("name",), ("learner", "epochs"), ("triggers", "count")}
"""Settings that a new project does not leave at their default."""


def lines(path, *text):
    path.write_text("\n".join(text) + "\n")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_project_of_every_kind_can_be_read(tmp_path, kind):
    """Its settings are valid and say what was promised."""
    begun = begin(tmp_path / "here" / "shop", kind)
    settings = Settings.load(begun.directory / "perdure.toml")
    assert begun.schema == settings.schema_
    assert (kind, "shop") == (settings.schema_.kind, settings.name)
    assert all(file.exists() for file in begun.files)
    assert "make the schema" in begun.said[0]


def test_every_setting_is_in_the_file_with_its_default(tmp_path):
    """A setting that is off stands in a comment; a new one must be added to the template."""
    begin(tmp_path, "table")
    text = (tmp_path / "perdure.toml").read_text()
    written, off = (
        tomllib.loads(text),
        tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)),
    )
    said = {(): written, **{(name,): held for name, held in written.items()}}
    for place, key, default in settings_of(Settings):
        if (*place, key) in CHOSEN:
            continue
        if default is None:
            assert key in (off[place[0]] if place else off), f"{place} {key} is not even mentioned"
            assert key not in said[place]
        else:
            assert plain(default) == said[place].get(key), f"{place} {key}"


def test_every_setting_is_explained(tmp_path):
    """By a comment on its line or on the line above; `port` explains itself."""
    begin(tmp_path, "table")
    text = (tmp_path / "perdure.toml").read_text().partition("[learner]")[2].splitlines()
    bare = [
        line
        for above, line in pairwise(text)
        if re.match(r"(# )?\w+ = ", line) and "  # " not in line and not above.startswith("# ")
    ]
    assert ["port = 8440"] == bare


def test_what_is_off_can_be_taken_into_use_as_it_stands(tmp_path):
    """Each commented example is valid, one at a time."""
    begin(tmp_path, "table")
    text = (tmp_path / "perdure.toml").read_text()
    examples = re.findall(r"^# \w+ = .*$", text, flags=re.MULTILINE)
    assert len(examples) >= 8
    for example in examples:
        used = text.replace(example, example[2:])
        if example.startswith("# steps"):
            used = used.replace("epochs = 5", "")
        Settings.parse(used)


def test_the_readme_shows_a_row_that_is_valid(tmp_path):
    """And the path of the sample from where the reader stands."""
    sample = lines(tmp_path / "rows.csv", "age,town,label", "1,Oslo,yes", "2,Oslo,no")
    begun = begin(tmp_path / "p", sample=sample)
    readme = (tmp_path / "p" / "README.md").read_text()
    assert "perdure ingest ../rows.csv" in readme
    (row,) = json.loads(re.search(r"```json\n(.*)\n```", readme)[1])["rows"]
    begun.schema.encode(row["features"])
    begun.schema.check_label(row["label"])
    assert "$" not in readme


@pytest.mark.parametrize("file", ["perdure.toml", "model.py", "README.md"])
def test_nothing_is_overwritten_unless_forced(tmp_path, file):
    """All or nothing: where one file is in the way, no other is written."""
    (tmp_path / file).write_text("mine")
    with pytest.raises(InvalidValue, match=f"{file} would be overwritten"):
        begin(tmp_path, "text")
    assert [file] == [path.name for path in tmp_path.iterdir()]
    begin(tmp_path, "text", force=True)
    assert "mine" != (tmp_path / file).read_text()


def test_a_directory_that_holds_rows_is_left_alone(tmp_path):
    """Even when forced: its rows were stored under the schema that it has."""
    (tmp_path / "perdure.db").touch()
    with pytest.raises(InvalidValue, match="holds rows and versions already"):
        begin(tmp_path, "text", force=True)


def test_a_dry_run_writes_nothing(tmp_path):
    """And says the same."""
    dry = begin(tmp_path / "p", "text", write=False)
    assert not (tmp_path / "p").exists()
    assert dry == begin(tmp_path / "p", "text")


def test_what_was_begun_is_told_to_people_and_to_programs(tmp_path):
    """Sentences, and plain values from which the schema can be made again."""
    begun = begin(tmp_path / "p", "image")
    told = json.loads(json.dumps(begun.to_dict()))
    assert begun.schema == Schema.model_validate(told["schema"])
    assert [str(file) for file in begun.files] == told["files"]
    assert list(begun.said) == told["said"] == begun.lines()[:2]
    assert all(str(file) in begun.lines()[2] for file in begun.files)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_texts_and_pictures_go_through_a_pretrained_encoder_where_there_is_one(
    tmp_path, monkeypatch, kind
):
    """Frozen, with a method in closed form; one pass is all that it takes. `scratch` does without.

    Where none is installed, what is missing is said, and the small network takes its place.
    """
    monkeypatch.setattr(start, "offered", lambda asked: f"the {asked} encoder")
    encoded = begin(tmp_path / "encoded", kind)
    assert f"frozen encoder the {kind} encoder" in encoded.said[-1]
    assert "--scratch" in encoded.said[-1]
    assert f'encoder("{kind}"' in encoded.files[1].read_text()
    learner = Settings.load(encoded.files[0]).learner
    assert (({"name": "SLDA"},), 1) == (learner.methods, learner.epochs)
    scratch = begin(tmp_path / "scratch", kind, scratch=True)
    monkeypatch.setattr(start, "offered", lambda asked: None)
    without = begin(tmp_path / "without", kind)
    extra = {"text": "perdure[text]", "image": "perdure[vision]"}[kind]
    assert extra in without.said[-1]
    assert extra not in scratch.said[-1]
    for begun in (scratch, without):
        assert "encoder(" not in begun.files[1].read_text()
        learner = Settings.load(begun.files[0]).learner
        assert (({"name": "ER", "capacity": 2000},), 5) == (learner.methods, learner.epochs)


@pytest.mark.parametrize(
    ("directory", "name"),
    [("my shop!", "myshop"), (".hidden", "hidden"), ("räksmörgås", "rksmrgs")],
)
def test_the_name_is_the_directorys_as_far_as_a_url_may_hold_it(tmp_path, directory, name):
    """Other characters are left out."""
    begin(tmp_path / directory, "text")
    assert name == Settings.load(tmp_path / directory / "perdure.toml").name


def test_the_name_may_be_given(tmp_path):
    """A wrong one is refused by the settings."""
    begin(tmp_path, "text", name="spam-filter.2")
    assert "spam-filter.2" == Settings.load(tmp_path / "perdure.toml").name


numbers = st.floats(-1e6, 1e6)
names = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8)
classes = st.lists(names.filter(str.isprintable).map(str.strip).filter(bool), unique=True)
columns = st.builds(
    Column, name=names, type=st.just("number"), required=st.just(False), default=numbers | st.none()
) | st.builds(Column, name=names, type=st.just("category"), buckets=st.integers(1, 1000))


@given(
    st.lists(columns, min_size=1, unique_by=lambda column: column.name),
    classes,
    st.builds(Fields, label=names | st.none(), ignore=st.lists(names).map(tuple)),
    st.integers(1, 50) | st.none(),
)
def test_any_schema_survives_being_written(columns, classes, fields, room):
    """Whatever quotes, controls and foreign letters the names hold."""
    most = None if room is None else len(classes) + room
    schema = Schema(
        kind="table", columns=columns, classes=classes, open=True, fields=fields, max_classes=most
    )
    assert schema == Settings.parse(as_toml(schema)).schema_


def test_parts_that_no_sample_tells_are_offered():
    """A schema is fixed once rows are stored, so ids and subjects must be thought of before."""
    for fields in (Fields(), Fields(id="order", label="kind")):
        lines = as_toml(Schema(kind="tensor", shape=(2,), open=True, fields=fields)).splitlines()
        offered = {line.split()[1] for line in lines if line.startswith("# ")}
        assert {"id", "time", "subject", "source"} - fields.named().keys() == offered
        taken = "\n".join(line.removeprefix("# ") for line in lines)
        held = Settings.parse(taken).schema_.fields
        assert {"id", "time", "subject", "source"} <= held.named().keys()


def test_other_kinds_survive_being_written():
    """Shape, dtype, length, sizes, tasks."""
    for schema in (
        Schema(kind="tensor", shape=(2, 3), dtype="int64", classes=("a",), tasks=True),
        Schema(kind="text", length=9, open=True, fields=Fields(features="body")),
        Schema(kind="image", channels=1, height=4, width=5, open=True),
    ):
        assert schema == Settings.parse(as_toml(schema)).schema_


def settings_of(model: type[BaseModel], place=()):
    """(place, key, default) of every setting but the schema."""
    for key, field in model.model_fields.items():
        if key == "schema_":
            continue
        if isinstance(field.default, BaseModel):
            yield from settings_of(type(field.default), (*place, key))
        else:
            yield place, key, field.default


def plain(value):
    return np.array(value).tolist() if isinstance(value, tuple) else value
