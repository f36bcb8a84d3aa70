"""Features on the disk: a row is encoded once, the file is bounded, and no crash makes it lie."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.cache import ENTRY, HEAD, FeatureCache, keys_of
from perdure.errors import InvalidValue


class Counting:
    """Features of rows of bytes, and how many rows were asked for."""

    def __init__(self, width=3):
        self.width, self.rows = width, 0

    def __call__(self, x):
        self.rows += len(x)
        return x.float().sum(1, keepdim=True) * torch.arange(1, self.width + 1) / 7


def rows(*numbers, length=5):
    """One row for each number, which no other number has."""
    made = [[*number.to_bytes(4, "big"), 9] for number in numbers]
    return torch.tensor(made, dtype=torch.uint8).reshape(-1, length)


def test_a_row_is_encoded_once_and_comes_back_bit_for_bit(tmp_path):
    """Within one process and in the next, in any order and company."""
    encode = Counting()
    x = rows(*range(300))
    cache = FeatureCache(tmp_path, "counting", 3)
    first = cache.features(x, encode)
    assert torch.equal(Counting()(x), first)
    assert (300, 300) == (encode.rows, len(cache))
    order = torch.randperm(300)
    again = FeatureCache(tmp_path, "counting", 3)
    assert torch.equal(first[order], again.features(x[order], encode))
    assert torch.equal(first[7:9], again.features(x[7:9], encode))
    assert 300 == encode.rows


def test_equal_rows_of_one_call_are_encoded_once(tmp_path):
    """Replayed rows come twice in a batch."""
    encode = Counting()
    cache = FeatureCache(tmp_path, "counting", 3)
    x = rows(4, 2, 4, 4, 2)
    assert torch.equal(Counting()(x), cache.features(x, encode))
    assert (2, 2) == (encode.rows, len(cache))


def test_rows_of_other_bytes_dtype_or_shape_are_other_rows(tmp_path):
    """Bytes alone do not say what a row is."""
    x = torch.arange(24, dtype=torch.uint8).reshape(1, 24)
    seen = {
        keys_of(other)[["high", "low"]].tobytes()
        for other in (
            x,
            x.view(torch.int8),
            x.view(torch.float32),
            x.reshape(1, 2, 3, 4),
            x.reshape(1, 4, 6),
            x[:, :23],
        )
    }
    assert 6 == len(seen)


def test_the_oldest_rows_go_when_all_slots_are_taken(tmp_path):
    """The file does not grow beyond its capacity, whatever is put in."""
    encode = Counting()
    cache = FeatureCache(tmp_path, "counting", 3, capacity=10)
    cache.features(rows(*range(8)), encode)
    cache.features(rows(*range(8, 14)), encode)
    assert 10 == len(cache)
    encode.rows = 0
    cache.features(rows(*range(4, 14)), encode)
    assert 0 == encode.rows
    cache.features(rows(*range(4)), encode)
    assert 4 == encode.rows
    cache.features(rows(*range(100, 150)), encode)
    assert 10 == len(cache)
    assert cache.path.stat().st_size == HEAD.itemsize + 10 * (ENTRY.itemsize + 4 * 3)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.lists(st.integers(0, 20), max_size=12), max_size=8),
)
def test_any_sequence_of_calls_gives_what_the_encoder_gives(capacity, calls):
    """A cache of any size is invisible, but for the time; two views of one file agree."""
    encode = Counting()
    with tempfile.TemporaryDirectory() as folder:
        views = [FeatureCache(folder, "counting", 3, capacity) for _ in range(2)]
        for number, call in enumerate(calls):
            x = rows(*call)
            assert torch.equal(Counting()(x), views[number % 2].features(x, encode))
            assert all(len(view) <= capacity for view in views)


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 40])
def test_a_torn_tail_is_dropped_and_written_again(tmp_path, cut):
    """Rows whose bytes are not all there are encoded anew, and held from then on."""
    encode, x = Counting(), rows(*range(20))
    cache = FeatureCache(tmp_path, "counting", 3)
    cache.features(x, encode)
    os.truncate(cache.path, cache.path.stat().st_size - cut)
    torn = FeatureCache(tmp_path, "counting", 3)
    encode.rows = 0
    assert torch.equal(Counting()(x), torn.features(x, encode))
    assert -(-cut // 12) == encode.rows
    torn.features(x, encode)
    assert -(-cut // 12) == encode.rows


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damaged_byte_becomes_a_feature(data):
    """Whatever one byte of the file turns into, the features are right."""
    x = rows(*range(6))
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(folder, "counting", 3, capacity=8)
        cache.features(x, Counting())
        content = bytearray(cache.path.read_bytes())
        # The number of rows is not of the checksums: too large a one is what a test below damages.
        place = data.draw(st.integers(0, len(content) - 1).filter(lambda p: not 88 <= p < 104))
        content[place] ^= data.draw(st.integers(1, 255))
        cache.path.write_bytes(content)
        again = FeatureCache(folder, "counting", 3, capacity=8)
        for _ in range(2):
            assert torch.equal(Counting()(x), again.features(x, Counting()))


def test_rows_that_were_counted_and_never_written_are_no_features(tmp_path):
    """After a loss of power the count may be on the disk and the rows not."""
    x = rows(*range(6))
    cache = FeatureCache(tmp_path, "counting", 3, capacity=8)
    cache.features(x, Counting())
    with cache.path.open("r+b") as file:
        file.seek(HEAD.fields["written"][1])
        file.write((50).to_bytes(8, "little"))
    again = FeatureCache(tmp_path, "counting", 3, capacity=8)
    assert torch.equal(Counting()(x), again.features(x, Counting()))


def test_two_processes_may_append_at_a_time(tmp_path):
    """Neither loses a row of the other, and both find what the other wrote."""
    script = """
