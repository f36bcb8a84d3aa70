"""State on disk: whole, plain, and refused when it is not ours."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from perdure import checkpoint
from perdure.errors import CheckpointMismatch
from perdure.testing import assert_same_state

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
tensors = st.lists(st.floats(-1, 1, width=32), max_size=4).map(torch.tensor)
states = st.recursive(
    plain | st.text(max_size=4) | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(state=st.dictionaries(st.text(max_size=3), states, max_size=4))
def test_what_is_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, object]
) -> None:
    """Any nesting of tensors and plain values comes back bit for bit, tuples as tuples."""
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    checkpoint.save(path, state)
    assert_same_state(state, checkpoint.load(path), "round trip")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bfloat16, torch.float64])
def test_dtypes_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    """A tensor keeps its dtype, and a strided view is stored as it looks."""
    view = torch.arange(12).reshape(3, 4).to(dtype).T
    checkpoint.save(tmp_path / "a", {"view": view})
    loaded = checkpoint.load(tmp_path / "a")["view"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded, view)


def test_an_object_is_refused_with_its_place(tmp_path: Path) -> None:
    """Nothing but tensors and plain values goes to disk, and nothing is left behind."""
    with pytest.raises(TypeError, match="/a/b is a set"):
        checkpoint.save(tmp_path / "x", {"a": {"b": {1}}})
    with pytest.raises(TypeError, match="keys must be strings"):
        checkpoint.save(tmp_path / "x", {"a": {1: 2}})
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file cut short, and a safetensors file of another program, are told apart."""
    save_file({"a": torch.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(CheckpointMismatch, match="perdure did not write"):
        checkpoint.load(tmp_path / "foreign")
    checkpoint.save(tmp_path / "whole", {"a": torch.zeros(300)})
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:-10])
    with pytest.raises(CheckpointMismatch, match="not a whole safetensors file"):
        checkpoint.load(tmp_path / "cut")


def test_the_header_is_readable_json(tmp_path: Path) -> None:
    """Anyone can read the plain half of a checkpoint without perdure."""
    checkpoint.save(tmp_path / "a", {"steps": 3, "w": torch.zeros(2)})
    raw = (tmp_path / "a").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["perdure"]) == {"steps": 3, "w": {"$tensor": "/w"}}


def test_a_killed_save_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """A process killed while it saves over and over leaves a file that loads, of one save."""
    script = textwrap.dedent("""
        import sys, torch
        from perdure import checkpoint
        n = 0
        while True:
            checkpoint.save(sys.argv[1], {"n": n, "w": torch.full((200_000,), float(n))})
            print(n, flush=True)
            n += 1
    """)
    path = tmp_path / "state"
    for wait in (2, 5, 9):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(wait):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        state = checkpoint.load(path)
        assert torch.equal(state["w"], torch.full((200_000,), float(state["n"])))
        assert state["n"] >= wait - 1


def test_bytes_say_what_a_file_says(tmp_path: Path) -> None:
    """The same state, the same bytes; a file's content reads back as well."""
    state = {"a": torch.arange(3.0), "b": [1, None, ("x", torch.eye(2))]}
    data = checkpoint.dumps(state)
    assert data == checkpoint.dumps({**state, "a": state["a"].clone()})
    checkpoint.save(tmp_path / "state", state)
    for read in (checkpoint.loads(data), checkpoint.loads((tmp_path / "state").read_bytes())):
        assert torch.equal(state["a"], read["a"])
        assert read["b"][:2] == [1, None]
        assert torch.equal(torch.eye(2), read["b"][2][1])


def test_foreign_or_damaged_bytes_are_refused() -> None:
    """As files are."""
    with pytest.raises(CheckpointMismatch, match="no whole safetensors file"):
        checkpoint.loads(checkpoint.dumps({"a": torch.eye(2)})[:-1])
    with pytest.raises(CheckpointMismatch, match="did not write"):
        checkpoint.loads(safetensors.torch.save({"a": torch.eye(2)}))


@pytest.mark.parametrize("header", ["not JSON", '{"a": {"$tensor": "gone"}}', "[1]"])
def test_a_header_that_describes_no_state_is_refused(tmp_path: Path, header: str) -> None:
    """A whole safetensors file, whose description is damaged: by name, not by an error of JSON."""
    data = safetensors.torch.save({"b": torch.eye(2)}, metadata={"perdure": header})
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(CheckpointMismatch, match="describes no state"):
        checkpoint.load(tmp_path / "state")
    with pytest.raises(CheckpointMismatch, match="describes no state"):
        checkpoint.loads(data)


def test_a_place_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    """A folder that is not there, or is read-only: an OSError that names the file."""
    with pytest.raises(OSError, match="absent/state"):
        checkpoint.save(tmp_path / "absent" / "state", {"a": torch.eye(2)})
    assert not list(tmp_path.iterdir())


def test_a_file_that_may_not_grow_is_an_error_of_the_system(tmp_path):
    """A full disk is no fault of what was to be saved, and whoever waits for room can tell."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "state.safetensors"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"state\.safetensors") as raised:
            checkpoint.save(path, {"x": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert errno.EFBIG == raised.value.errno
    assert [] == list(tmp_path.iterdir())
