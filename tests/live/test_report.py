"""The report of a live model is one file that holds everything, and nothing but what is known."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.live import tiny
from tests.live.dashboard import story
from typer.testing import CliRunner

from perdure import cli
from perdure.errors import MissingExtra
from perdure.figure import FAINT, INK, RED, SOFT
from perdure.live import ledger
from perdure.live.gate.examination import Examined, record
from perdure.live.project import Project
from perdure.live.report import Section, facts, page, write_report
from perdure.live.report.course import course, plot
from perdure.live.report.facts import Facts
from perdure.live.report.saved import accuracies, cumulative
from perdure.live.service.dashboard.views.history import versions

NOW = 1_800_000_000.0
PARTS = ["serving", "course", "spans", "versions", "memory", "savings", "audit", "settings"]
VOID = {"meta", "br", "hr", "link", "img", "input"}
EXTRA = Section(
    "Who is better?", ("", "A < B", "mean"), [("a & b", "1.0", None), ("<i>c</i>", "2.0", "3")],
    "As <measured>.", emphasis=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has lived: versions 1 to 3 served in turn, version 4 was refused."""
    where = tmp_path_factory.mktemp("report") / "state"
    with story.told(where) as project:
        refused = replace(
            story.verdict(4, "refuse", 3), accuracy=0.4, reasons=("it <forgot>", "much")
        )
        project.database.transact(lambda c: record(c, 4, Examined(refused, ())))
    return where


@pytest.fixture(scope="module")
def lived(directory: Path) -> Iterator[Project]:
    with Project(directory) as project:
        yield project


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    with tiny.project(tmp_path / "fresh") as project:
        yield project


@pytest.fixture(scope="module")
def known(lived: Project) -> Facts:
    return facts(lived, NOW)


@pytest.fixture(scope="module")
def html(lived: Project, known: Facts) -> str:
    return page(known, lived.settings, "A & B", "What was seen.", (EXTRA,))


# -- the page ------------------------------------------------------------------------------------


def test_the_page_has_every_section_and_those_of_others_first(html: str) -> None:
    """In the order in which one reads them; the links on top lead to each of them."""
    assert ["part-1", *PARTS] == re.findall(r'<h2 id="([\w-]+)"', html)
    assert [f"#{name}" for name in ("part-1", *PARTS)] == re.findall(r'<a href="([^"]*)"', html)


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    """No address, no import, no file: it can be sent by mail and opened in ten years."""
    assert "http" not in html.lower()
    assert "//" not in html
    targets = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', html)
    assert all((a or b).startswith("#") for a, b in targets)
    for word in ("<script", "<link", "@import", "<iframe", "<img"):
        assert word not in html


@pytest.mark.parametrize("which", ["lived", "fresh"])
def test_the_page_is_well_formed(which: str, request: pytest.FixtureRequest) -> None:
    """Every element is closed where it was opened, and no id is given twice."""
    project = request.getfixturevalue(which)
    text = page(facts(project, NOW), project.settings, "title", sections=(EXTRA,))
    parser = Balance()
    parser.feed(text)
    parser.close()
    assert [] == parser.open
    ours = re.findall(r'<(?:h2|details)[^>]* id="([^"]*)"', text)
    assert len(ours) == len(set(ours))


def test_words_of_others_are_escaped(html: str) -> None:
    """A title, a cell, a note or a reason of the gate may hold anything."""
    assert "<title>A &amp; B</title>" in html
    for said in ("Who is better?", "A &lt; B", "&lt;i&gt;c&lt;/i&gt;", "As &lt;measured&gt;."):
        assert said in html
    assert html.count("it &lt;forgot&gt;") >= 3  # in the list, its details, and the marks


def test_the_page_follows_the_reader_into_the_dark(html: str) -> None:
    """Ink, labels and grid come from the page's own colours; none of matplotlib's is left."""
    assert "prefers-color-scheme: dark" in html
    for colour in ("currentColor", "var(--soft)", "var(--faint)"):
        assert colour in html
    for colour in (INK, SOFT, FAINT, "#000000"):
        assert colour not in re.sub(r"<style>.*?</style>", "", html, count=1, flags=re.DOTALL)


def test_the_page_fits_narrow_screens_and_paper(html: str) -> None:
    """Its width is the device's, plots scale, tables scroll by themselves; print has its rules."""
    assert 'name="viewport" content="width=device-width' in html
    assert not re.search(r"<svg[^>]* (width|height)=", html)
    tables = [match.start() for match in re.finditer("<table", html)]
    assert len(tables) > 5
    assert all('<div class="scroll">' in html[at - 30 : at] for at in tables)
    assert "@media print" in html


def test_every_plot_says_what_it_is_and_keeps_its_names_to_itself(html: str) -> None:
    """Two plots on one page must not share the id of a clip with other content."""
    labels = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert 3 == len(labels) == len(set(labels))
    paths: dict[str, set[str]] = {}
    for name, content in re.findall(r'<clipPath id="(\w+)">\s*<rect ([^>]*)/>', html):
        paths.setdefault(name, set()).add(content)
    assert paths
    assert all(len(contents) == 1 for contents in paths.values())


def test_the_same_facts_give_the_same_page(lived: Project, known: Facts, html: str) -> None:
    """Down to the byte, so that a report can be kept under version control."""
    assert html == page(known, lived.settings, "A & B", "What was seen.", (EXTRA,))
    assert known.to_dict() == facts(lived, NOW).to_dict()


def test_a_section_shows_its_rows_and_which_one_matters(html: str) -> None:
    """A dash where there is nothing; a plain tuple is a section too."""
    (first,) = re.findall(r'<h2 id="part-1">.*?</table>', html, re.DOTALL)
    assert 1 == first.count('<tr class="mine"><th scope="row">&lt;i&gt;c')
    assert "<td>–</td>" in first  # noqa: RUF001 - the dash that stands for nothing


def test_a_project_that_has_not_begun_is_told_what_to_do(fresh: Project) -> None:
    """Every section but the settings says what would fill it; there is no plot to draw."""
    text = page(facts(fresh, NOW), fresh.settings, "fresh")
    assert len(PARTS) - 1 == text.count('<p class="empty">')
    for command in ("perdure ingest", "perdure update", "perdure serve"):
        assert command in text
    assert 'role="img"' not in text
    assert "None" not in text


def test_nothing_of_the_project_changes(lived: Project, tmp_path: Path) -> None:
    """A report is a look."""
    dumped = [list(map(tuple, lived.database.read(f"SELECT * FROM {name}"))) for name in ALL]  # noqa: S608
    write_report(lived, tmp_path / "a" / "b.html")
    again = [list(map(tuple, lived.database.read(f"SELECT * FROM {name}"))) for name in ALL]  # noqa: S608
    assert dumped == again


# -- what it says --------------------------------------------------------------------------------


def test_who_serves_stands_there_with_its_numbers(html: str) -> None:
    """Champion, since when, and its accuracy on held-out rows: 26 of 30, the anchor apart."""
    (tiles,) = re.findall(r'<dl class="tiles">.*?</dl>', html, re.DOTALL)
    said = plain(tiles)
    assert "Champion v3 since 20" in said
    assert "Held-out accuracy 86.7 % of 30 rows" in said
    assert "Rows in the log 125 5 without a label" in said


def test_warnings_are_shown(lived: Project, known: Facts) -> None:
    """As sentences, their commands as code."""
    warned = replace(known, status={**known.status, "warnings": ["frozen; `perdure unfreeze`"]})
    text = page(warned, lived.settings, "title")
    assert "Look here." in text
    assert "Frozen; <code>perdure unfreeze</code>." in text
    assert "Look here." not in page(known, lived.settings, "title")


def test_every_version_stands_there_with_all_that_the_gate_said(html: str) -> None:
    """Newest first; each verdict with each of its reasons and the words of each rule."""
    assert ["v4", "v3", "v2", "v1"] == re.findall(r'<details class="version" id="(\w+)"', html)
    for number in (1, 2, 3, 4):
        for text in ("reason one", "reason two", "rule one", "rule two"):
            assert f"{text} of {number}" in html


def test_the_map_shows_every_version_on_the_same_rows(html: str) -> None:
    """As many cells as were measured, a dot where nothing was."""
    (table,) = re.findall(r'<table class="heat">.*?</table>', html, re.DOTALL)
    lines = [line for line in table.split("<tr>") if 'th scope="row"' in line]
    assert 4 == len(lines)
    shown = [[cell or "·" for cell in re.findall(r">([\d.]*)(?:<span|</td|·)", one)][:5]
             for one in lines]  # fmt: skip
    assert ["86.7", "80.0", "90.0", "90.0", "90.0"] == shown[1]
    assert ["90.0", "90.0", "·", "·"] == shown[3][:4]


def test_the_memory_is_counted_by_class_and_source(html: str) -> None:
    """As the champion's files have it."""
    (section,) = re.findall(r'<h2 id="memory">.*?<h2', html, re.DOTALL)
    said = plain(section)
    assert "12 of 12 rows" in said
    for name in (*tiny.CLASSES, "camera", "kiosk"):
        assert name in said


def test_a_project_without_a_replay_memory_is_told_which_method_has_one(tmp_path: Path) -> None:
    """No empty table."""
    with story.told(tmp_path / "naive", {"learner": {"methods": [{"name": "naive"}]}}) as project:
        text = page(facts(project, NOW), project.settings, "naive")
    assert "The champion remembers no rows." in text
    assert "naive keeps none" in text


def test_the_audit_log_ends_the_story(known: Facts, html: str) -> None:
    """Who, what and why, the newest first."""
    (section,) = re.findall(r'<h2 id="audit">.*?</table>', html, re.DOTALL)
    reasons = re.findall(r"promote: (\d) is good", section)
    assert ["3", "2", "1"] == reasons
    assert len(known.audit) == section.count("<time")


# -- the course ----------------------------------------------------------------------------------


def test_the_course_is_the_windowed_and_the_fading_accuracy(lived: Project) -> None:
    """Against both sums written out, at every point."""
    held = course(lived, versions(lived)).curve
    found = lived.database.read("SELECT predicted = label AS hit FROM outcomes ORDER BY seq")
    hits = [row["hit"] for row in found]
    assert (50, 0.98) == (held.window, held.decay)
    for seq, windowed, fading in zip(held.seq, held.windowed, held.fading, strict=True):
        assert np.mean(hits[max(0, seq - 50) : seq]) == pytest.approx(windowed, abs=1e-4)
        weights = 0.98 ** np.arange(seq)[::-1]
        assert np.average(hits[:seq], weights=weights) == pytest.approx(fading, abs=1e-4)


def test_the_course_tells_drifts_promotions_and_refusals_in_order(lived: Project) -> None:
    """A refusal stands where the challenger had learnt to, with its weightiest reason."""
    events = course(lived, versions(lived)).events
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    kinds = [event.kind for event in events]
    assert {"drift": 1, "promotion": 3, "refusal": 1} == {k: kinds.count(k) for k in set(kinds)}
    (refusal,) = [event for event in events if event.kind == "refusal"]
    assert (story.ROWS, "v4 refused") == (refusal.seq, refusal.label)
    assert "it <forgot>" in refusal.text


def test_every_mark_is_drawn(lived: Project) -> None:
    """Versions by their names, a rollback as the way back, in matplotlib's own text."""
    held = course(lived, versions(lived))
    back = replace(held.events[0], kind="rollback", seq=90, label="v1")
    svg = plot(replace(held, events=(*held.events, back)))
    written = [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    for label in ("v1", "v2", "v3", "v4 refused", "back to v1", "example", "right, %"):
        assert label in written


def test_there_is_no_plot_before_the_first_answer(fresh: Project) -> None:
    """Nor an event."""
    held = course(fresh, versions(fresh))
    assert ((), "") == (held.events, plot(held))


# -- the savings ---------------------------------------------------------------------------------


def test_the_ledger_says_what_was_measured_and_what_was_not(known: Facts, html: str) -> None:
    """A badge an update; both numbers of each pair."""
    (table,) = re.findall(r'<table class="ledger">.*?</table>', html, re.DOTALL)
    measured = [entry.twin.measured for entry in known.savings.entries if entry.twin]
    assert (sum(measured), len(measured) - sum(measured)) == (
        table.count(">measured<"),
        table.count(">extrapolated<"),
    )
    assert "4.00 k / 16.0 k" in plain(table)
    assert "75.0 %" in plain(table)


def test_the_price_of_saving_stands_beside_it(known: Facts, lived: Project, html: str) -> None:
    """The mean gap of the versions that served; what the gate refused was never paid for."""
    assert known.price == pytest.approx(0.02)
    assert "75.0 % less arithmetic; the price is 2.0 points of accuracy" in plain(html)
    worse = replace(known.savings.entries[0], accuracy=0.1)  # of version 4, which was refused
    entries = (worse, *known.savings.entries[1:])
    assert known.price == replace(known, savings=replace(known.savings, entries=entries)).price
    assert "no accuracy was given up" in plain(page(better(known), lived.settings, "title"))


def test_an_update_that_cost_more_than_retraining_is_said_to(known: Facts, lived: Project) -> None:
    """Nothing is hidden where nothing was saved."""
    assert known.savings.total is not None
    dear = replace(known.savings.total, flops=2 * known.savings.total.twin_flops)
    held = replace(known, savings=replace(known.savings, total=dear))
    assert "100.0 % more arithmetic than retraining" in plain(page(held, lived.settings, "title"))


def test_the_curves_add_up(known: Facts) -> None:
    """The axis ends at the twins' sum; what did not serve is marked."""
    oldest_first = known.savings.entries[::-1]
    svg = cumulative(oldest_first)
    written = {text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)}
    assert {"40.0\u202fk", "v1", "v2", "v3", "v4"} <= written  # 4 + 8 + 12 + 16
    assert RED in accuracies(oldest_first, {1, 2, 3})  # version 4 did not serve
    assert RED not in accuracies(oldest_first, {1, 2, 3, 4})


def test_one_update_has_no_curve(known: Facts) -> None:
    """Nor has a ledger without twins, and accuracies need a twin that was trained."""
    oldest_first = known.savings.entries[::-1]
    assert "" == cumulative(oldest_first[:1]) == accuracies(oldest_first[:1], {1})
    bare = [replace(entry, twin=None) for entry in oldest_first]
    assert "" == cumulative(bare)
    guessed = [replace(e, twin=replace(e.twin, accuracy=None)) for e in oldest_first if e.twin]
    assert "" == accuracies(guessed, {1})


def test_a_mixture_is_entered_under_its_own_name(directory: Path, tmp_path: Path) -> None:
    """Where the gate mixed a challenger with the champion, the mixture is what came of it."""
    with Project(shutil.copytree(directory, tmp_path / "copy")) as project:
        project.database.transact(
            lambda c: c.execute(
                "UPDATE ledger SET report = json_set(report, '$.version', 77) WHERE version = 4"
            )
        )
        assert 77 == ledger.entries(project)[-1].version
        assert 4 == facts(project, NOW).savings.entries[0].version


# -- files and programs --------------------------------------------------------------------------


def test_without_matplotlib_the_extra_is_named(
    lived: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"perdure\[lab\]"):
        write_report(lived, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_command_reports_on_a_state_directory(directory: Path, tmp_path: Path) -> None:
    """Where perdure.toml lies, under its own name or another title and place."""
    copy = shutil.copytree(directory, tmp_path / "state")
    assert f"{copy / 'report.html'}\n" == invoke("report", str(copy)).stdout
    assert "<title>tiny</title>" in (copy / "report.html").read_text("utf-8")
    to = tmp_path / "elsewhere" / "page.html"
    assert f"{to}\n" == invoke("report", str(copy), "--to", str(to), "--title", "New").stdout
    assert "<title>New</title>" in to.read_text("utf-8")


def test_programs_get_the_same_facts(directory: Path, known: Facts, tmp_path: Path) -> None:
    """Standard output is JSON alone, and no file is written."""
    copy = shutil.copytree(directory, tmp_path / "state")
    held = json.loads(invoke("report", str(copy), "--json").stdout)
    expected = json.loads(json.dumps(known.to_dict()))
    for name in ("course", "heatmap", "versions", "memories", "savings", "audit", "price"):
        assert expected[name] == held[name]
    assert expected["savings"]["total"]["saved"] == 0.75
    assert not (copy / "report.html").exists()


def test_json_is_for_state_directories(tmp_path: Path) -> None:
    """Runs of a bench are in a file of their own; a folder with neither is told what to do."""
    (tmp_path / "results.csv").write_text("")
    assert "--json speaks of a state directory" in str(invoke(
        "report", str(tmp_path), "--json").exception)  # fmt: skip
    nothing = str(invoke("report", str(tmp_path / "none")).exception)
    assert "there is no" in nothing
    assert "no perdure.toml" in nothing


ALL = ("meta", "jobs", "versions", "aliases", "audit", "verdicts", "ledger", "spans", "accuracy",
       "watch", "outcomes", "examples", "rows", "drifts")  # fmt: skip


def better(known: Facts) -> Facts:
    """The same, had every twin been less accurate than the update."""
    entries = tuple(
        replace(entry, twin=replace(entry.twin, accuracy=0.5))
        for entry in known.savings.entries
        if entry.twin is not None
    )
    return replace(known, savings=replace(known.savings, entries=entries))


def plain(html: str) -> str:
    """Words as they are read, with plain spaces."""
    bare = unescape(re.sub(r"<[^>]*>", " ", html)).replace("\u202f", " ")
    return re.sub(r"\s+", " ", bare)


def invoke(*arguments: str):
    """Run a command in this process, as wide as no terminal is."""
    return CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(cli.app, list(arguments))


class Balance(HTMLParser):
    """Elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