import sys, torch
from perdure.cache import FeatureCache
first, folder = int(sys.argv[1]), sys.argv[2]
cache = FeatureCache(folder, "sums", 2, capacity=5000)
for start in range(0, 1200, 40):
    x = torch.arange(first + start, first + start + 40)[:, None].repeat(1, 4)
    found = cache.features(x, lambda rows: rows[:, :2].float() + 0.5)
    assert torch.equal(found, x[:, :2].float() + 0.5)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(first), str(tmp_path)])
        for first in (0, 600)  # half of the rows are common to both
    ]
    assert [0, 0] == [process.wait() for process in running]
    cache = FeatureCache(tmp_path, "sums", 2, capacity=5000)
    assert 1800 == len(cache)
    x = torch.arange(1800)[:, None].repeat(1, 4)
    encode = Counting(2)
    assert torch.equal(x[:, :2].float() + 0.5, cache.features(x, encode))
    assert 0 == encode.rows


def test_a_view_goes_on_when_the_file_is_removed_beside_it(tmp_path):
    """Erasure removes the file: nothing of it comes back, and what is new goes to a new file."""
    encode = Counting()
    ours, theirs = (FeatureCache(tmp_path, "counting", 3) for _ in range(2))
    ours.features(rows(1, 2, 3), encode)
    theirs.clear()
    assert (0, []) == (len(ours), list(tmp_path.iterdir()))
    encode.rows = 0
    ours.features(rows(1, 2), encode)
    assert (2, 2, 2) == (encode.rows, len(ours), len(theirs))


def test_encoders_do_not_share_features(tmp_path):
    """Another name, width or capacity is another content, and never a wrong feature."""
    x = rows(1, 2)
    FeatureCache(tmp_path, "a", 3).features(x, Counting(3))
    for cache in (
        FeatureCache(tmp_path, "b", 3),
        FeatureCache(tmp_path, "a", 4),
        FeatureCache(tmp_path, "a", 3, capacity=7),
    ):
        encode = Counting(cache.width)
        assert torch.equal(Counting(cache.width)(x), cache.features(x, encode))
        assert 2 == encode.rows


def test_the_file_is_its_owners_alone_and_a_copy_shares_it(tmp_path):
    """Features tell something of rows; a copied model looks into the same file."""
    cache = FeatureCache(tmp_path, "counting", 3)
    cache.features(rows(1), Counting())
    assert 0o600 == cache.path.stat().st_mode & 0o777
    encode = Counting()
    copy.deepcopy(cache).features(rows(1), encode)
    assert 0 == encode.rows


