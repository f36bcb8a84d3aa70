"""A two-sample test on features, whose false alarms are as rare as it says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live import tiny

from perdure import checkpoint
from perdure.errors import CheckpointMismatch, InvalidValue
from perdure.live.drift import FeatureDrift
from perdure.live.drift.features import resemblance, threshold
from perdure.live.drift.fourier import DIMS, Fourier, Spread, normals, projection

SMALL = {"ert": 400, "reference": 80, "window": 40, "block": 4}


def normal(seed, rows, columns=8):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def found(detector, *parts):
    """Rows at which the alarm was given, counted over all parts."""
    rows, before = [], 0
    for part in parts:
        rows += [before + alarm.row for alarm in detector.update(part)]
        before += len(part)
    return rows


def test_false_alarms_keep_to_the_expected_run_time():
    """Ten steady streams; stated: one alarm in 1,000 rows; found: fewer, and not none."""
    rows = alarms = 0
    for seed in range(10):
        detector = FeatureDrift(ert=1000, reference=400, window=80, seed=seed)
        alarms += len(found(detector, normal(seed, 3000)))
        rows += 3000
    assert 3 <= alarms <= rows / 1000


def test_features_that_are_not_normal_keep_to_it_too():
    """Skewed, on a few values, and all alike but for a scale."""
    rng = np.random.default_rng(0)
    skewed = torch.from_numpy(rng.exponential(size=(3000, 8)))
    counts = torch.from_numpy(rng.poisson(0.3, size=(3000, 8)).astype(np.float32))
    one = torch.from_numpy(rng.normal(size=(3000, 1)) * np.arange(1, 9))
    detectors = [FeatureDrift(ert=2000, reference=400, window=80) for _ in range(3)]
    parts = zip(detectors, (skewed, counts, one), strict=True)
    assert sum(len(found(detector, rows)) for detector, rows in parts) <= 3 * 3000 / 2000


def test_rows_that_resemble_their_neighbours_keep_to_it_too():
    """Each row nine tenths of the one before it: without a correction, five times the alarms."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(3):
        rows = rng.standard_normal((6000, 8))
        for index in range(1, len(rows)):
            rows[index] = 0.9 * rows[index - 1] + np.sqrt(0.19) * rows[index]
        alarms += len(found(FeatureDrift(ert=3000), torch.from_numpy(rows)))
    assert alarms <= 3 * 6000 / 3000


@pytest.mark.parametrize("change", ["mean", "variance", "correlation"])
def test_a_change_is_found_within_a_window_or_two(change):
    """Half a deviation in a quarter of the columns; half as wide again; two columns that agree."""
    delays = []
    for seed in range(3):
        rows, drifted = normal(seed, 1500), normal(seed + 100, 800)
        if change == "mean":
            drifted[:, :2] += 0.5
        elif change == "variance":
            drifted *= 1.5
        else:
            drifted[:, 1::2] = drifted[:, ::2]
        alarms = found(FeatureDrift(ert=20_000, reference=600), rows, drifted)
        delays.append(min(row for row in alarms if row >= 1500) - 1500)
        assert [row for row in alarms if row < 1500] == []
    assert np.median(delays) <= 400


def test_after_an_alarm_what_comes_next_is_the_new_normal():
    """One change, one alarm."""
    detector = FeatureDrift()
    rows = torch.cat((normal(0, 2000), normal(1, 4000) + 3))
    assert len(detector.update(rows)) == 1
    assert detector.ready
    assert detector.starts == 2


def test_no_alarm_before_the_threshold_is_set():
    """However wild the reference: 200 rows for the scale, 1,000 to compare with."""
    detector = FeatureDrift()
    assert detector.update(normal(0, 500)) + detector.update(normal(1, 699) * 50) == []
    assert not detector.ready
    assert detector.update(normal(1, 1)) == []
    assert detector.ready


