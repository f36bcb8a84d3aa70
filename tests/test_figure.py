"""Plots are SVG that lives inside a page: its colours, no size of its own, nothing from outside."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from perdure.figure import FAINT, INK, SOFT, figure


def test_ink_and_grid_are_the_pages_own() -> None:
    """What matplotlib drew in its stand-in colours is drawn in the page's."""
    svg = figure("inks", (2, 2), lambda axes: axes.text(0.1, 0.5, "word", color=INK))
    assert "currentColor" in svg
    assert "var(--soft)" in svg
    assert "var(--faint)" in svg
    assert not any(colour in svg for colour in (INK, SOFT, FAINT))


def test_text_stays_text() -> None:
    """So that it can be selected, searched, read aloud, and set in the page's own type."""
    svg = figure("texts", (2, 2), lambda axes: axes.set_title("forty-two"))
    assert ["forty-two"] == [t.text.strip() for t in tree(svg).iter("text") if "forty" in t.text]


def test_a_plot_takes_the_width_of_its_place() -> None:
    """It has a view box and no size; it says what it shows to those who cannot see it."""
    root = tree(figure("a < b", (3, 2), lambda axes: None))
    assert {"viewBox", "role", "aria-label"} == set(root.attrib)
    assert "a < b" == root.attrib["aria-label"]
    assert "0 0 216 144" == root.attrib["viewBox"]


def test_the_same_plot_is_the_same_text() -> None:
    """No date, no random ids; another title makes other ids, so that two can share a page."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], marker="o")

    assert figure("one", (2, 2), draw) == figure("one", (2, 2), draw)
    one, two = (ids(figure(name, (2, 2), draw)) for name in ("one", "two"))
    assert not {name for name in one & two if re.match(r"[mp][0-9a-f]{6,}", name)}


def test_a_plot_leaves_matplotlib_as_it_found_it() -> None:
    """Its settings are those of whoever imported it."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figure("settings", (2, 2), lambda axes: None)
    assert before == dict(mpl.rcParams)


def tree(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  our own


def ids(svg: str) -> set[str]:
    return {element.attrib["id"] for element in tree(svg).iter() if "id" in element.attrib}
