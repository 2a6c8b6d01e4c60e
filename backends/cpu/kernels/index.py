"""Lists of events: for each position and step, the channels that spiked."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.kernels.emitter import BYTE, LONG, SHORT, Emitter, vector
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

SLACK = 32
"""Bytes behind the last event that readers may load and writers may overwrite."""


@cache
def _kernel() -> Kernel:
    return compile_kernel("events", _emit())


@cache
def _positions() -> npt.NDArray[np.uint8]:
    """Return, for each byte, its bits' places: 8 unsigned 16-bit numbers."""
    table = np.zeros((256, 8), np.uint16)
    for byte in range(256):
        places = [i for i in range(8) if byte >> i & 1]
        table[byte, : len(places)] = places
    return np.ascontiguousarray(table).view(np.uint8)


def _emit() -> str:
    """Arguments: spikes, rows (positions times steps), bytes a row, ends, events, table."""
    e = Emitter("events")
    spikes, rows, width, ends, events, table = (e.argument(i) for i in range(6))
    item = e.variable(events)
    with e.loop(LONG(0), rows) as row:
        e.store(e.get(item), e.add(ends, e.multiply(row, LONG(8))))
        bits = e.add(spikes, e.multiply(row, width))
        with e.loop(LONG(0), width) as group:
            byte = e.load_wide(e.add(bits, group), BYTE)
            entry = e.add(table, e.multiply(byte, LONG(16)))
            first = e.builder.trunc(e.multiply(group, LONG(8)), SHORT)
            places = e.add(e.load(entry, vector(SHORT, 8)), e.splat(first, 8))
            e.store(places, e.get(item))
            e.set(item, e.add(e.get(item), e.multiply(e.bits_set(byte), LONG(2))))
    e.store(e.get(item), e.add(ends, e.multiply(rows, LONG(8))))
    return e.text()


class Memory(Protocol):
    """Where results go that the next call may overwrite."""

    def array(self, name: str, size: int, dtype: Any) -> npt.NDArray[Any]:
        """Return a flat array of at least `size` numbers."""


def events_of(spikes: npt.NDArray[np.uint8], memory: Memory, name: str) -> npt.NDArray[np.int64]:
    """List the channels that spiked, for each position and step.

    Parameters
    ----------
    spikes : (positions, steps, bytes) uint8 array
        One bit a channel.
    memory : Memory
    name : str
        Lists of different names are held at the same time.

    Returns
    -------
    (at least positions * steps + 1,) int64 array
        Addresses of the first event of each row, and of the end; events are 16-bit channels.
    """
    rows = spikes.shape[0] * spikes.shape[1]
    ends = memory.array(f"ends {name}", rows + 1, np.int64)
    # Room for all: pages that no event reaches are never touched.
    events = memory.array(f"events {name}", 8 * spikes.size + SLACK, np.uint16)
    addresses = [spikes.ctypes.data, rows, spikes.shape[2], ends.ctypes.data]
    _kernel()(np.array([*addresses, events.ctypes.data, _positions().ctypes.data], np.int64))
    return ends
