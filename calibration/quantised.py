"""The network with quantised activations, T+1 levels or more: the oracle of a staged run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray, apply_chain
from snnconvert.convert.network import Input, Network, Population, Readout
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.snap import round_input

Observer: TypeAlias = Callable[[Population, FloatArray], None]

TIE = 1e-6
"""A charge is halfway between two levels if it is within this share of a level."""


def quantised_forward(
    network: Network,
    x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    *,
    observer: Observer | None = None,
    dtype: npt.DTypeLike = np.float64,
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
    observer : callable, optional
        Called with each population and its whole charge, (N, *shape).
    dtype : dtype
        Of all sums. With float32, in half the time, a charge within a few millionths of a level
        may fall on its other side.

    Returns
    -------
    dict of arrays
        By name: the spike counts of each population, int64 (N, *shape), and the decoded values
        of each readout. In float64 exact where sums are (see ``convert/snap.py``).
    """
    samples = x if isinstance(x, Mapping) else {network.inputs[0].name: x}
    sent: dict[str, FloatArray] = {}
    results: dict[str, npt.NDArray[Any]] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            sent[node.name] = _whole_input(node, samples[node.name], timesteps).astype(dtype)
            continue
        n = len(next(iter(sent.values())))
        charge = np.zeros((n, *node.shape), dtype)
        for connection in network.incoming(node.name):
            charge += apply_chain(connection.operators, sent[connection.source])
        if isinstance(node, Population):
            charge += timesteps * node.bias
            if observer is not None:
                observer(node, charge)
            most = timesteps * spike_values(node.neuron).highest
            counts = charge + node.v_init.astype(dtype)  # the observer may keep the charge
            if (node.threshold != 1).any():  # it is 1 where the network is normalised
                counts /= node.threshold
            np.clip(np.floor(counts, out=counts), 0, most, out=counts)
            results[node.name] = counts.astype(np.int64)
            counts *= node.amplitude
            sent[node.name] = counts
        elif isinstance(node, Readout):
            charge += timesteps * node.bias
            results[node.name] = np.asarray(charge * node.scale / timesteps, dtype)
        else:
            sent[node.name] = charge
    return results


def count_ties(
    network: Network,
    x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    timesteps: int,
) -> dict[str, int]:
    """Count where rounding halves up and rounding them to even differ.

    A neuron that starts at half its threshold rounds a half up; QuantizeLinear rounds it to the
    even neighbour, which is the lower one for every second half.

    Parameters
    ----------
    network, x, timesteps
        As for :func:`quantised_forward`.

    Returns
    -------
    dict of int
        By population: pairs of a neuron and a row.
    """
    ties: dict[str, int] = {}

    def observe(population: Population, charge: FloatArray) -> None:
        levels = charge / population.threshold
        most = timesteps * spike_values(population.neuron).highest
        lower = np.floor(levels)
        halves = np.abs(levels - lower - 0.5) <= TIE
        ties[population.name] = int(
            (halves & (lower % 2 == 0) & (lower >= 0) & (lower < most)).sum()
        )

    quantised_forward(network, x, timesteps, observer=observe)
    return ties


def _whole_input(node: Input, samples: npt.NDArray[Any], timesteps: int) -> FloatArray:
    """Return what flows in over the whole window."""
    rounded = round_input(node, samples)
    if node.encoding == "events":
        return np.asarray(rounded[:, :timesteps].sum(axis=1))
    return np.asarray(timesteps * rounded)
