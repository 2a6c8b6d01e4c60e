"""Gains for neurons that reset to zero.

A neuron that resets to zero loses the overshoot of every spike: for a constant current its rate is
``1 / ceil(threshold / current)``, and the loss does not vanish with more steps. On average it is a
factor, which differs from channel to channel with the size of the steps that arrive. So every
population gets a gain for each channel, in the order of the network and under the real spikes of
the populations before it, which have theirs already: the amplitude (and scale) that maps its rates
``r`` to the ANN's activations ``a`` with least squared error, ``sum(a r) / sum(r^2)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import get_backend
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population

Rows = Mapping[str, npt.NDArray[Any]]

HELD_OUT_SHARE = 4
"""Every fourth row judges the correction and does not make it."""


def correct_hard_reset(
    network: Network,
    graph: Graph,
    rows: Rows,
    timesteps: int,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with the gains of its populations fitted, where that helps.

    Parameters
    ----------
    network : Network
        In ANN units, reset to zero.
    graph : Graph
        The lowered graph that it was built from.
    rows : dict of (N, *shape) arrays
        Preprocessed calibration rows.
    timesteps : int
        T of the runs that the gains are made for.
    progress : callable, optional
        Called with (populations done, populations in all).

    Returns
    -------
    network : Network
        Corrected, or the given one where the held-out rows did not gain.
    record : dict
        Relative error of the outputs on the held-out rows before and after, and the verdict.
    """
    count = len(next(iter(rows.values())))
    held_out = np.arange(count) % HELD_OUT_SHARE == HELD_OUT_SHARE - 1
    if not held_out.any():
        held_out[:] = True
    fitted = {name: x[~held_out] if not held_out.all() else x for name, x in rows.items()}
    judged = {name: x[held_out] for name, x in rows.items()}
    names = [p.name for p in network.populations]
    tensors = {p.name: str(p.tensor) for p in network.populations}
    activations = graph.evaluate(fitted, list(dict.fromkeys(tensors.values())))
    corrected = network
    for i, name in enumerate(names):
        counts = _counts(corrected, name, fitted, timesteps)
        population = corrected[name]
        assert isinstance(population, Population)
        rates = counts / timesteps
        corrected = corrected.replace_nodes(
            [_with_gain(population, rates, activations[tensors[name]])]
        )
        if progress is not None:
            progress(i + 1, len(names))
    before = _output_error(network, graph, judged, timesteps)
    after = _output_error(corrected, graph, judged, timesteps)
    record = {"output_error_before": before, "output_error_after": after, "kept": after < before}
    return (corrected if after < before else network), {"hard_reset_gain": record}


def _counts(network: Network, last: str, rows: Rows, timesteps: int) -> npt.NDArray[np.int64]:
    """Return the spike counts of a population, simulating nothing behind it."""
    position = [node.name for node in network.nodes].index(last)
    nodes = network.nodes[: position + 1]
    kept = {node.name for node in nodes}
    connections = tuple(c for c in network.connections if c.target in kept)
    front = replace(network, nodes=nodes, connections=connections)
    return get_backend("cpu").emit(front).run(rows, timesteps).spike_counts[last]


def _with_gain(population: Population, rates: FloatArray, activations: FloatArray) -> Population:
    """Return the population with the amplitude of least squared error, channel by channel."""
    axis = population.channel_axis + 1
    others = tuple(a for a in range(rates.ndim) if a != axis)
    moment = (np.asarray(activations, np.float64) * rates).sum(axis=others, keepdims=True)[0]
    power = (rates**2).sum(axis=others, keepdims=True)[0]
    shape = np.broadcast_shapes(np.shape(population.amplitude), moment.shape)
    amplitude = np.broadcast_to(population.amplitude, shape).astype(np.float64)
    usable = np.broadcast_to((power > 0) & (moment > 0), shape)
    gain = np.broadcast_to(moment / np.where(power > 0, power, 1.0), shape)
    amplitude = np.where(usable, gain, amplitude)
    return replace(population, amplitude=amplitude, scale=amplitude)


def _output_error(network: Network, graph: Graph, rows: Rows, timesteps: int) -> float:
    """Return the relative error of the first output."""
    readout = network.readouts[0]
    got = get_backend("cpu").emit(network).run(rows, timesteps).logits[-1]
    expected = graph.evaluate(rows, [str(readout.tensor)])[str(readout.tensor)]
    return float(np.linalg.norm(got - expected) / max(float(np.linalg.norm(expected)), 1e-30))
