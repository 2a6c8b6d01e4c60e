"""Where the inputs of each position begin, in the form that kernels of tiles read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.tiles import CHUNK, slot_inputs
from snnconvert.backends.cpu.taps import Taps

MOST_SILENT = 2
"""Slots a tap up to which tiles are worth a thought: the others bring nothing."""


def chunks_of(blocks: int, inputs: int) -> int:
    """Return the chunks of 64 inputs of so many blocks."""
    width = padded(inputs) // 8
    slots = blocks * -(-8 * width // slot_inputs(width))
    return -(-slots * slot_inputs(width) // CHUNK)


def fit_tiles(taps: Taps) -> bool:
    """Tell whether every position's taps have blocks of their own, and positions most of them."""
    positions, blocks = len(taps.starts) - 1, len(taps.weights)
    if positions * blocks > MOST_SILENT * len(taps.blocks):
        return False
    return int(np.bincount(_places(taps)).max(initial=0)) <= 1


def slots_of(taps: Taps, position_bytes: int) -> npt.NDArray[np.int64]:
    """Return the offsets of the slots, (positions, slots): -1 where there is no tap.

    Parameters
    ----------
    taps : Taps
        Of a feed that fits tiles.
    position_bytes : int
        From one position's first step in the source to the next one's.
    """
    blocks, inputs = taps.weights.shape[:2]
    width = padded(inputs) // 8
    each = slot_inputs(width)
    parts = -(-8 * width // each)
    begin = np.full((len(taps.starts) - 1) * blocks, -1, np.int64)
    begin[_places(taps)] = taps.sources * position_bytes
    begin = begin.reshape(-1, blocks, 1)
    offsets = np.where(begin < 0, -1, begin + np.arange(parts) * (each // 8))
    slots = np.full((len(begin), chunks_of(blocks, inputs) * CHUNK // each), -1, np.int64)
    slots[:, : blocks * parts] = offsets.reshape(len(begin), -1)
    return slots


def _places(taps: Taps) -> npt.NDArray[np.int64]:
    """Return the number of each tap's block among those of all positions."""
    positions = np.repeat(np.arange(len(taps.starts) - 1), np.diff(taps.starts))
    return positions * len(taps.weights) + taps.blocks
