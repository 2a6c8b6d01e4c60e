"""What a node sent in a chunk of steps: floats for dense operators, bits for kernels of events."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.calls import Workspace
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.layout import from_stored, stored_shape, to_stored
from snnconvert.backends.cpu.taps import channels_of, positions_of
from snnconvert.convert.linear import FloatArray, Shape

SLACK = 128
"""Bytes in front of the spikes and behind them that kernels may load and never use."""

Bits = npt.NDArray[np.uint8]


def empty_bits(n: int, shape: Shape, steps: int, memory: Workspace, name: str) -> Bits:
    """Return room for spikes as bits, (n, positions, steps, bytes of padded channels)."""
    form = (n, positions_of(shape), steps, padded(channels_of(shape)) // 8)
    size = math.prod(form)
    room = memory.array(f"spikes of {name}", size + 2 * SLACK, np.uint8)
    return room[SLACK : SLACK + size].reshape(form)


def to_frames(bits: Bits, shape: Shape) -> FloatArray:
    """Return spikes as float32, (steps, n, *stored shape)."""
    spikes = np.unpackbits(bits, axis=-1, count=channels_of(shape), bitorder="little")
    ordered = spikes.transpose(2, 0, 3, 1).reshape(bits.shape[2], bits.shape[0], *shape)
    return to_stored(ordered, shape).astype(np.float32)


def to_bits(frames: FloatArray, shape: Shape, memory: Workspace, name: str) -> Bits:
    """Return spikes (steps, n, *stored shape), each 0 or 1, as bits."""
    steps, n = frames.shape[:2]
    bits = empty_bits(n, shape, steps, memory, name)
    plain = from_stored(frames, shape).reshape(steps, n, channels_of(shape), positions_of(shape))
    packed = np.packbits(plain.transpose(1, 3, 0, 2) != 0, axis=-1, bitorder="little")
    bits[...] = 0
    bits[..., : packed.shape[-1]] = packed
    return bits


class Sent:
    """What a node sent in a chunk, behind the tail of the last chunk that delays need.

    Parameters
    ----------
    n : int
        Samples.
    shape : tuple of int
    steps : int
        With the tail.
    dtype : numpy dtype, or None
        Number type of floats; None: bits.
    memory : Workspace
    name : str
        The node's.
    """

    def __init__(
        self,
        n: int,
        shape: Shape,
        steps: int,
        dtype: np.dtype[np.floating] | None,
        memory: Workspace,
        name: str,
    ) -> None:
        self._shape, self._as_bits = shape, dtype is None
        self._memory, self._name = memory, name
        self._frames: FloatArray | None = None
        self._bits: Bits | None = None
        if dtype is None:
            self._bits = empty_bits(n, shape, steps, memory, name)
        else:
            self._frames = np.empty((steps, n, *stored_shape(shape)), dtype)

    @property
    def frames(self) -> FloatArray:
        """(steps, n, *stored shape) floats, to be written to where they are not made of bits."""
        if self._frames is None:
            assert self._bits is not None
            self._frames = to_frames(self._bits, self._shape)
        return self._frames

    @property
    def bits(self) -> Bits:
        """(n, positions, steps, bytes) spikes."""
        if self._bits is None:
            assert self._frames is not None
            self._bits = to_bits(self._frames, self._shape, self._memory, self._name)
        return self._bits

    def tail(self, steps: int) -> npt.NDArray[np.generic]:
        """Return the last steps, in the form in which they were written."""
        return self.bits[:, :, -steps:].copy() if self._as_bits else self.frames[-steps:].copy()

    def begin(self, tail: npt.NDArray[np.generic]) -> None:
        """Put the tail of the last chunk in front."""
        if self._as_bits:
            self.bits[:, :, : tail.shape[2]] = tail
        else:
            self.frames[: len(tail)] = tail
