"""Threads that a process may use, and pieces of work on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from snnconvert.convert.threads import default_threads, in_turn, most_threads, on_threads


def test_threads_default_to_the_processors_that_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert default_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert default_threads() == most_threads() == max(16, 4 * (os.cpu_count() or 1))
    monkeypatch.setenv("OMP_NUM_THREADS", "²")
    assert default_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert default_threads() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1


@pytest.mark.parametrize("threads", ["1", "3"])
def test_pieces_come_back_in_order(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert on_threads(lambda x: x * x, iter(range(20))) == [x * x for x in range(20)]
    assert on_threads(lambda x: x, []) == []


def test_new_threads_begin_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenMP's number of threads, which oneDNN asks for, belongs to a thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    begun, both = [], threading.Barrier(2, timeout=10)

    def begin() -> None:
        begun.append(threading.get_ident())

    def work(_: int) -> int:
        both.wait()
        return threading.get_ident()

    found = on_threads(work, range(2), begin=begin)
    assert sorted(found) == sorted(begun)
    assert threading.get_ident() not in begun


def test_pieces_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    both = threading.Barrier(2, timeout=10)
    assert sorted(on_threads(lambda _: both.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_an_exception_of_a_piece_is_raised(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    with pytest.raises(ZeroDivisionError):
        on_threads(lambda x: 1 / x, [1, 0])


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_turn_and_pieces_are_drawn_as_they_are_needed(threads: int) -> None:
    drawn: list[int] = []

    def pieces() -> Iterator[int]:
        for piece in range(20):
            drawn.append(piece)
            yield piece

    found = in_turn(lambda x: x * x, pieces(), threads)
    for count in range(1, 6):
        assert next(found) == (count - 1) ** 2
        assert len(drawn) <= count + threads
    assert list(found) == [x * x for x in range(5, 20)]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_drops_what_has_not_begun(threads: int) -> None:
    begun: list[int] = []

    def work(x: int) -> float:
        begun.append(x)
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        list(in_turn(work, [1, 0, *range(1, 50)], threads))
    assert len(begun) <= 2 + 2 * threads


def test_pieces_in_turn_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)
    assert sorted(in_turn(lambda _: both.wait(), range(2), 2)) == [0, 1]