@settings(max_examples=12)
@given(st.lists(st.integers(0, 500), max_size=6), st.booleans())
def test_batching_and_saving_change_nothing_to_the_last_bit(cuts, save):
    """At any cuts, within blocks, within the reference, and across an alarm."""
    rows = torch.cat((normal(0, 300, 40), normal(1, 200, 40) + 2))
    whole, parts = FeatureDrift(**SMALL), FeatureDrift(**SMALL)
    expected, alarms = found(whole, rows), []
    assert expected
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 500], strict=True):
        if save:
            resumed = FeatureDrift(**SMALL)
            resumed.load_state_dict(parts.state_dict())
            parts = resumed
        alarms += [first + alarm.row for alarm in parts.update(rows[first:last])]
    assert alarms == expected
    assert tiny.digest(parts.state_dict()) == tiny.digest(whole.state_dict())


def test_no_row_is_ever_in_the_state(tmp_path):
    """Means over blocks are all that is kept, and they go through a file; they stay as many."""
    detector, sizes = FeatureDrift(**SMALL), {}
    for rows in range(4, 404, 4):
        marked = normal(rows, 4)
        marked[2] = 1000.0
        detector.update(marked)
        checkpoint.save(tmp_path / "state", detector.state_dict())
        held = list(tensors(checkpoint.load(tmp_path / "state")))
        assert not any(torch.isin(tensor, marked.double()).any() for tensor in held)
        sizes[rows] = sum(tensor.numel() for tensor in held)
    assert max(sizes.values()) < 3000
    assert sizes[200] == sizes[400]


def tensors(state):
    """All tensors of a nested state."""
    for held in state.values():
        if isinstance(held, torch.Tensor):
            yield held
        elif isinstance(held, dict):
            yield from tensors(held)


def test_features_that_never_change_give_no_alarm_and_then_do():
    """A constant reference has no spread; rounding alone must not pass."""
    detector = FeatureDrift(**SMALL)
    assert detector.update(torch.full((400, 3), 0.1)) == []
    assert detector.update(torch.full((40, 3), 5.0))


