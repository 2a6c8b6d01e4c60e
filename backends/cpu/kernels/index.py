"""Lists of events: for each position and step, the channels that spiked."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from llvmlite.ir import IntType

from snnconvert.backends.cpu.kernels.emitter import LONG, SHORT, WORD, Emitter, constants, vector
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

if TYPE_CHECKING:
    from snnconvert.backends.cpu.calls import Calls

SLACK = 32
"""Bytes behind the last event that readers may load and writers may overwrite."""


@cache
def _kernel(width: int) -> Kernel:
    return compile_kernel(f"events_{width}", _emit(width))


@cache
def _positions() -> npt.NDArray[np.uint8]:
    """Return, for each byte, its bits' places: 8 unsigned 16-bit numbers."""
    table = np.zeros((256, 8), np.uint16)
    for byte in range(256):
        places = [i for i in range(8) if byte >> i & 1]
        table[byte, : len(places)] = places
    return np.ascontiguousarray(table).view(np.uint8)


def _emit(width: int) -> str:
    """Arguments: first and last position, steps, spikes, ends, events, table."""
    e = Emitter(f"events_{width}")
    first, last, steps, spikes, ends, events, table = (e.argument(i) for i in range(7))
    room = e.multiply(steps, LONG(16 * width))  # of a position, were all its bits set
    item = e.variable(e.add(events, e.multiply(first, room)))
    with e.loop(first, last) as position:
        place = e.multiply(position, e.add(steps, LONG(1)))
        end = e.variable(e.add(ends, e.multiply(place, LONG(8))))
        rows = e.multiply(position, steps)
        with e.loop(rows, e.add(rows, steps)) as row:
            e.store(e.get(item), e.get(end))
            e.set(end, e.add(e.get(end), LONG(8)))
            bits = e.add(spikes, e.multiply(row, LONG(width)))
            _list_step(e, bits, width, item, table)
        e.store(e.get(item), e.get(end))
    return e.text()


def _list_step(e: Emitter, bits: Any, width: int, item: Any, table: Any) -> None:
    """Write the channels of a position and step: words, and what is left of one."""
    words = width // WORD
    if words == 1:
        _list_word(e, e.load(bits, LONG), WORD, item, table, SHORT(0))
    elif words:
        with e.loop(LONG(0), LONG(words)) as number:
            word = e.load(e.add(bits, e.multiply(number, LONG(WORD))), LONG)
            channel = e.builder.trunc(e.multiply(number, LONG(8 * WORD)), SHORT)
            _list_word(e, word, WORD, item, table, channel)
    left = width % WORD
    if left:
        word = e.load_wide(bits, IntType(8 * left), WORD * words)
        _list_word(e, word, left, item, table, SHORT(8 * WORD * words))


def _list_word(e: Emitter, word: Any, size: int, item: Any, table: Any, channel: Any) -> None:
    """Write the channels of the spikes in so many bytes, the first of them given."""
    first = e.splat(channel, 8)
    for k in range(size):
        # A byte's places lie 16 bytes apart: the pattern is cut out times 16.
        pattern = e.builder.and_(e.shift_right(word, 8 * k - 4), LONG(0xFF0))
        places = e.load(e.add(table, pattern), vector(SHORT, 8))
        inside = constants(SHORT, [8 * k] * 8)
        e.store(e.add(places, first, inside), e.get(item))
        e.set(item, e.add(e.get(item), e.multiply(e.bits_set(pattern), LONG(2))))


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
    arguments = np.array([0, 0, steps, *at], np.int64)
    calls.add(_kernel(width), arguments, positions, arrays)
    return ends
