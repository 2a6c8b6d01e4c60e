"""The kernel of analog currents: values times rows of weights, in float64."""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from snnconvert.backends.cpu.kernels.emitter import DOUBLE, LONG, Emitter, vector
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

LANES = 8
"""Channels in a vector."""


@cache
def current_kernel(vectors: int, blocks: int) -> Kernel:
    """Return the kernel for ``blocks`` blocks of ``vectors`` vectors of channels.

    Its arguments: first and last position, values of a sample (positions, inputs), currents
    (positions, channels), starts of the taps, taps (offset into the values, address of the rows),
    inputs.
    """
    name = f"currents_{vectors}x{blocks}"
    return compile_kernel(name, _emit(name, vectors, blocks))


def _emit(name: str, vectors: int, blocks: int) -> str:
    e = Emitter(name)
    first, last, values, currents, starts, taps, inputs = (e.argument(i) for i in range(7))
    kind, block_bytes = vector(DOUBLE, LANES), 8 * LANES * vectors
    row_bytes = LONG(block_bytes * blocks)
    with e.loop(first, last) as position, e.loop(LONG(0), LONG(blocks)) as block:
        sums = [e.variable(ir.Constant(kind, None)) for _ in range(vectors)]
        inside = e.multiply(block, LONG(block_bytes))
        start = e.add(starts, e.multiply(position, LONG(8)))
        with e.loop(e.load(start, LONG), e.load(start, LONG, 8)) as tap:
            place = e.add(taps, e.multiply(tap, LONG(16)))
            value_at = e.add(values, e.load(place, LONG))
            rows = e.add(e.load(place, LONG, 8), inside)
            with e.loop(LONG(0), inputs) as i:
                value = e.splat(e.load(e.add(value_at, e.multiply(i, LONG(8))), DOUBLE), LANES)
                row = e.add(rows, e.multiply(i, row_bytes))
                for k, total in enumerate(sums):
                    weights = e.load(row, kind, 8 * LANES * k)
                    product = e.builder.fmul(value, weights)
                    e.set(total, e.builder.fadd(e.get(total), product))
        out = e.add(currents, e.multiply(position, row_bytes), inside)
        for k, total in enumerate(sums):
            e.store(e.get(total), out, 8 * LANES * k)
    return e.text()
