"""What kernels are called with: arguments, working memory, parts of a sample for threads."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.kernels.layer import HEADER, SCRATCH
from snnconvert.backends.cpu.kernels.native import Kernel
from snnconvert.backends.cpu.kernels.sequence import OPEN, sequence_kernel

Arguments: TypeAlias = npt.NDArray[np.int64]


@dataclass(eq=False)
class Membranes:
    """State of a layer: (n, positions, padded channels) voltages and int32 counts.

    Attributes
    ----------
    voltage, counts : arrays
        Undefined until the first steps have been computed.
    v_init : (1 or positions, channels) array
        What the first steps begin with.
    fresh : bool
        Whether no steps have been added yet.
    """

    voltage: npt.NDArray[Any]
    counts: npt.NDArray[np.int32]
    v_init: npt.NDArray[Any]
    fresh: bool = True


class Workspace(threading.local):
    """Memory of each thread that batch after batch is written to: its pages are touched once.

    Attributes
    ----------
    runs : dict
        What the thread has prepared for batches of the same size.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self.runs: dict[Any, Any] = {}

    def array(self, name: str, size: int, dtype: Any) -> npt.NDArray[Any]:
        """Return a flat array of at least `size` numbers; what it holds is undefined."""
        held = self._arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = np.empty(size + size // 4, dtype)
            self._arrays[name] = held
        return held

    def membranes(
        self, name: str, counts: npt.NDArray[np.int32], v_init: npt.NDArray[Any]
    ) -> Membranes:
        """Return the state of a batch before the first step, with given room for the counts."""
        voltage = self.array(f"voltages of {name}", counts.size, v_init.dtype)[: counts.size]
        return Membranes(voltage.reshape(counts.shape), counts, v_init)


def header(
    membranes: Membranes,
    out: npt.NDArray[Any],
    steps: slice,
    bias: npt.NDArray[Any],
    threshold: npt.NDArray[Any],
) -> tuple[Arguments, Arguments]:
    """Return the arguments of the first sample, and what is added to them for each further one.

    Parameters
    ----------
    membranes : Membranes
    out : (n, positions, steps, bytes) array
    steps : slice
        Those of `out` that are computed.
    bias, threshold : (1 or positions, channels) arrays
    """
    head, more = np.zeros(HEADER, np.int64), np.zeros(HEADER, np.int64)
    voltage, counts = membranes.voltage, membranes.counts
    head[2:5] = steps.stop - steps.start, voltage.ctypes.data, counts.ctypes.data
    more[3:5] = voltage.strides[0], counts.strides[0]
    head[5:7] = bias.ctypes.data, bias.strides[0] if len(bias) > 1 else 0
    head[7:9] = threshold.ctypes.data, threshold.strides[0] if len(threshold) > 1 else 0
    head[9:11] = out.ctypes.data + steps.start * out.strides[2], out.strides[1]
    more[9] = out.strides[0]
    if membranes.fresh:
        v_init = membranes.v_init
        head[15:17] = v_init.ctypes.data, v_init.strides[0] if len(v_init) > 1 else 0
        head[17] = 0
    else:
        head[15:17], more[15] = (voltage.ctypes.data, voltage.strides[1]), voltage.strides[0]
        head[17] = -1
    membranes.fresh = False
    return head, more


def split(positions: int, threads: int) -> list[tuple[int, int]]:
    """Cut the positions of a sample into parts of about the same size."""
    parts = max(min(threads, positions), 1)
    edges = [positions * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))


class Calls:
    """Kernels to run one after the other, each by all threads on parts of a sample.

    All are run in one go, by one call of each thread: what lies between two kernels is an atomic
    number. They may be run again and again; what their arguments point to is held.

    Parameters
    ----------
    threads : int
    memory : Workspace
        Of the thread that adds calls; the others' scratch memory lies there too.
    """

    def __init__(self, threads: int, memory: Workspace) -> None:
        self._threads, self._memory = threads, memory
        self._places: list[list[tuple[int, int]]] = [[] for _ in range(threads)]
        self._tables: list[Arguments] = []
        self._held: list[Any] = []

    def add(
        self,
        kernel: Kernel,
        arguments: Arguments,
        positions: int,
        held: Sequence[Any],
        scratch: int = 0,
    ) -> None:
        """Add a call.

        Parameters
        ----------
        kernel : Kernel
        arguments : int64 array
            The first two become the first and last position of a thread's part.
        positions : int
        held : sequence
            Whose addresses are among the arguments.
        scratch : int
            Numbers of 64 bits that the kernel may write in each part.
        """
        parts = split(positions, self._threads)
        own = np.tile(arguments, (len(parts), 1))
        own[:, :2] = parts
        self._held += [own, kernel, *held]
        if scratch:
            rooms = [self._memory.array(f"scratch {i}", scratch, np.int64) for i in range(len(own))]
            own[:, SCRATCH] = [room.ctypes.data for room in rooms]
            self._held += rooms
        first, size = own.ctypes.data, own.strides[0]
        for thread, places in enumerate(self._places):
            busy = thread < len(own)
            places.append((kernel.address if busy else 0, first + thread * size if busy else 0))
        self._tables.clear()

    def run(self, pool: Executor | None) -> None:
        """Run all calls; the threads but this one are the pool's."""
        if not self._places[0]:
            return
        if not self._tables:
            self._tables = [np.array(places, np.int64) for places in self._places]
        arrivals = np.zeros(1, np.int64)
        shared = len(self._places[0]), arrivals.ctypes.data, self._threads, *_waiting()
        assert pool is not None or self._threads == 1, "calls of several threads need a pool"
        _together(
            sequence_kernel(),
            [np.array([table.ctypes.data, *shared], np.int64) for table in self._tables],
            arrivals,
            pool,
            (self._tables, self._held),
        )


def _together(
    kernel: Callable[[Arguments], None],
    arguments: Sequence[Arguments],
    arrivals: Arguments,
    pool: Executor | None,
    held: Any = None,
) -> None:
    """Run a kernel that waits for the others, with the first arguments in this thread.

    What is submitted owns what it points to: where a pool cannot start a thread it raises, and
    keeps what it was given for later.
    """
    others: list[Future[None]] = []

    def owning(own: Arguments, *_: Any) -> None:
        kernel(own)

    try:
        if pool is not None:
            with _submitting:  # or two runs would wait for each other's threads
                for own in arguments[1:]:  # one by one: an interruption leaves none unknown
                    others.append(pool.submit(owning, own, arrivals, held))
        kernel(arguments[0])
    except BaseException:
        arrivals[0] = OPEN  # those that wait for this thread need not
        raise
    finally:  # an interruption must not free arrays whose addresses kernels still hold
        wait(others)
    for other in others:
        other.result()


_submitting = threading.Lock()


@cache
def _waiting() -> tuple[int, int]:
    """Return the addresses of what gives the processor away and of what sleeps, 0 for none."""
    if os.name != "posix":
        return 0, 0
    functions = (getattr(ctypes.CDLL(None), name, None) for name in ("sched_yield", "usleep"))
    give_way, sleep = (
        ctypes.cast(function, ctypes.c_void_p).value or 0 if function else 0
        for function in functions
    )
    return give_way, sleep
