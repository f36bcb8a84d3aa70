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
    "croniter": "croniter",
    "fastapi": "fastapi",
    "httpx": "httpx",
    "prometheus-client": "prometheus_client",
    "pydantic": "pydantic",
    "river": "river",
    "uvicorn": "uvicorn",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "alembic": "alembic",
    "mlflow-skinny": "mlflow",
    "sqlalchemy": "sqlalchemy",
    "tensorboard": "tensorboard",
    "optuna": "optuna",
    "tomlkit": "tomlkit",
    "sentence-transformers": "sentence_transformers",
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "datasets": "datasets",
}
# Made for those who have the extra; importing them without says which one it is.
APART = {
    "perdure.sklearn": "sklearn",
    "perdure.live": "live",
    "perdure.client": "live",
    "perdure.river": "river",
    "perdure.tune.replay": "live",
    "perdure.tune.settings": "live",
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
    lines = project["optional-dependencies"]["all"]
    assert set(extras) == {name for line in lines for name in re.findall(r"[\w-]+", line)[1:]}


def test_dependencies_have_lower_bounds_and_no_upper_ones(root: Path) -> None:
    """Two libraries with upper bounds cannot be installed together."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    bounded = [line for line in lines if not line.startswith("perdure[")]
    assert [] == [line for line in bounded if not re.fullmatch(r"[\w-]+>=[\d.]+", line)]


def test_every_module_can_be_imported_without_the_extras(sources: dict[str, Path]) -> None:
    """In a fresh process in which none of the optional libraries can be found."""
    parts = tuple(APART)
    modules = [name for name in sources if not name.startswith(parts) and "__main__" not in name]
    run = without_extras(f"for name in {modules}: importlib.import_module(name)\n")
    assert "" == run.stderr


@pytest.mark.parametrize("module", APART)
def test_a_package_for_an_extra_says_which_one_it_needs(module: str) -> None:
    """In the same process, it raises `MissingExtra` with the command that helps."""
    run = without_extras(f"importlib.import_module({module!r})\n")
    assert f"pip install 'perdure[{APART[module]}]'" in run.stderr


def without_extras(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a fresh process in which no optional library can be found."""
    hidden = f"sys.modules.update(dict.fromkeys({sorted(MODULES.values())}))"
    command = [sys.executable, "-c", f"import importlib, sys\n{hidden}\n{script}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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
