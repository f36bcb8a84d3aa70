"""The core stands alone: optional libraries are asked for where they are used, by their extra."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

# What each extra brings, as it is imported.
MODULES = {
    "scikit-learn": "sklearn",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "pillow": "PIL",
}


@pytest.fixture(scope="module")
def extras(root: Path) -> dict[str, set[str]]:
    """The modules that each extra of pyproject.toml brings."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    listed = project["optional-dependencies"]
    return {
        extra: {MODULES[library(line)] for line in lines}
        for extra, lines in listed.items()
        if extra not in {"all", "dev"}
    }


def test_every_required_module_comes_with_the_extra_that_is_named(
    trees: dict[str, ast.Module], extras: dict[str, set[str]]
) -> None:
    """`require(module, extra)` must not send anyone to an extra that does not help."""
    wrong = [
        f"{name}: {module} is not in the extra {extra!r}"
        for name, tree in trees.items()
        for module, extra in required(tree)
        if module.split(".")[0] not in extras.get(extra, set())
    ]
    assert [] == wrong


def test_all_means_all(root: Path, extras: dict[str, set[str]]) -> None:
    """The extra `all` names every other one that users may want."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    (line,) = project["optional-dependencies"]["all"]
    assert set(extras) == set(re.findall(r"\w+", line)) - {"perdure"}


def test_dependencies_have_lower_bounds_and_no_upper_ones(root: Path) -> None:
    """Two libraries with upper bounds cannot be installed together."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    bounded = [line for line in lines if not line.startswith("perdure[")]
    assert [] == [line for line in bounded if not re.fullmatch(r"[\w-]+>=[\d.]+", line)]


def test_every_module_can_be_imported_without_the_extras(sources: dict[str, Path]) -> None:
    """In a fresh process in which none of the optional libraries can be found.

    `perdure.sklearn` alone is made for those who have scikit-learn.
    """
    modules = [name for name in sources if name != "perdure.sklearn"]
    script = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(set(MODULES.values()))}))\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "" == run.stderr


def library(line: str) -> str:
    """`scikit-learn>=1.4` is scikit-learn."""
    return re.split(r"[<>=!~\[ ]", line)[0]


def required(tree: ast.AST) -> list[tuple[str, str]]:
    """The literal arguments of every call of `require`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (ast.literal_eval(call.args[0]), ast.literal_eval(call.args[1]))
        for call in calls
        if ast.unparse(call.func) in {"require", "errors.require"}
        and all(isinstance(argument, ast.Constant) for argument in call.args)
    ]
