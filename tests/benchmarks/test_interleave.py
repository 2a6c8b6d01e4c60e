"""Times taken in turns: order, repetition, spread."""

from itertools import count

import pytest
from interleave import Spread, Times, interleave


def test_work_is_done_in_turns_and_backwards_every_second_round() -> None:
    done: list[str] = []
    ticks = count()
    interleave(
        {"a": lambda: done.append("a"), "b": lambda: done.append("b")},
        repeat=2,
        shortest=0,
        pause=0,
        clock=lambda: float(next(ticks)),
    )
    assert "".join(done[4:]) == "abba"  # after a warm-up and one to learn the length, of each


def test_short_work_is_repeated_within_a_measurement() -> None:
    done: list[str] = []
    ticks = count()
    times = interleave(
        {"a": lambda: done.append("a")},
        repeat=1,
        shortest=3,
        pause=0,
        clock=lambda: float(next(ticks)),
    )
    assert len(done) == 2 + 3
    assert times.seconds == {"a": (1 / 3,)}


def test_work_that_returns_seconds_has_timed_itself() -> None:
    times = interleave({"a": lambda: 0.25}, repeat=3, shortest=0, pause=0)
    assert times.seconds == {"a": (0.25, 0.25, 0.25)}


def test_ratios_are_of_the_pairs_of_a_round() -> None:
    times = Times({"run": (2.0, 30.0), "ann": (1.0, 10.0)})
    assert times.ratio("run", "ann", 2).values == (1.0, 1.5)


def test_a_spread_has_quartiles() -> None:
    spread = Spread.of([5.0, 1.0, 2.0, 3.0, 4.0])
    assert (spread.median, spread.low, spread.high) == (3.0, 2.0, 4.0)
    assert spread.values == (5.0, 1.0, 2.0, 3.0, 4.0)


def test_the_spread_of_few_measurements_is_all_of_them() -> None:
    spread = Spread.of([2.0, 1.0])
    assert (spread.median, spread.low, spread.high) == (1.5, 1.0, 2.0)


def test_a_spread_is_written_in_six_digits() -> None:
    assert Spread.of([1 / 3]).to_json() == {
        "median": 0.333333,
        "low": 0.333333,
        "high": 0.333333,
        "values": [pytest.approx(0.333333, abs=1e-9)],
    }
