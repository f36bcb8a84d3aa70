"""Every promise names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
NAMED = re.compile(r"\[[\w.]+\]\(\.\./(tests/[\w/.]+)\):((?:\s*`test_\w+`(?: \(slow\))?,?)+)")


def claims() -> list[tuple[str, str, bool]]:
    """File, test, and whether the page calls it slow."""
    found = []
    for file, tests in NAMED.findall(PAGE.read_text("utf-8")):
        found += [
            (file, name, bool(slow)) for name, slow in re.findall(r"`(\w+)`( \(slow\))?", tests)
        ]
    return found


@pytest.mark.parametrize(("file", "name", "slow"), claims())
def test_a_promise_has_its_test(file: str, name: str, slow: bool) -> None:
    """Under that name, in that file, and slow exactly where the page says so."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    (place,) = [i for i, line in enumerate(lines) if re.match(rf"(async )?def {name}\(", line)]
    marks = []
    while lines[place - 1].startswith(("@", ")", " ", "]")):
        place -= 1
        marks.append(lines[place])
    assert slow == any("pytest.mark.slow" in mark for mark in marks)


def test_every_section_names_tests() -> None:
    """A promise without a proof is none."""
    sections = PAGE.read_text("utf-8").split("\n## ")[1:]
    assert [] == [section.splitlines()[0] for section in sections if not NAMED.search(section)]
    assert len(claims()) >= 40
