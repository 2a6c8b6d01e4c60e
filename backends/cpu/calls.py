"""What kernels are called with: arguments, working memory, parts of a sample for threads."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.kernels.layer import HEADER, SCRATCH
from snnconvert.backends.cpu.kernels.native import Kernel

Arguments: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Membranes:
    """State of a layer: (n, positions, padded channels) voltages and int32 counts."""

    voltage: npt.NDArray[Any]
    counts: npt.NDArray[np.int32]


class Workspace(threading.local):
    """Memory of each thread that batch after batch is written to: its pages are touched once."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def array(self, name: str, size: int, dtype: Any) -> npt.NDArray[Any]:
        """Return a flat array of at least `size` numbers; what it holds is undefined."""
        held = self._arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = np.empty(size + size // 4, dtype)
            self._arrays[name] = held
        return held

    def membranes(self, name: str, shape: tuple[int, ...], dtype: Any) -> Membranes:
        """Return voltages, undefined, and counts of 0."""
        size = math.prod(shape)
        voltage = self.array(f"voltages of {name}", size, dtype)[:size].reshape(shape)
        counts = self.array(f"counts of {name}", size, np.int32)[:size].reshape(shape)
        counts[...] = 0
        return Membranes(voltage, counts)


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
    return head, more


def split(positions: int, threads: int) -> list[tuple[int, int]]:
    """Cut the positions of a sample into parts of about the same size."""
    parts = max(min(threads, positions), 1)
    edges = [positions * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))


def call(
    kernel: Kernel,
    arguments: Arguments,
    parts: Sequence[tuple[int, int]],
    *,
    pool: Executor | None,
    scratch: int = 0,
    memory: Workspace | None = None,
) -> None:
    """Run a kernel over the parts of a sample, side by side where there is a pool.

    Parameters
    ----------
    parts : sequence of (first, last)
        Positions; they become the first two arguments.
    scratch : int
        Numbers of 64 bits, in `memory`, that the kernel may write in each part.
    """

    def one(part: tuple[int, int]) -> None:
        own = arguments.copy()
        own[:2] = part
        if memory is not None and scratch:
            own[SCRATCH] = memory.array("scratch", scratch, np.int64).ctypes.data
        kernel(own)

    others: list[Future[None]] = []
    try:
        if pool is not None:
            for part in parts[1:]:
                others.append(pool.submit(one, part))
        for part in parts if pool is None else parts[:1]:
            one(part)
    finally:  # an interruption must not free arrays whose addresses kernels still hold
        wait(others)
    for other in others:
        other.result()
