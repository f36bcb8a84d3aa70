"""Every promise names the tests that show it, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)( \(\*slow\*\))?")


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "guarantees.md").read_text("utf-8")


def held_in(path: Path) -> dict[str, bool]:
    """The tests of a file, and whether each is slow."""
    found = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [ast.unparse(one) for one in node.decorator_list]
            found[node.name] = "pytest.mark.slow" in marks
    return found


def test_every_test_that_is_named_exists(page: str, root: Path) -> None:
    """In the file that is named, and slow where the page says so."""
    named = NAMED.findall(page)
    held = {file: held_in(root / file) if (root / file).exists() else {} for file, *_ in named}
    missing = [f"{file}::{test}" for file, test, _ in named if test not in held[file]]
    assert [] == missing
    wrong = [f"{file}::{test}" for file, test, slow in named if held[file][test] != bool(slow)]
    assert [] == wrong


def test_every_promise_names_a_test(page: str) -> None:
    """A line of a table is a promise, its limits, and what shows it."""
    lines = [line.strip("| \n").split(" | ") for line in page.splitlines() if "**" in line]
    assert len(lines) > 20
    for line in lines:
        promise, shown = line[0], line[-1]
        assert promise.startswith("**")
        assert NAMED.search(shown), promise
        assert NAMED.sub("", shown).replace("<br>", "") == "", promise
