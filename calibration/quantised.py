"""The network with quantised activations, T+1 levels or more: the oracle of a staged run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Input, Network, Population, Readout
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.snap import round_input


def quantised_forward(
    network: Network,
    x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    timesteps: int,
) -> dict[str, npt.NDArray[Any]]:
    """Return what a fully staged network computes, without simulating it.

    A population that has received all of its charge before it fires, and is reset by
    subtraction, sends spikes that add up to
    ``clip(floor((charge + v_init) / threshold), 0, K T)``, K the most that a step can send (1 but
    for graded neurons).

    Parameters
    ----------
    network : Network
        Windows and delays are not looked at.
    x : (N, *shape) array or dict of arrays by input name
        Preprocessed samples; of an input of events the first T frames.
    timesteps : int
        T.

    Returns
    -------
    dict of arrays
        By name: the spike counts of each population, int64 (N, *shape), and the decoded values
        of each readout, float64. Exact where sums are (see ``convert/snap.py``).
    """
    samples = x if isinstance(x, Mapping) else {network.inputs[0].name: x}
    sent: dict[str, FloatArray] = {}
    results: dict[str, npt.NDArray[Any]] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            sent[node.name] = _whole_input(node, samples[node.name], timesteps)
            continue
        n = len(next(iter(sent.values())))
        charge = np.zeros((n, *node.shape))
        for connection in network.incoming(node.name):
            charge += apply_chain(connection.operators, sent[connection.source])
        if isinstance(node, Population):
            charge += timesteps * node.bias
            most = timesteps * spike_values(node.neuron).highest
            counts = np.clip(np.floor((charge + node.v_init) / node.threshold), 0, most)
            results[node.name] = counts.astype(np.int64)
            sent[node.name] = counts * node.amplitude
        elif isinstance(node, Readout):
            charge += timesteps * node.bias
            results[node.name] = charge * node.scale / timesteps
        else:
            sent[node.name] = charge
    return results


def _whole_input(node: Input, samples: npt.NDArray[Any], timesteps: int) -> FloatArray:
    """Return what flows in over the whole window."""
    rounded = round_input(node, samples)
    if node.encoding == "events":
        return np.asarray(rounded[:, :timesteps].sum(axis=1))
    return np.asarray(timesteps * rounded)
