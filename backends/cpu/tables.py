"""Tables of weights in the forms that kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.fixed_point import padded
from snnconvert.backends.cpu.kernels.layer import PATTERNS, Form

Table = npt.NDArray[Any]


def make_table(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return the table of a feed for the kernel of a form.

    Parameters
    ----------
    weights : (blocks, inputs, outputs) or, diagonal, (blocks, outputs) int32 array
    form : Form
    arena : Arena
        Where large tables lie.
    """
    if weights.ndim == 2:
        return _diagonal(weights, form)
    if form.method == "events":
        return _rows(weights, form, arena)
    return _patterns(weights, form, arena)


def _diagonal(weights: npt.NDArray[np.int32], form: Form) -> Table:
    """Return (blocks, channels)."""
    table = np.zeros((len(weights), form.blocks * form.channels), _number(form))
    table[:, : weights.shape[1]] = weights
    return table


def _rows(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return rows of weights, (blocks of channels, blocks, inputs, channels)."""
    count, inputs, outputs = weights.shape
    full = np.zeros((count, inputs, form.blocks * form.channels), _number(form))
    full[:, :, :outputs] = weights
    table = arena.zeros((form.blocks, count, inputs, form.channels), full.dtype)
    table[...] = full.reshape(count, inputs, form.blocks, -1).transpose(2, 0, 1, 3)
    return table


def _patterns(weights: npt.NDArray[np.int32], form: Form, arena: Arena) -> Table:
    """Return the sums of all patterns, (blocks, groups of eight inputs, 256, channels).

    Each half of a group's table is the half before it plus the row of one more input.
    """
    blocks, inputs, outputs = weights.shape
    groups, channels = padded(inputs) // 8, form.blocks * form.channels
    rows = np.zeros((blocks, groups * 8, channels), _number(form))
    rows[:, :inputs, :outputs] = weights
    grouped = rows.reshape(blocks, groups, 8, channels)
    table = arena.zeros((blocks, groups, PATTERNS, channels), rows.dtype)
    for bit in range(8):
        half = 1 << bit
        np.add(table[:, :, :half], grouped[:, :, bit, None], out=table[:, :, half : 2 * half])
    return table


def _number(form: Form) -> npt.DTypeLike:
    return np.int16 if form.weight_bytes == 2 else np.int32
