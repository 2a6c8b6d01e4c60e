"""What an analog input brings to a node in each step: computed once a sample."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.calls import Calls, Workspace
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.currents import LANES, current_kernel
from snnconvert.backends.cpu.layout import to_stored
from snnconvert.backends.cpu.taps import Taps, as_rows, channels_of, positions_of, taps_of
from snnconvert.convert.linear import FloatArray, Shape, apply_chain
from snnconvert.convert.network import Connection

LARGEST_BLOCK = 4
"""Vectors of channels that are summed together."""


class AnalogCurrents:
    """A connection from an analog input, in float64.

    On the grids of ``snap.py`` every product and sum is exact, so the order of the terms does not
    matter.

    Parameters
    ----------
    connection : Connection
    source, target : tuple of int
        Shapes of its ends.
    """

    def __init__(self, connection: Connection, source: Shape, target: Shape) -> None:
        self._chain, self._source, self._target = connection.operators, source, target
        taps = taps_of(connection.operators, source)
        if taps is not None and taps.diagonal:
            taps = as_rows(taps, channels_of(source))
        self._taps = taps
        if taps is not None:
            self._prepare(taps)

    def _prepare(self, taps: Taps) -> None:
        count, inputs, outputs = taps.weights.shape
        self._channels, self._inputs = padded(outputs), inputs
        self._rows = np.zeros((count, inputs, self._channels))
        self._rows[:, :, :outputs] = taps.weights
        self._places = np.empty((len(taps.sources), 2), np.int64)
        self._places[:, 0] = taps.sources * inputs * 8
        self._places[:, 1] = self._rows.ctypes.data + taps.blocks * self._rows.strides[0]

    def of(self, values: FloatArray, pool: Executor | None, threads: int) -> FloatArray:
        """Map samples (n, *source shape), float64, to currents (n, size) in stored order."""
        n, taps = len(values), self._taps
        if taps is None:
            brought = apply_chain(self._chain, values)
            return to_stored(brought, self._target).reshape(n, -1)
        channels, positions = channels_of(self._target), positions_of(self._target)
        plain = values.reshape(n, channels_of(self._source), positions_of(self._source))
        by_position = np.ascontiguousarray(plain.transpose(0, 2, 1))
        currents = np.empty((n, positions, self._channels))
        groups = self._channels // LANES
        vectors = max(v for v in range(1, LARGEST_BLOCK + 1) if groups % v == 0)
        kernel = current_kernel(vectors, groups // vectors)
        fixed: list[Any] = [taps.starts.ctypes.data, self._places.ctypes.data, self._inputs]
        calls, held = Calls(threads if pool else 1, Workspace()), (by_position, currents)
        for sample in range(n):
            addresses = by_position[sample].ctypes.data, currents[sample].ctypes.data
            arguments = np.array([0, 0, *addresses, *fixed], np.int64)
            calls.add(kernel, arguments, positions, held)
        calls.run(pool)
        used: npt.NDArray[np.float64] = currents[:, :, :channels].transpose(0, 2, 1)
        return to_stored(used.reshape(n, *self._target), self._target).reshape(n, -1)
