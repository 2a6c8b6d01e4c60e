"""Tables of weights in the forms that kernels read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.layer import UNIT, Form
from snnconvert.backends.cpu.kernels.tiles import CHUNK, TILE, slot_inputs
from snnconvert.backends.cpu.slots import chunks_of

Table = npt.NDArray[Any]


def make_table(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return the table of a feed for the kernel of a form: of patterns, of tiles, or diagonal.

    Parameters
    ----------
    weights : (blocks, inputs, outputs) or, diagonal, (blocks, outputs) int32 array
    form : Form
    arena : Arena
        Where large tables lie.
    """
    if weights.ndim == 2:
        return _diagonal(weights, form)
    return (_tiles if form.method == "tiles" else _patterns)(weights, form, arena)


def _diagonal(weights: npt.NDArray[np.int32], form: Form) -> Table:
    """Return (blocks, channels)."""
    number = _number(form.sum_bytes)
    table = np.zeros((len(weights), form.blocks * form.channels), number)
    table[:, : weights.shape[1]] = weights
    return table


def make_rows(
    feeds: Sequence[npt.NDArray[np.int32]], form: Form, arena: Arena
) -> tuple[Table, list[int]]:
    """Return the rows of all feeds of a layer of events, and the first row of each feed.

    Parameters
    ----------
    feeds : sequence of (blocks, inputs, outputs) or, diagonal, (blocks, outputs) int32 arrays
        Those that are diagonal have no rows.
    form : Form
    arena : Arena

    Returns
    -------
    (blocks of channels, rows, channels or pairs of them) array, list of int
    """
    counts = [0 if weights.ndim == 2 else math.prod(weights.shape[:2]) for weights in feeds]
    ends = list(itertools.accumulate(counts, initial=0))
    width = form.channels * form.weight_bytes // form.partial_bytes
    table = arena.zeros((form.blocks, ends[-1], width), _number(form.partial_bytes))
    for first, count, weights in zip(ends, counts, feeds, strict=False):
        if count:
            full = np.zeros((count, form.blocks * form.channels), np.int32)
            full[:, : weights.shape[2]] = weights.reshape(count, -1)
            numbers = _pairs(full, form) if form.paired else full
            split = numbers.reshape(count, form.blocks, width)
            table[:, first : first + count] = split.transpose(1, 0, 2)
    return table, ends[:-1]


def _pairs(full: npt.NDArray[np.int32], form: Form) -> npt.NDArray[np.int32]:
    """Return numbers two by two: the halves of each vector, one above the other.

    Lower ones are raised by half of their range: they are no longer negative, and a shift gives
    the upper ones.
    """
    bits = 8 * form.weight_bytes
    low, high = np.moveaxis(full.reshape(len(full), -1, 2, form.lanes // 2), 2, 0)
    return (high << bits) + (low + (1 << (bits - 1)))


def _patterns(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return the sums of all patterns, (blocks, units of inputs, numbers of their tables).

    Each half of a group's table is the half before it plus the row of one more input.
    """
    blocks, inputs, outputs = weights.shape
    units, channels = padded(inputs) // UNIT, form.blocks * form.channels
    rows = np.zeros((blocks, units * UNIT, channels), _number(form.sum_bytes))
    rows[:, :inputs, :outputs] = weights
    rows = rows.reshape(blocks, units, UNIT, channels)
    whole = arena.zeros((blocks, units, form.unit_bytes // form.sum_bytes), rows.dtype)
    for first, count, place in form.groups:
        begin = place // form.sum_bytes
        part = whole[..., begin : begin + channels * 2**count]
        table = part.reshape(blocks, units, 2**count, channels)
        assert np.may_share_memory(table, whole)
        for bit in range(count):
            half, row = 1 << bit, rows[:, :, first + bit, None]
            np.add(table[:, :, :half], row, out=table[:, :, half : 2 * half])
    return whole


def _tiles(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return tiles of bytes: (blocks of channels, vectors, digits, chunks, 16, outputs, 4 inputs).

    The inputs of a slot lie behind each other, those that it lacks have no weight.
    """
    blocks, inputs, outputs = weights.shape
    each = slot_inputs(padded(inputs) // 8)
    of_block = -(-padded(inputs) // each) * each
    chunks, digits = chunks_of(blocks, inputs), form.weight_bytes
    rows = np.zeros((chunks * CHUNK, form.blocks * form.channels), np.int64)
    by_block = rows[: blocks * of_block].reshape(blocks, of_block, -1)
    by_block[:, :inputs, :outputs] = weights
    shape = form.blocks, form.vectors, digits, chunks, TILE, TILE, CHUNK // TILE
    table = arena.zeros(shape, np.int8)
    for digit in range(digits):
        low = ((rows + 128) & 0xFF) - 128
        rows = (rows - low) >> 8
        split = low.reshape(chunks, TILE, CHUNK // TILE, form.blocks, form.vectors, TILE)
        table[:, :, digit] = split.transpose(3, 4, 0, 1, 5, 2)
    return table


def _number(size: int) -> np.dtype[np.signedinteger]:
    return np.dtype(f"i{size}")
