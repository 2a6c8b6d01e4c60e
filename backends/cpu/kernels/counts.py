"""Counts of spikes, channels side by side, as results hold them: one channel after the other."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.kernels.emitter import INT, LONG, Emitter
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel


@cache
def _kernel() -> Kernel:
    return compile_kernel("counts", _emit())


def _emit() -> str:
    """Arguments: samples, positions, channels, padded channels, counts, results."""
    e = Emitter("counts")
    samples, positions, channels, width, counts, results = (e.argument(i) for i in range(6))
    stride = e.multiply(width, LONG(4))
    with e.loop(LONG(0), samples) as sample, e.loop(LONG(0), channels) as channel:
        place = e.add(e.multiply(sample, positions, width), channel)
        read = e.variable(e.add(counts, e.multiply(place, LONG(4))))
        place = e.multiply(e.add(e.multiply(sample, channels), channel), positions, LONG(8))
        write = e.add(results, place)
        with e.loop(LONG(0), positions) as position:
            count = e.builder.sext(e.load(e.get(read), INT), LONG)
            e.store(count, e.add(write, e.multiply(position, LONG(8))))
            e.set(read, e.add(e.get(read), stride))
    return e.text()


def write_counts(
    counts: npt.NDArray[np.int32], channels: int, results: npt.NDArray[np.int64]
) -> None:
    """Write counts to results; NumPy takes five times as long.

    Parameters
    ----------
    counts : (n, positions, padded channels) int32 array
    channels : int
    results : (n, channels, ...) int64 array
        Contiguous; its further axes are the positions.
    """
    n, positions, width = counts.shape
    assert results.flags.c_contiguous
    addresses = counts.ctypes.data, results.ctypes.data
    _kernel()(np.array([n, positions, channels, width, *addresses], np.int64))
