"""Where half precision is exact: sums of a step that fit its 11 bits whatever the order.

All terms of a spike-fed sum are multiples of a power of two, the grid. Multiples up to 2048 times
the grid are half-precision numbers, so products, partial sums and the result are exact however
they are accumulated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    SumPool,
    Transpose,
    absolute_chain,
    weights_of,
)
from snnconvert.convert.network import Network, Population
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.snap import common_power_of_two

LARGEST = 2048
"""Multiples of the grid that half precision holds."""

SMALLEST_GRID, LARGEST_VALUE = 2.0**-14, 65504.0
"""Normal numbers of half precision."""

OPERATORS = (Convolution, Dense, ReduceSum, Reshape, Scale, Select, SumPool, Transpose)
"""The others (sparse matrices, transposed convolutions) have no need of it, or no kernel."""


def half_nodes(network: Network, sums: Mapping[str, np.dtype[np.floating]]) -> frozenset[str]:
    """Return the nodes whose sums of a step are exact in half precision.

    Parameters
    ----------
    network : Network
        As executed.
    sums : mapping of str to dtype
        Those that are float32 are looked at.
    """
    return frozenset(
        name for name, dtype in sums.items() if dtype == np.float32 and _fits(network, name)
    )


def _fits(network: Network, name: str) -> bool:
    grids, total = [], np.zeros(network[name].shape)
    for connection in network.incoming(name):
        source = network[connection.source]
        if not isinstance(source, Population):
            return False
        found = _sums(connection.operators, source)
        if found is None:
            return False
        grids.append(found[0])
        total = total + found[1]
    return _holds(min(grids, default=1.0), total)


def _sums(chain: Chain, source: Population) -> tuple[float, FloatArray] | None:
    """Return grid and bound of what a connection brings; None where a part of it does not fit."""
    values = spike_values(source.neuron)
    grid = 1.0
    bound = np.full((1, *source.shape), float(max(values.highest, -values.lowest)))
    if not _holds(grid, bound):
        return None
    for operator in chain:
        if not isinstance(operator, OPERATORS):
            return None
        weights = weights_of(operator)
        if weights is not None and np.any(weights):
            unit = common_power_of_two(weights)
            if not _holds(unit, np.abs(weights)):  # those that meet no spike: infinity times zero
                return None
            grid *= unit
        (absolute,) = absolute_chain((operator,))
        bound = np.asarray(absolute.apply(bound))
        if not _holds(grid, bound):
            return None
    return grid, bound[0]


def _holds(grid: float, bound: FloatArray) -> bool:
    largest = float(bound.max(initial=0.0))
    return grid >= SMALLEST_GRID and largest <= min(LARGEST * grid, LARGEST_VALUE)
