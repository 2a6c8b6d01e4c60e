"""Populations that constant currents alone drive: their spikes come from one kernel, as bits."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.calls import Membranes, Workspace, call, header, split
from snnconvert.backends.cpu.fixed_point import LANES, by_position, padded
from snnconvert.backends.cpu.kernels.layer import Form, layer_kernel
from snnconvert.backends.cpu.sent import Bits
from snnconvert.backends.cpu.taps import channels_of, positions_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population


class AnalogLayer:
    """A population that analog inputs and its bias alone feed; voltages are float64.

    Parameters
    ----------
    node : Population
    """

    def __init__(self, node: Population) -> None:
        self.node = node
        self.count = channels_of(node.shape)
        self.channels, self.positions = padded(self.count), positions_of(node.shape)
        self._threshold = self._pad(by_position(node.threshold, node.shape), np.inf)
        self._v_init = self._pad(by_position(node.v_init, node.shape), 0.0)
        self._never = np.full((1, self.channels), np.inf)
        blocks, to_zero = self.channels // LANES, node.reset == "zero"
        self._form = Form("patterns", LANES, 1, 1, blocks, to_zero=to_zero, analog=True)

    def _pad(self, rows: FloatArray, fill: float) -> npt.NDArray[np.float64]:
        full = np.full((*rows.shape[:-1], self.channels), fill)
        full[..., : self.count] = rows
        return full

    def membranes(self, n: int, memory: Workspace) -> Membranes:
        """Return the state of so many samples before the first step."""
        shape = (n, self.positions, self.channels)
        state = memory.membranes(self.node.name, shape, np.float64)
        state.voltage[...] = self._v_init
        return state

    def advance(
        self,
        membranes: Membranes,
        current: FloatArray,
        out: Bits,
        steps: slice,
        *,
        firing: bool,
        pool: Executor | None,
        threads: int,
    ) -> None:
        """Advance all samples by some steps under a constant current.

        Parameters
        ----------
        membranes : Membranes
        current : (1 or n, positions, channels) float64 array
            Of a step, bias included.
        out : (n, positions, steps, bytes) uint8 array
        steps : slice
        firing : bool
        pool, threads : Executor, int
            Threads for parts of one sample.
        """
        kernel = layer_kernel(self._form)
        full = self._pad(current, 0.0)
        threshold = self._threshold if firing else self._never
        head, more = header(membranes, out, steps, full[0], threshold)
        head[6] = full.strides[1]
        more[5] = full.strides[0] if len(full) > 1 else 0
        for sample in range(len(out)):
            call(kernel, head + sample * more, split(self.positions, threads), pool=pool)