def test_images_and_text_are_flattened():
    """Whatever the shape and the dtype of the rows."""
    detector = FeatureDrift(**SMALL)
    rows = torch.randint(0, 256, (120, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    assert detector.update(rows.to(torch.uint8)) == []
    assert detector.ready
    assert detector.update(torch.full((40, 1, 6, 6), 200, dtype=torch.uint8))


def test_features_that_are_not_finite_or_of_another_width_are_refused():
    """Nothing is taken then."""
    detector = FeatureDrift(**SMALL)
    detector.update(normal(0, 10))
    before = tiny.digest(detector.state_dict())
    with pytest.raises(InvalidValue, match="not finite"):
        detector.update(torch.full((4, 8), float("nan")))
    with pytest.raises(InvalidValue, match="9 columns where there were 8"):
        detector.update(normal(0, 4, 9))
    assert tiny.digest(detector.state_dict()) == before
    detector.restart()
    assert detector.update(normal(0, 4, 9)) == []


@pytest.mark.parametrize(
    "wrong",
    [{"block": 0}, {"window": 4}, {"reference": 60}, {"ert": 10}, {"window": 42}],
    ids=["no block", "one block", "half a reference", "no run", "half a block"],
)
def test_settings_that_cannot_work_are_refused(wrong):
    """Windows are whole blocks, references whole windows."""
    with pytest.raises(InvalidValue):
        FeatureDrift(**{**SMALL, **wrong})


def test_a_state_of_other_settings_is_refused():
    """Its threshold would be for another run time."""
    other = FeatureDrift(**{**SMALL, "ert": 900})
    with pytest.raises(CheckpointMismatch, match="400"):
        other.load_state_dict(FeatureDrift(**SMALL).state_dict())


def test_a_longer_run_time_needs_a_higher_threshold():
    """Also where it lies beyond the orders that were drawn."""
    means = np.random.default_rng(0).normal(size=(50, 6))
    held = [threshold(means, 10, ert, 300, np.random.default_rng(1)) for ert in (60, 500, 5e4, 5e6)]
    assert held == sorted(held)
    assert held[0] < held[-1]


def test_within_the_orders_drawn_the_threshold_is_a_quantile():
    """A run of 41 windows in 82 blocks: half of the orders pass it."""
    means = np.random.default_rng(0).normal(size=(50, 6))
    held = threshold(means, 10, 82, 300, np.random.default_rng(1))
    held /= resemblance(means - means.mean(0), 10)
    order, passed = np.random.default_rng(1), 0
    orders = [order.permuted(np.tile(np.arange(50), (10, 1)), axis=1) for _ in range(30)]
    for drawn in means[np.concatenate(orders)]:
        windows = np.stack([drawn[i : i + 10].mean(0) for i in range(41)])
        largest = ((windows - means.mean(0)) ** 2).sum(1).max() * 60 / 40
        passed += largest > held + 1e-9
    assert passed == 150


def test_resemblance_is_the_ratio_of_the_variances_of_window_means():
    """Of a moving sum of four blocks, against windows counted one by one; never below one."""
    noise = np.random.default_rng(0).normal(size=(20_003, 3))
    alone = noise[3:]
    alike = noise[3:] + noise[2:-1] + noise[1:-2] + noise[:-3]
    windows = np.stack([alike[i : i + 12].mean(0) for i in range(0, len(alike) - 12, 12)])
    ratio = (windows**2).sum(1).mean() / ((alike**2).sum(1).mean() / 12)
    assert resemblance(alike, 12) == pytest.approx(ratio, rel=0.1)
    assert resemblance(alone, 12) == pytest.approx(1, abs=0.1)
    assert resemblance(np.tile([[1.0], [-1.0]], (50, 1)), 12) == 1
    assert 1 <= resemblance(np.zeros((50, 3)), 12) < 1.2


def test_fourier_features_approximate_the_gaussian_kernel():
    """phi(a) . phi(b) against exp(-|a - b|^2 / (4 p)) for scaled rows of p columns."""
    rows = np.random.default_rng(0).normal(size=(150, 5)) * 7 + 3
    fourier = Fourier.of(Spread.of(rows), seed=3)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    squares = ((scaled[:, None] - scaled[None]) ** 2).sum(2)
    assert squares.sum() / (150 * 149) == pytest.approx(10, rel=0.02)
    phi = np.stack([fourier.mean(row[None]) for row in rows])
    gap = np.abs(phi @ phi.T - np.exp(-squares / 20))
    assert gap.max() < 0.4
    assert gap.mean() < 0.1
    assert np.allclose(fourier.mean(rows), phi.mean(0))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.floats(0, 1e8))
def test_a_spread_is_that_of_all_rows_whatever_their_blocks(sizes, far):
    """Also far from zero, where a sum of squares would have lost the digits."""
    rows = np.random.default_rng(0).normal(size=(sum(sizes), 3)) + far
    first, *rest = np.split(rows, np.cumsum(sizes)[:-1])
    held = Spread.of(first)
    for part in rest:
        held += Spread.of(part)
    assert held.rows == len(rows)
    assert np.allclose(held.mean, rows.mean(0))
    assert np.allclose(held.squares / len(rows), rows.var(0), rtol=1e-4, atol=1e-12)


def test_random_numbers_are_those_of_the_normal_distribution_and_always_the_same():
    """Moments of many, and the first ones as they were when this was written."""
    drawn = normals((0, 1), 1000, 20)
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert np.array_equal(normals((0, 1), 4, 5).ravel(), drawn.ravel()[:20])
    assert not np.array_equal(normals((0, 0), 1, 4), normals((0, 1), 1, 4))


def test_wide_features_are_projected_and_narrow_ones_are_not():
    """Distances survive the projection up to a common factor, roughly."""
    assert np.array_equal(projection(5, 0), np.eye(5))
    wide = projection(2000, 0)
    assert wide.shape == (2000, DIMS)
    rows = np.random.default_rng(0).normal(size=(20, 2000))
    before = np.linalg.norm(rows[:10] - rows[10:], axis=1)
    after = np.linalg.norm((rows[:10] - rows[10:]) @ wide, axis=1)
    assert 0.6 < (after / before).min() / (after / before).max()
