"""Held-out rows and the answers to them: what belongs to which cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.live.answers import ANCHOR, Answers, Cell, HeldOut, check_same, numbered


@st.composite
def sheets(draw, most=30):
    """Answers of some version to rows of some spans, anchor rows among them."""
    n = draw(st.integers(0, most))
    span = draw(st.lists(st.sampled_from([ANCHOR, 1, 2, 5]), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    said = draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    keys = np.array(draw(st.permutations(range(n))), dtype=np.int64)
    labels = np.array(y, dtype=np.int64)
    slices = {f"class:{k}": labels == k for k in range(3)}
    rows = HeldOut(keys, labels, np.array(span, dtype=np.int64), keys, slices, {1: "one"})
    return Answers(4, rows, np.array(said, dtype=np.int64))


@given(sheets())
def test_the_cells_of_all_spans_hold_every_row_once(answers):
    """Spans and the anchor together are all rows; the right ones too."""
    cells = [cell for cell in answers.cells() if not cell.slice.startswith("class")]
    assert sum(cell.rows for cell in cells) == len(answers.rows)
    assert sum(cell.correct for cell in cells) == answers.right.sum()
    assert {cell.version for cell in cells} <= {4}


@given(sheets(), st.integers(1, 12))
def test_slices_are_cut_by_span_and_small_ones_left_out(answers, least):
    """A slice with enough rows in all has a cell in each span that it has rows in."""
    rows = answers.rows
    cells = [cell for cell in answers.cells(least) if cell.slice.startswith("class")]
    for name, mask in rows.slices.items():
        mine = [cell for cell in cells if cell.slice == name]
        members = mask & ~rows.anchor
        assert bool(mine) == (members.sum() >= least)
        if mine:
            assert sum(cell.rows for cell in mine) == members.sum()
            assert sum(cell.correct for cell in mine) == answers.right[members].sum()
            assert all(cell.rows > 0 for cell in mine)
    assert all(cell.span != ANCHOR for cell in cells)


@given(sheets())
def test_past_and_newest_share_the_rows_that_are_no_anchor(answers):
    """The newest span is the last that has rows; everything before it is the past."""
    rows = answers.rows
    newest = rows.span == rows.newest if rows.newest is not None else np.zeros(len(rows), bool)
    assert ((rows.past | newest) == ~rows.anchor).all()
    assert not (rows.past & newest).any()
    assert [span for span, _ in rows.by_span()] == sorted({*rows.span.tolist()} - {ANCHOR})


@given(sheets(), st.randoms())
def test_digests_do_not_depend_on_the_order_of_rows(answers, random):
    """They identify what was asked, not how it was laid out."""
    rows = answers.rows
    order = np.array(random.sample(range(len(rows)), len(rows)), dtype=np.int64)
    other = HeldOut(rows.keys[order], rows.y[order], rows.span[order], rows.subject[order])
    assert other.digest() == rows.digest()
    assert other.anchor_digest() == rows.anchor_digest()


def test_the_anchors_cell_names_its_rows(pair):
    """Another anchor is another cell: its accuracies are not compared with this one's."""
    champion, challenger = pair([(40, 0, 0)], anchor=(8, 7, 10))
    name = f"anchor:{champion.rows.anchor_digest()}"
    assert champion.cells()[-1] == Cell(1, ANCHOR, name, 10, 8)
    assert challenger.cells()[-1] == Cell(2, ANCHOR, name, 10, 7)
    other, _ = pair([(40, 0, 0)], anchor=(8, 7, 11))
    assert other.cells()[-1].slice != name


def test_accuracy_of_nothing_is_not_measured(pair):
    """None, never zero; of the whole the anchor is no part."""
    champion, _ = pair([(40, 0, 0)], right=0.5, anchor=(10, 10, 10))
    assert champion.accuracy() == 0.5
    assert champion.accuracy(champion.rows.anchor) == 1.0
    assert champion.accuracy(np.zeros(50, dtype=bool)) is None


def test_spans_are_called_by_their_names():
    """By number where they have none yet: the open span."""
    rows = HeldOut(*(np.arange(3) for _ in range(4)), spans={1: "1..4"})
    assert [rows.called(span) for span in (1, 2)] == ["1..4", "2"]


def test_rows_without_subject_are_subjects_of_their_own():
    """Names share a number, each None has another."""
    numbers = numbered(["anna", None, "bo", "anna", None]).tolist()
    assert numbers[0] == numbers[3]
    assert len(set(numbers)) == 4


def test_columns_that_do_not_fit_are_refused():
    """Different lengths, a key twice, or not one answer a row."""
    three, four = np.arange(3), np.arange(4)
    with pytest.raises(InvalidValue, match="another length"):
        HeldOut(three, four, three, three)
    with pytest.raises(InvalidValue, match="one key"):
        HeldOut(np.zeros(3, dtype=np.int64), three, three, three)
    with pytest.raises(InvalidValue, match="answers to 3 rows"):
        Answers(1, HeldOut(three, three, three, three), four)


def test_only_answers_to_the_same_rows_are_comparable():
    """The same keys and labels, be it in another object."""
    rows, twin = (HeldOut(*(np.arange(3) for _ in range(4))) for _ in range(2))
    check_same(Answers(1, rows, rows.y), Answers(2, twin, twin.y))
    other = HeldOut(np.arange(3), np.zeros(3, dtype=np.int64), np.arange(3), np.arange(3))
    with pytest.raises(InvalidValue, match="versions 1 and 2"):
        check_same(Answers(1, rows, rows.y), Answers(2, other, other.y))
