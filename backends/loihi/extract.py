"""Read the integer network back from the built chip.

After splitting and discretising, nengo-loihi's blocks hold everything that the emulator computes
with. The blocks of a layer are joined again: one sparse integer matrix for each pair of layers,
and the compartments' parameters in the order of the layer's neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.loihi.blueprint import Layer
from snnconvert.backends.loihi.chip import DT, Chip, Core
from snnconvert.convert.linear import FloatArray

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """Compartments of one layer, in the order of its neurons.

    Attributes
    ----------
    name : str
    bias, threshold, lowest, highest : (size,) int32 arrays
        A neuron fires when its voltage is above `threshold`; voltages are clipped to
        [lowest, highest].
    scale : (size,) float64 array
        Voltage units per threshold (a readout: per ANN unit).
    """

    name: str
    bias: Ints
    threshold: Ints
    lowest: Ints
    highest: Ints
    scale: FloatArray

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.bias)


@dataclass(frozen=True, eq=False)
class IntegerSynapses:
    """Weights from one layer to another.

    Attributes
    ----------
    source, target : str
    matrix : (sources, targets) CSR int32 array
        A row for each source neuron; stored zeros are weights that the chip stores.
    """

    source: str
    target: str
    matrix: sp.csr_array


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """What the chip computes with.

    Attributes
    ----------
    layers : tuple of IntegerLayer
        In topological order.
    synapses : tuple of IntegerSynapses
    """

    layers: tuple[IntegerLayer, ...]
    synapses: tuple[IntegerSynapses, ...]

    def __getitem__(self, name: str) -> IntegerLayer:
        return next(layer for layer in self.layers if layer.name == name)

    def incoming(self, name: str) -> tuple[IntegerSynapses, ...]:
        """Return the synapses into a layer."""
        return tuple(s for s in self.synapses if s.target == name)


def extract(chip: Chip, layers: Sequence[Layer]) -> IntegerNetwork:
    """Return the integer network of a built chip.

    Parameters
    ----------
    chip : Chip
    layers : sequence of Layer
        In topological order.
    """
    sizes = {layer.name: layer.size for layer in layers}
    return IntegerNetwork(tuple(_layer(chip, x) for x in layers), _synapses(chip, sizes))


def _layer(chip: Chip, layer: Layer) -> IntegerLayer:
    name, size = layer.name, layer.size
    bias, threshold, lowest, highest = (np.zeros(size, np.int32) for _ in range(4))
    scale = np.zeros(size)
    for core in chip.of_layer(name):
        compartment = core.block.compartment
        # The engine has no decay, no noise and no refractory steps.
        assert (compartment.decay_u == 4095).all() and (compartment.decay_v == 0).all()
        assert (compartment.refract_delay == 1).all() and not compartment.enable_noise.any()
        bias[core.neurons] = compartment.bias
        threshold[core.neurons] = compartment.vth
        lowest[core.neurons] = compartment.vmin
        highest[core.neurons] = compartment.vmax
        scale[core.neurons] = core.block.discretize_info["v_scale"] / DT
    scale *= layer.gain
    return IntegerLayer(name, bias, threshold, lowest, highest, scale)


def _synapses(chip: Chip, sizes: dict[str, int]) -> tuple[IntegerSynapses, ...]:
    owner = {id(synapse): core for core in chip.cores for synapse in core.block.synapses}
    found: dict[tuple[str, str], list[tuple[Ints, Ints, Ints]]] = {}
    for core in chip.cores:
        for axon in core.block.axons:
            target = owner[id(axon.target)]
            parts = found.setdefault((core.layer, target.layer), [])
            parts += _entries(core, axon, target)
    result = []
    for (source, target_name), parts in found.items():
        rows, columns, weights = (
            np.concatenate([part[k] for part in parts] or [np.zeros(0, np.int32)]) for k in range(3)
        )
        shape = (sizes[source], sizes[target_name])
        matrix = sp.csr_array((weights, (rows, columns)), shape=shape)
        matrix.sort_indices()
        result.append(IntegerSynapses(source, target_name, matrix))
    return tuple(result)


def _entries(core: Core, axon: Any, target: Core) -> list[tuple[Ints, Ints, Ints]]:
    """Return (source neurons, target neurons, weights) of one group of axons."""
    synapse = axon.target
    compartments = np.arange(core.block.n_neurons)
    axons = np.asarray(axon.map_axon(compartments))
    atoms = np.asarray(axon.map_atoms(compartments))
    bases = np.zeros(synapse.n_axons, np.int64)
    if synapse.axon_compartment_bases is not None:
        bases[:] = synapse.axon_compartment_bases  # negative: no compartment is reached
    stored = np.arange(synapse.n_axons)
    if synapse.axon_to_weight_map is not None:
        stored[:] = synapse.axon_to_weight_map
    used = np.flatnonzero((axons >= 0) & (bases[axons] >= 0))
    used = used[np.argsort(stored[axons[used]], kind="stable")]
    starts = np.flatnonzero(np.diff(stored[axons[used]], prepend=-1))
    parts = []
    for neurons in np.split(used, starts[1:]):  # those that share one entry of weight memory
        if not len(neurons):
            continue
        entry = stored[axons[neurons[0]]]
        weights = synapse.weights[entry][atoms[neurons]]
        reached = bases[axons[neurons], None] + synapse.indices[entry][atoms[neurons]]
        rows = np.broadcast_to(core.neurons[neurons, None], weights.shape)
        parts.append(
            (
                rows.reshape(-1).astype(np.int32),
                target.neurons[reached].reshape(-1).astype(np.int32),
                weights.reshape(-1),
            )
        )
    return parts
