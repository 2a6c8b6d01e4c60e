"""Intervals against published values, moments against NumPy."""

import numpy as np
import pytest

from snnconvert.reports.statistics import PairMoments, paired_difference_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_interval_has_the_published_values(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_is_closed_at_the_ends() -> None:
    assert wilson_interval(0, 1500)[0] == 0.0
    assert wilson_interval(1500, 1500)[1] == 1.0


def test_paired_interval_is_that_of_the_formula() -> None:
    # 10 samples only the first got right, 2 only the second, of 100: d = -8/102,
    # standard error sqrt((13/102 - d**2) / 102) = 0.034485.
    low, high = paired_difference_interval(10, 2, 100)
    assert low == pytest.approx(-8 / 102 - 1.95996 * 0.034485, abs=1e-4)
    assert high == pytest.approx(-8 / 102 + 1.95996 * 0.034485, abs=1e-4)


def test_paired_interval_covers_the_true_difference(rng: np.random.Generator) -> None:
    """Of 1,000 experiments about 95 % cover the difference that they were drawn with."""
    n, only_first, only_second = 200, 0.06, 0.02
    draws = rng.multinomial(n, [only_first, only_second, 1 - only_first - only_second], 1000)
    intervals = [paired_difference_interval(int(a), int(b), n) for a, b, _ in draws]
    covered = np.mean([low <= only_second - only_first <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.98


def test_moments_are_numpy_s(rng: np.random.Generator) -> None:
    x = np.maximum(rng.normal(0, 1, (40, 7)), 0)
    y = x + rng.normal(0, 0.2, x.shape)
    moments = PairMoments()
    for start in range(0, 40, 9):
        moments.add(x[start : start + 9], y[start : start + 9])
    assert moments.correlation == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert moments.relative_error == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x))


def test_moments_of_a_constant_say_that_they_are_unknown() -> None:
    moments = PairMoments()
    assert moments.correlation is None
    assert moments.relative_error is None
    moments.add(np.zeros(50), np.linspace(0, 1, 50))
    assert moments.correlation is None
    assert moments.relative_error is None
    constant = PairMoments()
    constant.add(np.linspace(0, 1, 50), np.full(50, 0.1))
    assert constant.correlation is None
    assert constant.relative_error is not None
