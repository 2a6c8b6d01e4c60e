import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from snnconvert.calibration.histogram import BINS, PER_OCTAVE, ChannelHistogram

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TINY = float(np.finfo(np.float32).tiny)  # smaller values are denormal and count as zero


def filled(values: np.ndarray, sizes: list[int] | None = None) -> ChannelHistogram:
    """A histogram of (channels, n) values, taken in by parts of the given sizes."""
    histogram = ChannelHistogram(len(values))
    begin = 0
    for size in [*(sizes or []), values.shape[1]]:
        histogram.update(values[:, begin : begin + size])
        begin += size
    return histogram


def assert_identical(a: ChannelHistogram, b: ChannelHistogram) -> None:
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.top, b.top)
    np.testing.assert_array_equal(a.maximum, b.maximum)
    assert a.total == b.total


@given(
    values=st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    sizes=st.lists(st.integers(1, 20), max_size=5),
)
def test_neither_order_nor_batches_change_a_single_count(
    values: list[tuple[float, float]], order: object, sizes: list[int]
) -> None:
    original = np.array(values, np.float32).T
    shuffled = list(values)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    taken = np.zeros((2, 0), np.float32)
    parts = ChannelHistogram(2)
    for size in sizes:  # flushed after each part, so that the octaves rise on the way
        part = np.array(shuffled[:size], np.float32).T.reshape(2, -1)
        parts.update(part)
        taken = np.concatenate([taken, part], axis=1)
        normal = taken >= np.finfo(np.float32).tiny
        np.testing.assert_array_equal(parts.counts.sum(axis=1), normal.sum(axis=1))
        shuffled = shuffled[size:]
    parts.update(np.array(shuffled, np.float32).reshape(-1, 2).T)
    assert_identical(filled(original), parts)


@given(st.lists(FLOATS, min_size=2, max_size=40), st.integers(1, 39))
def test_merging_two_halves_equals_one_pass(values: list[float], cut: int) -> None:
    whole = np.array([values], np.float32)
    first, second = filled(whole[:, :cut]), filled(whole[:, cut:])
    first.merge(second)
    assert_identical(first, filled(whole))


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_every_positive_value_is_in_the_bin_that_holds_it(values: list[float]) -> None:
    histogram = filled(np.array([values], np.float32))
    distribution = histogram.channel(0)
    edges = distribution.edges
    assert len(edges) == BINS + 1
    assert (np.diff(edges) > 0).all()
    positive = np.array([v for v in values if v >= TINY])
    bins = np.searchsorted(edges, positive, side="right") - 1
    np.testing.assert_array_equal(np.bincount(bins, minlength=BINS), histogram.counts[0])
    assert distribution.total == len(values)
    assert distribution.positive == len(positive)
    assert distribution.maximum == max([*positive, 0.0])


def test_bins_are_narrow(rng: np.random.Generator) -> None:
    distribution = filled(rng.exponential(1.0, (1, 1000)).astype(np.float32)).channel(0)
    width = np.diff(distribution.edges)
    upper = distribution.edges[:-1] >= distribution.maximum / 64
    assert (width[upper] <= distribution.edges[:-1][upper] / PER_OCTAVE).all()
    assert (width <= distribution.maximum / 2**7).all()
    assert (width[~upper] <= distribution.maximum / 2**13).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0])
def test_quantiles_agree_with_numpy_to_a_bin(rng: np.random.Generator, share: float) -> None:
    heavy = rng.standard_normal((3, 20_000)) ** 3
    values = (heavy * np.array([[1e-4], [1.0], [1e4]]) + np.array([[0], [0.5], [0]])).astype("f4")
    histogram = filled(values, [100, 5000])
    clipped = np.maximum(values, 0)
    for c in range(3):
        # A bin's width, and the gap to the next value where that lies in another bin.
        expected = pytest.approx(
            np.quantile(clipped[c], share), rel=2 / PER_OCTAVE, abs=float(clipped[c].max()) / 2**13
        )
        assert histogram.channel(c).quantile(share) == expected
    merged = histogram.merged()
    assert merged.quantile(share) == pytest.approx(
        np.quantile(clipped, share), rel=2 / PER_OCTAVE, abs=float(clipped.max()) / 2**13
    )
    assert merged.total == clipped.size
    assert merged.maximum == clipped.max()


def test_the_maximum_is_exact(rng: np.random.Generator) -> None:
    values = rng.standard_normal((4, 1000)).astype(np.float32)
    histogram = filled(values)
    np.testing.assert_array_equal(histogram.maximum, values.max(axis=1))
    assert histogram.channel(2).quantile(1.0) == values[2].max()


def test_channels_are_apart_and_merge_on_the_widest_scale() -> None:
    histogram = filled(np.array([[1.0, 2.0, -1.0], [0.5, 1000.0, 0.0], [-1.0, 0.0, -2.0]], "f4"))
    assert [histogram.channel(c).positive for c in range(3)] == [2, 2, 0]
    assert histogram.channel(2).quantile(0.5) == 0.0
    assert histogram.channel(2).quantile(1.0) == 0.0
    merged = histogram.merged()
    assert (merged.positive, merged.total, merged.maximum) == (4, 9, 1000.0)


def test_no_values_at_all() -> None:
    distribution = ChannelHistogram(1).channel(0)
    assert (distribution.positive, distribution.total, distribution.maximum) == (0, 0, 0.0)
    assert distribution.quantile(0.5) == 0.0


def test_many_values_are_counted_in_bounded_memory(rng: np.random.Generator) -> None:
    histogram = ChannelHistogram(2)
    values = rng.standard_normal((2, 300_000)).astype(np.float32)
    for _ in range(4):
        histogram.update(values)
    assert histogram.counts.sum() == 4 * (values > 0).sum()
    assert histogram.counts.shape == (2, BINS)
