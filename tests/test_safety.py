"""No file that perdure reads can run code, and no error is swallowed: the source shows it."""

from __future__ import annotations

import ast

import pytest

# Each of these turns bytes from a file into running code.
MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "torch.load", "torch.save"}
KEYWORDS = {"weights_only": False, "allow_pickle": True, "shell": True, "trust_remote_code": True}


def test_nothing_in_the_source_runs_code_from_data(trees: dict[str, ast.Module]) -> None:
    """No pickle in any disguise, no eval or exec, no shell: checkpoints are tensors and JSON."""
    found = {name: dangers(tree) for name, tree in trees.items()}
    assert {} == {name: dangerous for name, dangerous in found.items() if dangerous}


def test_nothing_in_the_source_swallows_an_error(trees: dict[str, ast.Module]) -> None:
    """No bare `except`, and none whose body does nothing."""
    found = {name: swallows(tree) for name, tree in trees.items()}
    assert {} == {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import numpy, shelve as shelf",
        "torch.load(path)",
        "read(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "eval('1 + 1')",
        "exec(text)",
        "run(command, shell=True)",
    ],
)
def test_the_search_finds_what_is_dangerous(line: str) -> None:
    """Each forbidden form, alone on a line, is one finding."""
    assert 1 == len(dangers(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "re.compile(pattern)",
        "checkpoint.load(path)",
        "read(path, weights_only=True)",
        "safe_open(path, framework='pt')",
    ],
)
def test_the_search_leaves_alone_what_is_harmless(line: str) -> None:
    """Names that merely look alike are no finding."""
    assert [] == dangers(ast.parse(line))


@pytest.mark.parametrize(
    ("handler", "lines"),
    [("except: raise", [3]), ("except OSError: pass", [3]), ("except OSError: report()", [])],
)
def test_the_search_finds_swallowed_errors(handler: str, lines: list[int]) -> None:
    """A handler is swallowing where it catches everything or does nothing."""
    assert lines == swallows(ast.parse(f"try:\n  work()\n{handler}"))


def dangers(tree: ast.AST) -> list[str]:
    """Every forbidden import, call and keyword with its line."""
    return [
        f"line {node.lineno}: {what}"
        for node in ast.walk(tree)
        for what in (*forbidden_modules(node), *forbidden_calls(node))
    ]


def forbidden_modules(node: ast.AST) -> list[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [str(node.module)]
    return [name for name in names if name.split(".")[0] in MODULES]


def forbidden_calls(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Call):
        return []
    function = ast.unparse(node.func)
    keywords = [
        f"{keyword.arg}={keyword.value.value}"
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Constant)
        and keyword.arg in KEYWORDS
        and keyword.value.value is KEYWORDS[keyword.arg]
    ]
    return [function] * (function in CALLS) + keywords


def swallows(tree: ast.AST) -> list[int]:
    """The lines of handlers that catch everything or do nothing."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(does_nothing(statement) for statement in node.body))
    ]


def does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass | ast.Continue) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )
