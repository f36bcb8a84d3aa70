"""The report is one file that holds everything, for light and dark, wide and narrow."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from perdure.bench import NoResult, Result, lines, write_report
from perdure.bench.report import headstart, page
from perdure.bench.report.colours import COLOURS, FIXED, colours, dashes
from perdure.bench.report.heatmap import mean_matrix, task_names
from perdure.bench.report.tradeoff import _meet
from perdure.bench.report.trajectory import over_tasks
from perdure.errors import InvalidValue
from perdure.figure import INK
from perdure.measure import AccuracyMatrix

SECTIONS = ["summary", "matrices", "over-tasks", "cost", "head-start", "configuration"]
VOID = {"meta", "br", "hr", "link", "img", "input"}


@pytest.fixture(scope="module")
def html(few: list[Result]) -> str:
    refused = NoResult(replace(few[0].experiment, method="icarl"), "refused", "it needs <much>")
    return page([*few, refused], "A & B", "What was seen.")


def test_the_page_has_every_section(html: str) -> None:
    """In the order in which one reads them."""
    assert SECTIONS == re.findall(r'<h2 id="([\w-]+)"', html)


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    """No address, no import, no file: it can be sent by mail and opened in ten years."""
    assert "http" not in html.lower()
    assert "//" not in re.sub(r"<!--.*?-->", "", html)
    targets = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', html)
    assert all((a or b).startswith("#") for a, b in targets)
    for word in ("<script", "<link", "@import", "<iframe", "<img"):
        assert word not in html


def test_the_page_is_well_formed(html: str) -> None:
    """Every element is closed where it was opened."""
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert [] == parser.open


def test_words_of_others_are_escaped(html: str) -> None:
    """A reason or a title may hold anything."""
    assert "it needs &lt;much&gt;" in html
    assert "<title>A &amp; B</title>" in html


def test_the_page_follows_the_reader_into_the_dark(html: str) -> None:
    """Ink and grid come from the page's own colours; none of matplotlib's is left."""
    assert "prefers-color-scheme: dark" in html
    assert "currentColor" in html
    assert "var(--faint)" in html
    assert INK not in html
    assert "#000000" not in re.sub(r"<style>.*?</style>", "", html, count=1, flags=re.DOTALL)


def test_the_page_fits_a_narrow_screen(html: str) -> None:
    """It says its width is the device's, plots scale and tables scroll by themselves."""
    assert 'name="viewport" content="width=device-width' in html
    assert not re.search(r"<svg[^>]* (width|height)=", html)
    tables = [m.start() for m in re.finditer("<table", html)]
    assert all('<div class="scroll">' in html[at - 40 : at] for at in tables)


def test_every_plot_says_what_it_is_and_keeps_its_names_to_itself(html: str) -> None:
    """Two plots on one page must not share the id of a clip or a marker with other content."""
    labels = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert len(labels) == len(set(labels)) == 2 + 3 + 3 + 1
    paths: dict[str, set[str]] = {}
    for name, content in re.findall(r'<clipPath id="(\w+)">\s*<rect ([^>]*)/>', html):
        paths.setdefault(name, set()).add(content)
    assert paths
    assert all(len(contents) == 1 for contents in paths.values())


def test_the_same_records_give_the_same_page(few: list[Result], html: str) -> None:
    """Down to the byte, so that a report can be kept under version control."""
    refused = NoResult(replace(few[0].experiment, method="icarl"), "refused", "it needs <much>")
    assert html == page([*few, refused], "A & B", "What was seen.")


def test_one_task_has_no_course_over_tasks(naive: Result) -> None:
    """Nor a forgetting: what cannot be drawn is left out."""
    alone = replace(naive, matrix=AccuracyMatrix([[0.5]], ["all"], [0.1]), curves=())
    text = page([alone], "one", "")
    assert "Accuracy on the tasks so far" not in text
    assert "Not measured" in text


def test_a_report_needs_a_result(naive: Result, tmp_path: Path) -> None:
    """Nothing is written otherwise."""
    with pytest.raises(InvalidValue, match="no run has finished"):
        write_report([NoResult(naive.experiment, "failed", "rain")], tmp_path / "a" / "b.html")
    assert not (tmp_path / "a").exists()
    assert write_report([naive], tmp_path / "a" / "b.html").read_text("utf-8").startswith("<!doc")


def test_a_heat_map_is_the_mean_over_seeds_with_the_untrained_model_first(
    few: list[Result],
) -> None:
    """The order of classes differs by seed, so the tasks are known by their place."""
    mean = mean_matrix(few[:2])
    expected = np.mean([result.matrix.array for result in few[:2]], axis=0)
    assert np.array_equal(expected, mean[:, 1:])
    assert few[0].matrix.baseline[0] + few[1].matrix.baseline[0] == 2 * mean[0, 0]
    assert ["task 1", "task 2", "task 3", "task 4", "task 5"] == task_names(few[:2])
    assert list(few[0].matrix.tasks) == task_names(few[:1])


def test_courses_are_of_the_matrix_as_it_stood(few: list[Result]) -> None:
    """After k tasks, k of them count; in percent."""
    (line,) = lines(few[:1])
    R = few[0].matrix.array
    course = over_tasks(line, AccuracyMatrix.accuracy, first=1)
    assert [[pytest.approx(100 * R[: k + 1, k].mean()) for k in range(5)]] == course.tolist()


def test_the_head_start_is_the_difference_early_in_new_tasks(few: list[Result]) -> None:
    """The mean over all tasks but the first, by hand, paired by seed."""
    rows = headstart.head_start(lines(few))
    assert [1, 5] == [row.updates for row in rows]
    naive, progressive = ([by_hand(r, 5) for r in few[i : i + 2]] for i in (0, 2))
    assert np.mean(naive) == pytest.approx(rows[1].naive)
    assert np.mean(progressive) == pytest.approx(rows[1].progressive)
    gaps = [a - b for a, b in zip(progressive, naive, strict=True)]
    assert np.mean(gaps) == pytest.approx(rows[1].difference.mean)
    assert f"{100 * np.mean(gaps):+.1f} points" in headstart.conclusion(rows)


def test_there_is_no_head_start_without_both(few: list[Result]) -> None:
    """Nor without a seed in common."""
    assert [] == headstart.head_start(lines(few[:2]))
    assert [] == headstart.head_start(lines([few[0], few[3]]))


def test_a_conclusion_says_when_nothing_is_decided(few: list[Result]) -> None:
    """An interval that holds 0 is no head start, and one seed has no interval."""
    (row, *_) = headstart.head_start(lines([few[0], few[2]]))
    assert "from one seed" in headstart.conclusion([row])
    wide = replace(row, difference=replace(row.difference, low=-0.1, high=0.3, count=2))
    assert "neither is ahead" in headstart.conclusion([wide])
    sure = replace(row, difference=replace(row.difference, low=0.1, high=0.3, count=2))
    assert "neither" not in headstart.conclusion([sure])


def test_a_method_has_one_colour_on_the_page_and_a_dash_by_its_family() -> None:
    """Colour is not all that tells lines apart."""
    found = colours(["er", "naive", "ewc", "er"])
    assert {"er": COLOURS[0], "ewc": COLOURS[1]} == {k: found[k] for k in ("er", "ewc")}
    assert FIXED["naive"] == found["naive"]
    assert () == dashes("er") != dashes("ewc") != dashes("packnet")


def test_labels_meet_where_their_boxes_share_ground() -> None:
    """Touching is not meeting."""
    assert _meet((0, 0, 2, 2), (1, 1, 3, 3))
    assert not _meet((0, 0, 2, 2), (2, 0, 3, 2))
    assert not _meet((0, 0, 2, 2), (0, 5, 2, 7))


def by_hand(result: Result, updates: int) -> float:
    return float(np.mean([dict(curve)[updates] for curve in result.curves[1:]]))


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
