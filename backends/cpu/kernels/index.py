"""Lists of events: for each position and step, the channels that spiked."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.kernels.emitter import BYTE, LONG, SHORT, Emitter, vector
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

if TYPE_CHECKING:
    from snnconvert.backends.cpu.calls import Calls

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
    """Arguments: first and last position, steps, spikes, bytes a row, ends, events, table."""
    e = Emitter("events")
    first, last, steps, spikes, width, ends, events, table = (e.argument(i) for i in range(8))
    room = e.multiply(steps, e.multiply(width, LONG(16)))  # of a position, were all its bits set
    item = e.variable(e.add(events, e.multiply(first, room)))
    with e.loop(first, last) as position:
        place = e.multiply(position, e.add(steps, LONG(1)))
        end = e.variable(e.add(ends, e.multiply(place, LONG(8))))
        rows = e.multiply(position, steps)
        with e.loop(rows, e.add(rows, steps)) as row:
            e.store(e.get(item), e.get(end))
            e.set(end, e.add(e.get(end), LONG(8)))
            bits = e.add(spikes, e.multiply(row, width))
            with e.loop(LONG(0), width) as group:
                byte = e.load_wide(e.add(bits, group), BYTE)
                entry = e.add(table, e.multiply(byte, LONG(16)))
                channel = e.builder.trunc(e.multiply(group, LONG(8)), SHORT)
                places = e.add(e.load(entry, vector(SHORT, 8)), e.splat(channel, 8))
                e.store(places, e.get(item))
                e.set(item, e.add(e.get(item), e.multiply(e.bits_set(byte), LONG(2))))
        e.store(e.get(item), e.get(end))
    return e.text()


class Memory(Protocol):
    """Where results go that the next call may overwrite."""

    def array(self, name: str, size: int, dtype: Any) -> npt.NDArray[Any]:
        """Return a flat array of at least `size` numbers."""


def events_of(
    spikes: npt.NDArray[np.uint8], memory: Memory, name: str, calls: Calls
) -> npt.NDArray[np.int64]:
    """List the channels that spiked, for each position and step.

    Parameters
    ----------
    spikes : (positions, steps, bytes) uint8 array
        One bit a channel.
    memory : Memory
    name : str
        Lists of different names are held at the same time.
    calls : Calls
        Receives the call that makes them.

    Returns
    -------
    (at least positions * (steps + 1),) int64 array
        For each position, addresses of the first event of each step, and of the end; events are
        16-bit channels.
    """
    positions, steps, width = spikes.shape
    ends = memory.array(f"ends {name}", positions * (steps + 1), np.int64)
    # Room for all: pages that no event reaches are never touched.
    events = memory.array(f"events {name}", 8 * spikes.size + SLACK, np.uint16)
    arrays = spikes, ends, events, _positions()
    at = [array.ctypes.data for array in arrays]
    arguments = np.array([0, 0, steps, at[0], width, *at[1:]], np.int64)
    calls.add(_kernel(), arguments, positions, arrays)
    return ends
