"""Numbers and times as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.live.service.dashboard import wording

finite = st.floats(-1e15, 1e15)
THIN = "\u202f"


def spaced(text: str) -> str:
    """With plain spaces and minus signs, for comparing."""
    return text.replace(THIN, " ").replace(wording.MINUS, "-")


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (999, "999"), (1234567, "1 234 567"), (-1234, "-1 234")]
)
def test_thousands_are_set_apart(value: int, said: str) -> None:
    """By a thin space, so that no country reads them wrongly."""
    assert said == spaced(wording.number(value))


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (999, "999"), (999.4, "999"), (1000, "1.00 k"), (8.65e6, "8.65 M"),
     (12.34e9, "12.3 G"), (999_600, "1.00 M"), (4e20, "400 E")],
)  # fmt: skip
def test_large_amounts_have_three_digits_and_a_prefix(value: float, said: str) -> None:
    """Rounding never gives 1000 of a prefix."""
    assert said == spaced(wording.short(value))


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536 * 1024, "1.50 MiB")],
)
def test_bytes_are_counted_in_powers_of_1024(value: int, said: str) -> None:
    """As the system counts them."""
    assert said == spaced(wording.binary(value))


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.97312, "97.3 %"), (1, "100.0 %"), (-0.003, "-0.3 %"), (-0.0001, "0.0 %")],
)
def test_shares_are_percent(value: float, said: str) -> None:
    """With a real minus sign, and none before zero."""
    assert said == spaced(wording.percent(value))


@pytest.mark.parametrize(
    ("value", "said"), [(0.012, "+1.2 pp"), (-0.05, "-5.0 pp"), (0.0002, "±0.0 pp")]
)
def test_differences_are_percentage_points_with_a_sign(value: float, said: str) -> None:
    """Zero has both."""
    assert said == spaced(wording.points(value))
    assert said.removesuffix(" pp") == spaced(wording.signed(value * 100))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0404, "40 ms"), (1.25, "1.2 s"), (59.96, "1 min"), (61, "1 min 1 s"),
     (125, "2 min 5 s"), (3600, "1 h"), (7322, "2 h 2 min"), (90000, "1 d 1 h")],
)  # fmt: skip
def test_spans_of_time_have_their_two_largest_units(seconds: float, said: str) -> None:
    """And nothing that is zero."""
    assert said == spaced(wording.duration(seconds))


@given(st.floats(0, 1e8))
def test_a_span_of_time_never_reads_sixty_seconds(seconds: float) -> None:
    """What would be sixty of a unit is one of the next."""
    assert not re.search(r"\b60 (s|min)\b", spaced(wording.duration(seconds)))


@pytest.mark.parametrize(
    ("passed", "said"),
    [(0, "just now"), (4.9, "just now"), (5, "5 s ago"), (59, "59 s ago"), (60, "1 min ago"),
     (3 * 3600 + 5, "3 h ago"), (2 * 86400, "2 d ago"), (-120, "in 2 min")],
)  # fmt: skip
def test_a_time_is_said_relative_to_now(passed: float, said: str) -> None:
    """In its largest unit, rounded down: an event is never made older than it is."""
    assert said == spaced(wording.ago(1e9 - passed, 1e9))


def test_a_time_in_full_is_utc() -> None:
    """For people and for programs, the same moment."""
    assert "2001-09-09 01:46:40 UTC" == wording.moment(1e9)
    assert "2001-09-09T01:46:40Z" == wording.iso(1e9)


def test_what_is_not_known_is_a_dash_or_never() -> None:
    """No page says None."""
    for function in (wording.number, wording.short, wording.percent, wording.points,
                     wording.binary, wording.duration):  # fmt: skip
        assert wording.NONE == function(None)
    assert "never" == wording.ago(None, 1e9) == wording.moment(None)


@given(finite)
def test_every_number_can_be_said(value: float) -> None:
    """Without an exponent where there is room, and never longer than a cell."""
    for function in (wording.short, wording.binary):
        assert len(function(value)) <= 12


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1 200 rows")]
)
def test_a_count_agrees_with_its_noun(count: int, said: str) -> None:
    """One row, two rows."""
    assert said == spaced(wording.plural(count, "row"))


def test_irregular_plurals_can_be_given() -> None:
    """One batch, two batches."""
    assert "2 batches" == spaced(wording.plural(2, "batch", "batches"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("all is well", "All is well."), ("Really?", "Really?"), ("", ""), ("9 rows.", "9 rows.")],
)
def test_a_clause_becomes_a_sentence(text: str, said: str) -> None:
    """A capital, and one full stop."""
    assert said == wording.sentence(text)


def test_backticks_become_code_and_nothing_else_gets_through() -> None:
    """What a person or a sender wrote is text."""
    said = wording.code("run `perdure fsck <now>` & <b>look</b>")
    assert "run <code>perdure fsck &lt;now&gt;</code> &amp; &lt;b&gt;look&lt;/b&gt;" == said


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    """Whatever it holds."""
    bare = wording.code(text).replace("<code>", "").replace("</code>", "")
    assert not set("<>\"'") & set(bare)
