"""How many threads a process may use, and independent pieces of NumPy's work on all of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Found = TypeVar("Found")


FEWEST_ALLOWED, A_PROCESSOR = 16, 4
"""So many threads are always allowed, and so many for each processor: more bring nothing, and
thousands take all of a machine."""


def most_threads() -> int:
    """Return the threads that are used at the most, whatever is asked for."""
    return max(FEWEST_ALLOWED, A_PROCESSOR * (os.cpu_count() or 1))


def default_threads() -> int:
    """Return the processors that this process may use, or ``OMP_NUM_THREADS`` where it is set.

    That one no further than :func:`most_threads`.
    """
    wish = os.environ.get("OMP_NUM_THREADS", "")
    if wish.isdecimal() and int(wish):
        return min(int(wish), most_threads())
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def on_threads(
    work: Callable[[Piece], Found],
    pieces: Iterable[Piece],
    *,
    begin: Callable[[], object] | None = None,
) -> list[Found]:
    """Return what `work` makes of every piece, in their order.

    The pieces must not depend on one another: the result then is the same for every number of
    threads. An exception of a piece is raised here. New threads call `begin` first.
    """
    pieces = list(pieces)
    threads = min(default_threads(), len(pieces))
    if threads < 2:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        return list(pool.map(work, pieces))


def in_turn(
    work: Callable[[Piece], Found], pieces: Iterable[Piece], threads: int
) -> Iterator[Found]:
    """Yield what `work` makes of every piece, in their order, each piece on one of the threads.

    Pieces are drawn in this thread, as many ahead as there are threads. Where it ends early, those
    that have not begun are dropped.
    """
    if threads < 2:
        yield from map(work, pieces)
        return
    pool, begun = ThreadPoolExecutor(threads), deque[Future[Found]]()
    try:
        for piece in pieces:
            begun.append(pool.submit(work, piece))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
