"""The ANN with T + 1 activation levels: the oracle of staged firing and the bound of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Input, Network, Population, Readout
from snnconvert.convert.snap import round_input


@dataclass(frozen=True, eq=False)
class Quantised:
    """Values of a network whose populations have T + 1 levels.

    Attributes
    ----------
    counts : dict of (N, *shape) int64 array
        Level of every neuron, 0..T: its spike count when fully staged.
    outputs : dict of (N, *shape) float64 array
        Readouts in ANN units.
    """

    counts: dict[str, npt.NDArray[np.int64]]
    outputs: dict[str, FloatArray]


def quantised_forward(
    network: Network, samples: Mapping[str, npt.NDArray[Any]], timesteps: int
) -> Quantised:
    """Evaluate a network as an ANN with activations quantised to T + 1 levels.

    ``count = clip(floor((charge + v_init) / threshold), 0, T)``, where the charge of T steps is
    the sum of the weighted counts of the sources, T times the analog currents, and T biases.
    Delays and windows play no part.

    Parameters
    ----------
    network : Network
        Reset by subtraction, inputs as analog currents.
    samples : dict of (N, *shape) arrays
        Preprocessed, by input name.
    timesteps : int
        T.
    """
    values: dict[str, FloatArray] = {}
    counts: dict[str, npt.NDArray[np.int64]] = {}
    outputs: dict[str, FloatArray] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            values[node.name] = timesteps * round_input(node, samples[node.name])
            continue
        charge = np.zeros((len(next(iter(samples.values()))), *node.shape))
        for connection in network.incoming(node.name):
            charge = charge + apply_chain(connection.operators, values[connection.source])
        if isinstance(node, Population):
            level = np.floor((charge + timesteps * node.bias + node.v_init) / node.threshold)
            counts[node.name] = np.clip(level, 0, timesteps).astype(np.int64)
            values[node.name] = np.asarray(counts[node.name] * node.amplitude)
        elif isinstance(node, Readout):
            outputs[node.name] = (charge + timesteps * node.bias) * node.scale / timesteps
        else:
            values[node.name] = charge
    return Quantised(counts, outputs)
