"""Populations that constant currents alone drive: their spikes come from one kernel, as bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnconvert.backends.cpu.calls import Calls, Membranes, Workspace, header
from snnconvert.backends.cpu.fixed_point import LANES, by_position, padded
from snnconvert.backends.cpu.kernels.compiled import layer_kernel
from snnconvert.backends.cpu.kernels.layer import Form
from snnconvert.backends.cpu.layout import from_stored, stored_shape
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

    def membranes(self, counts: npt.NDArray[np.int32], memory: Workspace) -> Membranes:
        """Return the state before the first step, with room for counts (n, positions, channels)."""
        return memory.membranes(self.node.name, counts, self._v_init)

    def room(self, n: int) -> FloatArray:
        """Return currents of 0 for so many samples, (n, positions, padded channels)."""
        return np.zeros((n, self.positions, self.channels))

    def fill(self, currents: FloatArray, constant: FloatArray) -> None:
        """Write currents, which are given as (n, size) in stored order."""
        shape = self.node.shape
        plain = from_stored(constant.reshape(-1, *stored_shape(shape)), shape)
        by_channel = plain.reshape(len(plain), self.count, self.positions)
        currents[:, :, : self.count] = by_channel.transpose(0, 2, 1)

    def advance(
        self,
        membranes: Membranes,
        currents: FloatArray,
        out: Bits,
        steps: slice,
        *,
        firing: bool,
        calls: Calls,
    ) -> None:
        """Add the calls that advance all samples by some steps under a constant current.

        Parameters
        ----------
        membranes : Membranes
        currents : (1 or n, positions, padded channels) float64 array
            Of a step, bias included.
        out : (n, positions, steps, bytes) uint8 array
        steps : slice
        firing : bool
        calls : Calls
        """
        kernel = layer_kernel(self._form)
        threshold = self._threshold if firing else self._never
        head, more = header(membranes, out, steps, currents[0], threshold)
        head[6] = currents.strides[1]
        more[5] = currents.strides[0] if len(currents) > 1 else 0
        held = membranes.voltage, membranes.counts, currents, out
        for sample in range(len(out)):
            calls.add(kernel, head + sample * more, self.positions, held)
