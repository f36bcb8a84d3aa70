"""What is public is documented, what is documented runs, and no link is broken."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.main import get_command

import perdure
import perdure.methods
from perdure.method import Method

ROOT = Path(__file__).parent.parent
SKIPPED = {".venv", ".git", "node_modules"}
MARKDOWN = sorted(
    path.relative_to(ROOT)
    for path in ROOT.rglob("*.md")
    if not SKIPPED & set(path.relative_to(ROOT).parts)
)
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "decisions/README.md",
)
DECISIONS = sorted((ROOT / "decisions").glob("0*.md"))


def modules_of(package: ModuleType) -> list[ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def methods_found() -> list[type[Method]]:
    """Every public subclass of `Method` that importing `perdure.methods` defines."""
    return [
        value
        for module in modules_of(perdure.methods)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


METHODS = methods_found()
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "src").rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_its_source_differences_needs_state_and_use(method: type[Method]) -> None:
    """The headings are there, in the order in which every method has them."""
    wanted = ["Source:", "Differs:", "Needs:", "Keeps:", "Args:", "Example:"]
    if not settings_of(method):
        wanted.remove("Args:")
    found = [word for word in headings(method) if word in wanted]
    assert wanted == found


@pytest.mark.parametrize("method", METHODS)
def test_a_method_describes_each_of_its_arguments(method: type[Method]) -> None:
    """Under `Args:`, by name, none missing."""
    assert [] == [name for name in settings_of(method) if f"\n    {name}: " not in text(method)]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_can_be_imported_from_the_package(method: type[Method]) -> None:
    """The one line in `methods/__init__.py` is there, under the class's own name."""
    assert method is getattr(perdure.methods, method.__name__)
    assert method.__name__ in perdure.methods.__all__


@pytest.mark.parametrize("name", perdure.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    """By a docstring of its own, not one that it inherits."""
    value = public_names()[name]
    assert value.__doc__, f"perdure.{name} has no docstring"
    assert not value.__doc__.startswith(f"{name}("), f"perdure.{name} has a generated docstring"


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_does_what_it_prints(name: str) -> None:
    """Every doctest of the module, with the public names and torch at hand beside its own."""
    module = importlib.import_module(name)
    names = {**public_names(), **vars(module), "torch": torch, "nn": torch.nn}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(module, globs=names):
        runner.run(example)
    assert runner.tries
    assert 0 == runner.failures


def test_every_verb_of_the_command_line_has_help() -> None:
    """And so has each of its options and arguments."""
    verbs = dict(get_command(importlib.import_module("perdure.cli").app).commands)
    for verb, group in [*verbs.items()]:
        verbs |= {f"{verb} {name}": one for name, one in getattr(group, "commands", {}).items()}
    silent = [verb for verb, command in verbs.items() if not command.help]
    silent += [
        f"{verb} {parameter.name}"
        for verb, command in verbs.items()
        for parameter in command.params
        if not parameter.help
    ]
    assert verbs
    assert [] == silent


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_others_look_for_is_there(page: str) -> None:
    """Under its customary name, and not empty."""
    assert (ROOT / page).read_text("utf-8").strip()


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_a_page_has_no_broken_link(page: Path) -> None:
    """Every relative link leads to a file, and its anchor to a heading there."""
    assert [] == [link for link in links(ROOT / page) if not leads_somewhere(ROOT / page, link)]


def test_decisions_are_numbered_without_a_gap() -> None:
    """0001, 0002, ...: a record is never removed."""
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert list(range(1, len(DECISIONS) + 1)) == numbers


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_its_three_headings_a_date_and_a_place_in_the_list(record: Path) -> None:
    """Context, decision, consequences, in this order."""
    page = record.read_text("utf-8")
    assert ["Context", "Decision", "Consequences"] == re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert re.search(r"^\d{4}-\d\d-\d\d, (accepted|replaced by \[)", page, re.MULTILINE)
    assert f"]({record.name})" in (ROOT / "decisions" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("link", "right"),
    [
        ("README.md", True),
        ("decisions/README.md#decisions", True),
        ("decisions", True),
        ("decisions/README.md#no-such-heading", False),
        ("no-such-page.md", False),
    ],
)
def test_the_finder_of_broken_links_is_right(link: str, right: bool) -> None:
    """Seen from CONTRIBUTING.md."""
    assert right == leads_somewhere(ROOT / "CONTRIBUTING.md", link)


def public_names() -> dict[str, object]:
    return {name: getattr(perdure, name) for name in perdure.__all__}


def text(documented: type) -> str:
    return inspect.cleandoc(documented.__doc__ or "")


def settings_of(method: type[Method]) -> list[str]:
    """The constructor's arguments, without self."""
    return list(inspect.signature(method).parameters)


def headings(documented: type) -> list[str]:
    """The words before a colon that open a line at the margin."""
    return re.findall(r"^([A-Z][a-z]+:)", text(documented), re.MULTILINE)


def links(page: Path) -> list[str]:
    """Targets within the repository, code left out."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\"", prose)
    return [a or b for a, b in targets if not re.match(r"[a-z]+:", a or b)]


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get, as code hosts make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_block_of_the_guide_runs(root: Path) -> None:
    """In order and in one namespace, as a reader would type them."""
    text = (root / "docs" / "guide.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {"__name__": "guide"})  # noqa: S102  the guide's own code


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "howto").glob("*.md")), ids=lambda p: p.stem
)
def test_every_block_of_a_how_to_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order and in one namespace, from the checkout's folder."""
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {"__name__": page.stem})  # noqa: S102  the page's own code


def test_the_cards_are_what_the_docstrings_and_measurements_say(tmp_path: Path) -> None:
    """`make docs` was run after the last change of either."""
    script = ROOT / "docs" / "cards.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    written = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.md")}
    kept = {path.name: path.read_text("utf-8") for path in (ROOT / "docs/methods").glob("*.md")}
    assert written == kept


def test_the_example_of_the_readme_runs(root: Path) -> None:
    """A network forgets, then remembers."""
    script = root / "examples" / "forget_and_remember.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    naive, replay = re.findall(r"^accuracy +([\d.]+)$", done.stdout, flags=re.MULTILINE)
    assert float(naive) < 0.3
    assert float(replay) > 0.7
