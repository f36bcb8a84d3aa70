"""The house's style as numbers, so that it is kept by a test and not by a reviewer's memory."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import perdure

Function = ast.FunctionDef | ast.AsyncFunctionDef
NESTS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)


def test_no_file_is_longer_than_400_lines(sources: dict[str, Path]) -> None:
    """A file that needs more holds more than one idea."""
    lengths = {name: length(path) for name, path in sources.items()}
    assert {} == {name: lines for name, lines in lengths.items() if lines > 400}


def test_the_median_file_is_at_most_150_lines(sources: dict[str, Path]) -> None:
    """Most ideas fit three screens."""
    assert median(length(path) for path in sources.values()) <= 150


def test_no_function_is_longer_than_60_lines(trees: dict[str, ast.Module]) -> None:
    """Docstring included, decorators not."""
    spans = {f"{module}.{f.name}": span(f) for module, f in functions(trees)}
    assert {} == {name: lines for name, lines in spans.items() if lines > 60}


def test_19_of_20_functions_are_at_most_38_lines(trees: dict[str, ast.Module]) -> None:
    """The 95th percentile, which keeps 60 the exception."""
    spans = sorted(span(f) for _, f in functions(trees))
    assert spans[int(0.95 * len(spans))] <= 38


def test_nothing_is_nested_deeper_than_three_blocks(trees: dict[str, ast.Module]) -> None:
    """An `elif` is as deep as its `if`; a function inside a function starts anew."""
    depths = {f"{module}.{f.name}": depth(f) for module, f in functions(trees)}
    assert {} == {name: deep for name, deep in depths.items() if deep > 3}


def test_a_method_is_at_most_100_lines(sources: dict[str, Path]) -> None:
    """A method reads like its paper's algorithm, docstring included."""
    lengths = {name: length(path) for name, path in sources.items() if is_method(name)}
    assert {} == {name: lines for name, lines in lengths.items() if lines > 100}


def test_a_method_never_asks_hasattr(trees: dict[str, ast.Module]) -> None:
    """What a method asks of a model stands in `needs`, so that it is refused before it starts."""
    asking = [name for name, tree in trees.items() if is_method(name) and "hasattr" in called(tree)]
    assert [] == asking


def test_a_method_is_made_from_at_most_six_arguments(trees: dict[str, ast.Module]) -> None:
    """More settings than six are two ideas."""
    counts = {
        f"{module}.{f.name}": len(arguments(f)) - 1
        for module, f in functions(trees)
        if is_method(module) and f.name == "__init__"
    }
    assert {} == {name: count for name, count in counts.items() if count > 6}


def test_no_function_passes_its_kwargs_through(trees: dict[str, ast.Module]) -> None:
    """`**kwargs` handed on hides from the reader and from mypy what may be said."""
    assert [] == [f"{module}.{f.name}" for module, f in functions(trees) if passes_through(f)]


def test_every_argument_of_a_public_function_is_annotated(trees: dict[str, ast.Module]) -> None:
    """And its result too: a signature is the first documentation that anybody reads."""
    bare = [
        f"{module}.{f.name}({argument.arg})"
        for module, f in functions(trees)
        for argument in arguments(f)
        if is_public(f) and argument.annotation is None and argument.arg not in {"self", "cls"}
    ]
    silent = [
        f"{module}.{f.name}"
        for module, f in functions(trees)
        if is_public(f) and f.returns is None and f.name != "__init__"
    ]
    assert [] == bare + silent


def test_there_are_at_least_as_many_lines_of_tests_as_of_source(
    root: Path, sources: dict[str, Path]
) -> None:
    """Physical lines of `tests` against those of `src/perdure`."""
    tests = sum(length(path) for path in (root / "tests").rglob("*.py"))
    assert tests >= sum(length(path) for path in sources.values())


def test_the_front_door_has_at_most_25_names() -> None:
    """`perdure.__all__` is what a newcomer must learn."""
    assert len(perdure.__all__) <= 25


def test_no_modules_import_each_other(trees: dict[str, ast.Module]) -> None:
    """Not even roundabout or inside a function; imports for annotations alone do not count."""
    assert [] == cycle({name: imported(tree, trees) for name, tree in trees.items()})


def test_no_packages_import_each_other(trees: dict[str, ast.Module]) -> None:
    """The parts right under `perdure` have an order, each package taken as one."""
    parts: dict[str, set[str]] = {}
    for name, tree in trees.items():
        if name != "perdure":
            targets = {part(target) for target in imported(tree, trees)} - {part(name)}
            parts.setdefault(part(name), set()).update(targets)
    assert [] == cycle(parts)


@pytest.mark.parametrize(
    ("source", "deep"),
    [
        ("def f():\n  if a: pass\n  elif b: pass\n  elif c: pass", 1),
        ("def f():\n  for a in b:\n    if c: pass\n    else:\n      x()\n      if d: pass", 3),
        ("def f():\n  if a:\n    def g():\n      if b: pass", 1),
    ],
    ids=["elif", "else", "inner function"],
)
def test_the_ruler_of_nesting_is_right(source: str, deep: int) -> None:
    """The depth of three small functions, counted by eye."""
    (function,) = ast.parse(source).body
    assert deep == depth(function)


def test_the_finder_of_cycles_names_the_cycle() -> None:
    """a -> b -> c -> a is found, and a diamond is none."""
    assert {"a", "b", "c"} == set(cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}))
    assert [] == cycle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}})


def length(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def functions(trees: dict[str, ast.Module]) -> Iterator[tuple[str, Function]]:
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield module, node


def span(function: Function) -> int:
    return function.end_lineno - function.lineno + 1


def depth(node: ast.AST) -> int:
    """How many blocks lie around the deepest statement."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and [child] == node.orelse
        deepest = max(deepest, depth(child) + (isinstance(child, NESTS) and not is_elif))
    return deepest


def arguments(function: Function) -> list[ast.arg]:
    listed = function.args
    stars = [star for star in (listed.vararg, listed.kwarg) if star is not None]
    return [*listed.posonlyargs, *listed.args, *listed.kwonlyargs, *stars]


def is_public(function: Function) -> bool:
    return not function.name.startswith("_") or function.name in {"__init__", "__call__"}


def is_method(module: str) -> bool:
    return module.startswith("perdure.methods.")


def called(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def passes_through(function: Function) -> bool:
    if function.args.kwarg is None:
        return False
    return any(
        keyword.arg is None and ast.unparse(keyword.value) == function.args.kwarg.arg
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )


def imported(tree: ast.AST, known: dict[str, ast.Module]) -> set[str]:
    """The modules of perdure that importing this one runs."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found |= imported(ast.Module(node.orelse), known)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in names}
        else:
            found |= imported(node, known)
    return found & set(known)


def part(module: str) -> str:
    """`perdure.methods.ewc` belongs to `perdure.methods`."""
    return ".".join(module.split(".")[:2])


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of the graph, in order, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []
