"""The kernel of plain neurons with dense currents: integrate, compare, reset and count.

Currents lie step by step, a neuron's far apart. Those of a tile are copied together first, block by
block; a block of neurons then keeps voltages and counts in registers from the first step to the
last. Several sets of parameters may be tried on the same currents, which are read from memory once.

Voltages are float64; terms are added in the order of ``plain_fire.py``, on the grids of ``snap.py``
in any.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from snnconvert.backends.cpu.kernels.emitter import BYTE, DOUBLE, LONG, Emitter, vector
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

FLOAT = ir.FloatType()

LANES = 16
"""Neurons in a block: voltages and counts take four registers of AVX2 each."""

TILE = 512
"""Neurons in a tile: as many currents, side by side in memory, as the processor fetches ahead."""

STEPS = 64
"""Steps of a tile that are in the second-level cache together."""

_NUMBERS = {"float32": FLOAT, "float64": DOUBLE, "int8": BYTE}


@dataclass(frozen=True)
class _Form:
    """What a kernel is written for.

    Attributes
    ----------
    arriving : str
        Number type of the currents, float32 or float64.
    kept : str or None
        Number type of the spikes, float32 or int8; None: they are only counted.
    fires : bool
        Whether neurons may fire; if not, the charge is added up.
    to_zero : bool
    """

    arriving: str
    kept: str | None
    fires: bool
    to_zero: bool

    @property
    def name(self) -> str:
        reset = "zero" if self.to_zero else "subtract"
        return f"integrate_{self.arriving}_{self.kept}_{reset if self.fires else 'never'}"


_ARGUMENTS = (
    *("samples", "size", "steps", "sets", "sums", "sums_step", "sums_sample"),
    *("constant", "constant_sample", "threshold", "voltage", "counts", "set_bytes"),
    *("spikes", "spikes_step", "spikes_sample", "tile", "sent"),
)
"""In the order in which :func:`integrate` gives them."""


@cache
def _kernel(form: _Form) -> Kernel:
    return compile_kernel(form.name, _Writer(form).text())


class _Writer:
    """Writes one kernel."""

    def __init__(self, form: _Form) -> None:
        self.form, self.e = form, Emitter(form.name)
        self.number = _NUMBERS[form.arriving]
        self.width = 8 if form.arriving == "float64" else 4
        self.spike = None if form.kept is None else _NUMBERS[form.kept]
        self.spike_width = 1 if form.kept == "int8" else 4
        self.a = SimpleNamespace(**{n: self.e.argument(i) for i, n in enumerate(_ARGUMENTS)})

    def text(self) -> str:
        """Return the module's text."""
        e, a = self.e, self.a
        with e.loop(LONG(0), a.samples) as sample, e.loop(LONG(0), a.size, TILE) as first:
            size = e.minimum(LONG(TILE), e.builder.sub(a.size, first))
            sums = self._at(a.sums, e.multiply(sample, a.sums_sample), first, self.width)
            self._gather(sums, size)
            with e.loop(LONG(0), a.sets) as number:
                self._tile(sample, first, size, number)
            if self.spike is not None:
                place = e.multiply(sample, a.spikes_sample)
                self._scatter(self._at(a.spikes, place, first, self.spike_width), size)
        return e.text()

    def _at(self, address: Any, offset: Any, index: Any, width: int) -> Any:
        return self.e.add(address, offset, self.e.multiply(index, LONG(width)))

    def _in_blocks(self, size: Any, write: Any) -> None:
        """Write code for blocks of lanes, and for what is left one by one."""
        e = self.e
        whole = e.builder.and_(size, LONG(-LANES))
        with e.loop(LONG(0), whole, LANES) as i:
            write(i, LANES)
        with e.loop(whole, size) as i:
            write(i, 1)

    def _gather(self, sums: Any, size: Any) -> None:
        """Copy the currents of a tile together."""
        e = self.e
        with e.loop(LONG(0), self.a.steps) as step:
            row = e.add(sums, e.multiply(step, self.a.sums_step))

            def copy(i: Any, lanes: int) -> None:
                value = e.load(self._at(row, LONG(0), i, self.width), vector(self.number, lanes))
                e.store(value, self._gathered(self.a.tile, step, i, self.width))

            self._in_blocks(size, copy)

    def _scatter(self, spikes: Any, size: Any) -> None:
        """Copy the spikes of a tile to where they belong."""
        e = self.e
        with e.loop(LONG(0), self.a.steps) as step:
            row = e.add(spikes, e.multiply(step, self.a.spikes_step))

            def copy(i: Any, lanes: int) -> None:
                sent = self._gathered(self.a.sent, step, i, self.spike_width)
                value = e.load(sent, vector(self.spike, lanes))
                e.store(value, self._at(row, LONG(0), i, self.spike_width))

            self._in_blocks(size, copy)

    def _gathered(self, tile: Any, step: Any, i: Any, width: int) -> Any:
        """Return where a neuron's number of a step is: block by block, then step by step.

        Blocks are one step further apart than they need: else their numbers of a step would all
        fall into one set of the cache.
        """
        e, b = self.e, self.e.builder
        block, lane = b.ashr(i, LONG(LANES.bit_length() - 1)), b.and_(i, LONG(LANES - 1))
        row = e.add(e.multiply(block, e.add(self.a.steps, LONG(1))), step)
        return self._at(tile, LONG(0), e.add(e.multiply(row, LONG(LANES)), lane), width)

    def _tile(self, sample: Any, first: Any, size: Any, number: Any) -> None:
        """Advance a tile by all steps, with one set of parameters."""
        e, a = self.e, self.a
        thresholds = e.multiply(number, a.size, LONG(8))
        states = e.multiply(number, a.set_bytes)
        own = e.multiply(sample, a.size, LONG(8))
        constants = e.multiply(sample, a.constant_sample)

        def block(i: Any, lanes: int) -> None:
            kind, neuron = vector(DOUBLE, lanes), e.add(first, i)
            voltage_at = self._at(a.voltage, e.add(states, own), neuron, 8)
            counts_at = self._at(a.counts, e.add(states, own), neuron, 8)
            cost = e.load(self._at(a.threshold, thresholds, neuron, 8), kind)
            steady = e.load(self._at(a.constant, constants, neuron, 8), kind)
            v = e.variable(e.load(voltage_at, kind))
            count = e.variable(e.load(counts_at, vector(LONG, lanes)))
            with e.loop(LONG(0), a.steps) as step:
                self._step(step, i, lanes, (v, count), (steady, cost))
            e.store(e.get(v), voltage_at)
            e.store(e.get(count), counts_at)

        self._in_blocks(size, block)

    def _step(self, step: Any, i: Any, lanes: int, state: Any, parameters: Any) -> None:
        e, b = self.e, self.e.builder
        (v, count), (steady, cost) = state, parameters
        place = self._gathered(self.a.tile, step, i, self.width)
        arrived = e.load(place, vector(self.number, lanes))
        if self.number is FLOAT:
            arrived = b.fpext(arrived, vector(DOUBLE, lanes))
        u = b.fadd(b.fadd(e.get(v), steady), arrived)
        if not self.form.fires:
            e.set(v, u)
            return
        fired = b.fcmp_ordered(">=", u, cost)
        zero = ir.Constant(vector(DOUBLE, lanes), [0.0] * lanes)
        if self.form.to_zero:
            e.set(v, b.select(fired, zero, u))
        else:
            e.set(v, b.fsub(u, b.select(fired, cost, zero)))
        e.set(count, b.sub(e.get(count), b.sext(fired, vector(LONG, lanes))))
        if self.spike is not None:
            kind = vector(self.spike, lanes)
            sent = b.uitofp(fired, kind) if self.spike is FLOAT else b.zext(fired, kind)
            e.store(sent, self._gathered(self.a.sent, step, i, self.spike_width))


def _check(
    voltage: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    threshold: npt.NDArray[np.float64],
    constant: npt.NDArray[np.float64],
) -> None:
    n, size = voltage.shape[-2:]
    for array, kind in ((voltage, np.float64), (counts, np.int64), (threshold, np.float64)):
        assert array.flags.c_contiguous and array.dtype == kind
    assert counts.shape == voltage.shape
    assert threshold.shape == (*voltage.shape[:-2], size)
    assert constant.dtype == np.float64 and constant.shape in ((1, size), (n, size))
    assert size == 1 or constant.strides[1] == 8


def integrate(
    voltage: npt.NDArray[np.float64],
    constant: npt.NDArray[np.float64],
    sums: npt.NDArray[Any],
    threshold: npt.NDArray[np.float64],
    to_zero: bool,
    spikes: npt.NDArray[Any],
    counts: npt.NDArray[np.int64],
    steps: int,
    fires: bool,
    first_sample: int,
) -> None:
    """Advance plain neurons by `steps` steps.

    Parameters
    ----------
    voltage : (n, size) or (sets, n, size) float64 array
        Advanced in place; several sets of parameters go through the same currents.
    constant : (1 or n, size) float64 array
        Added in every step: bias and analog currents.
    sums : (steps, N, size) float32 or float64 array
        What arrives in each step; (0, N, size): nothing.
    threshold : (size,) or (sets, size) float64 array
    to_zero : bool
        Reset to zero instead of by subtraction.
    spikes : (steps, N, size) float32 or int8 array
        Receives 1 where a neuron fires, else 0; (0, N, size): they are counted alone. Of one set
        of parameters only.
    counts : int64 array of the shape of `voltage`
        Incremented by the spikes.
    steps : int
    fires : bool
        Whether the steps are in the firing window.
    first_sample : int
        Where the n samples begin in `sums` and `spikes`.
    """
    n, size = voltage.shape[-2:]
    sets = len(voltage) if voltage.ndim == 3 else 1
    _check(voltage, counts, threshold, constant)
    for frames in (sums, spikes):  # a kernel does not notice where an array ends
        assert len(frames) in (0, steps) and frames.shape[2] == size
        assert frames.shape[1] >= first_sample + n
        assert not len(frames) or size == 1 or frames.strides[2] == frames.itemsize
    assert not len(spikes) or (sets == 1 and fires)
    for first in range(0, steps, STEPS):
        here = slice(first, min(first + STEPS, steps))
        length = here.stop - here.start
        arriving = sums[here, first_sample:] if len(sums) else np.zeros((1, 1, size), np.float32)
        sent = spikes[here, first_sample:]
        kept = sent.dtype.name if len(sent) else None
        tile = np.empty((2, (length + 1) * TILE), np.float64)
        arguments = [n, size, length, sets]
        arguments += [arriving.ctypes.data, *(arriving.strides[:2] if len(sums) else (0, 0))]
        arguments += [constant.ctypes.data, constant.strides[0] if len(constant) > 1 else 0]
        arguments += [threshold.ctypes.data, voltage.ctypes.data, counts.ctypes.data, n * size * 8]
        arguments += [sent.ctypes.data, *sent.strides[:2], tile[0].ctypes.data, tile[1].ctypes.data]
        kernel = _kernel(_Form(arriving.dtype.name, kept, fires, to_zero and fires))
        kernel(np.array(arguments, np.int64))