def test_what_cannot_be_is_refused(tmp_path):
    """With the value and what to give instead."""
    with pytest.raises(InvalidValue, match="width is 0"):
        FeatureCache(tmp_path, "a", 0)
    with pytest.raises(InvalidValue, match="capacity is 0"):
        FeatureCache(tmp_path, "a", 1, 0)
    with pytest.raises(InvalidValue, match="encoder is ''"):
        FeatureCache(tmp_path, "", 1)
    with pytest.raises(InvalidValue, match="width 2"):
        FeatureCache(tmp_path, "a", 2).features(rows(1), Counting(3))


def test_no_rows_and_single_numbers_are_rows_too(tmp_path):
    """Batches of none, and rows without a further dimension."""
    cache = FeatureCache(tmp_path, "numbers", 1)
    assert (0, 1) == cache.features(rows(), Counting(1)).shape
    x = torch.tensor([3.0, 4.0, 3.0])
    assert torch.equal(x[:, None] * 2, cache.features(x, lambda rows: rows[:, None] * 2))
    assert 2 == len(cache)


def test_looking_up_twenty_thousand_rows_takes_a_moment(tmp_path):
    """Far less than a hundredth of what a sentence transformer takes for them (70 s)."""
    cache = FeatureCache(tmp_path, "random", 384)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20_000, 128), np.uint8))
    made = torch.randn(256, 384)
    cache.features(x, lambda rows: made[: len(rows)])
    start = time.process_time()
    cache.features(x, Counting(384))
    assert time.process_time() - start < 0.7


@pytest.mark.parametrize("kept", [0, 5, HEAD.itemsize - 1, HEAD.itemsize, HEAD.itemsize + 60])
def test_a_file_that_was_torn_in_its_beginning_is_begun_anew(tmp_path, kept):
    """Less than a head and its entries says nothing; features are right and held again."""
    encode, x = Counting(), rows(*range(9))
    cache = FeatureCache(tmp_path, "counting", 3, capacity=12)
    cache.features(x, encode)
    os.truncate(cache.path, kept)
    again = FeatureCache(tmp_path, "counting", 3, capacity=12)
    assert torch.equal(Counting()(x), again.features(x, encode))
    encode.rows = 0
    assert torch.equal(Counting()(x), again.features(x, encode))
    assert (0, 9) == (encode.rows, len(again))


def test_a_view_that_was_open_while_the_file_was_torn_goes_on(tmp_path):
    """What it knows of the file is no promise: what is not there any more is made anew."""
    encode, x = Counting(), rows(*range(9))
    cache = FeatureCache(tmp_path, "counting", 3, capacity=12)
    cache.features(x, encode)
    os.truncate(cache.path, cache.path.stat().st_size - 40)
    encode.rows = 0
    assert torch.equal(Counting()(x), cache.features(x, encode))
    assert 4 == encode.rows  # 40 bytes of rows of 12


def test_an_encoder_that_fails_leaves_the_file_as_it_was(tmp_path):
    """Rows that it had made before are held, and nothing is where the failure was."""

    def fails(x):
        raise MemoryError("no room")

    cache = FeatureCache(tmp_path, "counting", 3)
    with pytest.raises(MemoryError):
        cache.features(rows(1), fails)
    assert 0 == len(cache)
    cache.features(rows(1, 2), Counting())
    before = cache.path.read_bytes()
    with pytest.raises(MemoryError):
        cache.features(rows(2, 3), fails)
    assert before == cache.path.read_bytes()
    assert torch.equal(Counting()(rows(2, 1)), cache.features(rows(2, 1), fails))


def test_more_rows_than_slots_in_one_call_are_all_answered(tmp_path):
    """The last ones are held; the file is not larger for it."""
    cache = FeatureCache(tmp_path, "counting", 3, capacity=7)
    x, encode = rows(*range(600)), Counting()
    assert torch.equal(Counting()(x), cache.features(x, encode))
    assert (600, 7) == (encode.rows, len(cache))
    encode.rows = 0
    cache.features(x[-7:], encode)
    assert 0 == encode.rows


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_the_rows_that_are_held_are_the_last_new_ones(capacity, numbers):
    """Against a list: first in, first out, and a row that is asked for again is not moved."""
    encode, model = Counting(), []
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(folder, "counting", 3, capacity)
        for number in numbers:
            encode.rows = 0
            cache.features(rows(number), encode)
            assert (number not in model) == encode.rows
            if number not in model:
                model = [*model, number][-capacity:]
            assert len(model) == len(cache)
