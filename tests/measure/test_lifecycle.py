"""Life cycles: curves over batches, and what they integrate to, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidValue
from perdure.measure import Cost, LifeCycle, Moment, Saved, life_cycle_savings


def moment(rows, *, classes=2, accuracy=0.5, seen=None, held=100, spent=10):
    """A moment that cost so many FLOPs, half as many seconds and twice as many rows."""
    cost = Cost(spent, spent, spent / 2, spent / 4, rows=2 * spent, updates=1)
    return Moment(rows, classes, accuracy, accuracy if seen is None else seen, held, cost)


def cycle(name, spent, **columns):
    """A life cycle over ten rows a batch; `columns` hold one value a batch."""
    moments = [
        moment(10 * (i + 1), spent=amount, **{key: held[i] for key, held in columns.items()})
        for i, amount in enumerate(spent)
    ]
    return LifeCycle(name, tuple(moments))


def retraining(batches, unit):
    """What starts again at batch t with all t batches spends: unit, 2 unit, 3 unit, ..."""
    return cycle("retraining", [unit * (t + 1) for t in range(batches)])


def test_the_cost_of_a_life_is_that_of_its_batches():
    """1 + 2 + 3 + 4 units of 5."""
    assert 50 == retraining(4, 5).cost.flops
    assert 100 == retraining(4, 5).cost.rows
    assert 4 == retraining(4, 5).cost.updates


@given(st.integers(1, 400), st.integers(1, 9))
def test_learning_each_batch_once_saves_what_the_sum_of_the_first_numbers_says(batches, unit):
    """Constant cost against t units at batch t: 1 - n / (n (n + 1) / 2) = 1 - 2 / (n + 1)."""
    once = cycle("once", [unit] * batches)
    savings = life_cycle_savings(once, retraining(batches, unit))
    expected = Saved(1 - 2 / (batches + 1), 1 - 1 / batches)
    for found in (savings.flops, savings.seconds, savings.cpu_seconds, savings.rows):
        assert expected.whole == pytest.approx(found.whole)
        assert expected.last == pytest.approx(found.last)


def test_391_batches_save_99_and_a_half_percent_by_that_alone():
    """The ceiling of one pass against one pass over everything, at every batch."""
    savings = life_cycle_savings(cycle("once", [1] * 391), retraining(391, 1))
    assert 1 - 2 / 392 == pytest.approx(savings.flops.whole)
    assert 0.9974 == pytest.approx(savings.flops.last, abs=1e-4)


def test_a_life_saves_nothing_against_itself():
    """And gives up nothing."""
    life = retraining(3, 2)
    savings = life_cycle_savings(life, life)
    assert Saved(0, 0) == savings.flops == savings.memory
    assert (0, 0, 0) == (savings.gap, savings.final_gap, savings.widest_gap)


def test_what_spends_more_saves_less_than_nothing():
    """A negative share, never cut off."""
    assert Saved(-1, -1) == life_cycle_savings(retraining(3, 4), retraining(3, 2)).flops


def test_nothing_is_saved_where_nothing_was_spent():
    """Against a reference that costs nothing there is no share."""
    assert Saved(None, None) == life_cycle_savings(retraining(2, 1), retraining(2, 0)).flops


def test_gaps_are_those_of_batches_where_both_were_measured():
    """Batches 0 and 2: 0.2 and 0.1, so 0.15 on average; after the last batch 0.1."""
    ours = cycle("a", [1] * 3, accuracy=[0.7, None, 0.8], seen=[0.7, None, 0.8])
    theirs = cycle("b", [1] * 3, accuracy=[0.9, 0.9, 0.9])
    savings = life_cycle_savings(ours, theirs)
    assert 0.15 == pytest.approx(savings.gap)
    assert 0.1 == pytest.approx(savings.final_gap)
    assert 0.2 == pytest.approx(savings.widest_gap)
    assert 0.75 == pytest.approx(ours.accuracy())
    assert 0.8 == ours.final_accuracy()


def test_gaps_that_nobody_measured_are_none():
    """Not zero."""
    blind = LifeCycle("blind", (Moment(1, 1, None, None, 0, Cost()),))
    savings = life_cycle_savings(blind, blind)
    assert (None, None, None) == (savings.gap, savings.final_gap, savings.widest_gap)
    assert blind.accuracy() is None


def test_memory_that_holds_rows_grows_by_a_row_and_bounded_memory_by_nothing():
    """Counted from where the last class came: what a class adds is no growth with the stream."""
    held, classes = [100, 300, 340, 380], [1, 3, 3, 3]
    assert 4 == cycle("all rows", [1] * 4, held=held, classes=classes).bytes_per_row()
    held = [100, 300, 300, 300]
    assert 0 == cycle("bounded", [1] * 4, held=held, classes=classes).bytes_per_row()
    assert cycle("new to the end", [1] * 2, classes=[1, 2]).bytes_per_row() is None


def test_memory_saved_is_of_means_and_of_the_end():
    """Held 10, 10 against 20, 60: means 10 and 40, ends 10 and 60."""
    ours, theirs = (cycle("x", [1] * 2, held=held) for held in ([10, 10], [20, 60]))
    saved = life_cycle_savings(ours, theirs).memory
    assert (0.75, 50 / 60) == pytest.approx((saved.whole, saved.last))


def test_a_life_comes_back_from_plain_values():
    """As JSON keeps them."""
    life = retraining(3, 2)
    assert life == LifeCycle.from_dict(life.to_dict())


def test_lives_through_different_batches_do_not_compare():
    """Nor is there a life without batches."""
    with pytest.raises(InvalidValue, match="lived through different batches: 3 and 2 of them"):
        life_cycle_savings(retraining(3, 1), retraining(2, 1))
    with pytest.raises(InvalidValue, match="no moments"):
        LifeCycle("nothing", ())


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
)
def test_shares_and_gaps_lie_where_they_must(spent, accuracies):
    """No share above one; the mean gap between the least and the widest."""
    size = min(len(spent), len(accuracies))
    ours = cycle("a", spent[:size], accuracy=accuracies[:size])
    theirs = cycle("b", [1] * size, accuracy=[1.0] * size)
    savings = life_cycle_savings(ours, theirs)
    assert savings.flops.whole <= 1
    assert savings.flops.last == 1 - spent[size - 1]
    assert 1 - max(accuracies[:size]) - 1e-9 <= savings.gap <= savings.widest_gap + 1e-9


@given(st.integers(2, 50), st.integers(0, 2000), st.integers(1, 5000))
def test_a_state_that_keeps_every_row_gains_exactly_a_row_s_bytes(batches, row, fixed):
    """Whatever else it holds: fixed + rows * bytes."""
    held = [fixed + 10 * (i + 1) * row for i in range(batches)]
    assert row == cycle("rows", [1] * batches, held=held).bytes_per_row()


def test_two_lives_one_after_the_other_cost_the_sum():
    """Amounts add up and what is held at once takes the larger, as costs do."""
    first, second = retraining(3, 2), retraining(3, 5)
    assert first.cost + second.cost == LifeCycle("both", first.moments + second.moments).cost


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 7))
def test_replay_beside_the_incoming_rows_has_a_closed_form(batches, rows, passes):
    """As many recalled rows as new ones, against t batches of them: 1 - 4 / (n + 1)."""
    replay = cycle("replay", [2 * rows * passes] * batches)
    whole = life_cycle_savings(replay, retraining(batches, rows * passes)).flops.whole
    assert 1 - 4 / (batches + 1) == pytest.approx(whole)


@given(st.integers(1, 40), st.integers(1, 40))
def test_retraining_every_so_often_has_a_closed_form(times, every):
    """At batches k, 2k, ..., mk alone: k m (m+1) / 2 units against those of every batch."""
    batches = times * every
    seldom = cycle("seldom", [t if t % every == 0 else 0 for t in range(1, batches + 1)])
    saved = life_cycle_savings(seldom, retraining(batches, 1))
    spent = every * times * (times + 1) / 2
    assert 1 - spent / (batches * (batches + 1) / 2) == pytest.approx(saved.flops.whole)
    assert 0 == saved.flops.last  # the last batch is one of them


@given(st.lists(st.integers(1, 99), min_size=1, max_size=9), st.integers(2, 9))
def test_shares_do_not_hang_on_the_unit(spent, unit):
    """FLOPs or giga-FLOPs, seconds or hours."""
    plain, scaled = (
        life_cycle_savings(
            cycle("a", [by * one for one in spent]), cycle("b", [by * 100 for _ in spent])
        )
        for by in (1, unit)
    )
    assert plain.flops.whole == pytest.approx(scaled.flops.whole)
    assert plain.seconds.last == pytest.approx(scaled.seconds.last)


@given(st.lists(st.integers(1, 99), min_size=2, max_size=9))
def test_what_is_saved_against_a_third_follows_from_two(spent):
    """1 - a/c = 1 - (1 - s)(1 - t), where a saves s against b and b saves t against c."""
    size = len(spent)
    a, b, c = cycle("a", spent), cycle("b", [50] * size), retraining(size, 30)
    one, two, both = (life_cycle_savings(*pair).flops for pair in ((a, b), (b, c), (a, c)))
    assert both.whole == pytest.approx(1 - (1 - one.whole) * (1 - two.whole))
    assert both.last == pytest.approx(1 - (1 - one.last) * (1 - two.last))


def test_the_area_of_a_curve_is_its_mean_where_it_was_looked_at():
    """Looks at batches 0 and 3: the mean of two, whatever lies between."""
    looked = cycle("x", [1] * 4, accuracy=[0.2, None, None, 0.8], seen=[0.4, None, None, 0.8])
    assert 0.6 == pytest.approx(looked.accuracy())
    assert 0.8 == looked.final_accuracy()
    unfinished = LifeCycle("x", looked.moments[:3])
    assert unfinished.final_accuracy() is None
    assert 0.4 == unfinished.accuracy()
