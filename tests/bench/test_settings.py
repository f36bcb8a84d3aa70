"""What is written on a command line between commas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.bench.settings import numbers, words
from perdure.errors import InvalidValue

word = st.text("abc*+-", min_size=1)


@given(st.lists(word), st.sampled_from([",", ", ", " ,", ",,"]))
def test_words_come_back_whatever_stands_around_the_commas(written: list[str], by: str) -> None:
    """Spaces and empty places are nobody's name."""
    assert written == words(by.join(written))


@given(st.lists(st.integers()))
def test_whole_numbers_come_back(written: list[int]) -> None:
    """None at all is an empty list, such as a model without hidden layers."""
    assert written == numbers("--hidden", ",".join(map(str, written)))


def test_what_is_no_number_is_refused_by_the_name_of_its_option() -> None:
    """The message shows what was written."""
    with pytest.raises(InvalidValue, match=r"--order takes whole numbers with commas, not '1,two'"):
        numbers("--order", "1,two")
