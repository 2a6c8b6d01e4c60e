"""Snap a normalised network to dyadic grids on which every sum is exact.

Engines add the same weights in different orders and precisions. Where all terms are multiples of
a power of two and no partial sum needs more bits than the number type has, every order gives the
same result, so engines agree spike for spike and ties fall alike. The grid of each node follows
from a bound on what can arrive in one step:

- spike-fed sums of one step fit float32 (24 bits), unless that would leave weights fewer than
  ``MINIMUM_BITS`` bits or the network is to be fine, in which case they fit float64;
- voltages, currents of analog inputs and biases fit float64 over ``MAXIMUM_STEPS`` steps; where
  spikes alone arrive, they lie on the grid of the sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import (
    Chain,
    FloatArray,
    absolute_chain,
    apply_chain,
    weights_of,
    with_weights,
)
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)
from snnconvert.convert.neurons import spike_values

SINGLE_BITS = 23
"""Bits of one step's spike-fed sum: float32 holds 24; one is spare for the rounding itself."""

DOUBLE_BITS = 38
"""Bits of one step's sum in float64, below 53 by the bits of ``MAXIMUM_STEPS`` and a spare."""

FINE_BITS = 50
"""Bits of all steps' sums in a fine network that is staged: each of its windows has T steps."""

MAXIMUM_STEPS = 4096
MINIMUM_BITS = 9
INPUT_BITS = 16
FINE_INPUT_BITS = 18
"""Bits of inputs of a fine network: the others are left for their weights."""

INNER_BITS = 11
"""Bits kept in all but the last weighted operator of a chain that has several."""


@dataclass(frozen=True, eq=False)
class Executable:
    """A network as engines run it.

    Attributes
    ----------
    network : Network
        Unit thresholds (or integers, see ``quantize.py``), weights on grids.
    single : frozenset of str
        Nodes whose spike-fed sums of one step are exact in float32.
    exact : bool
        Whether every sum is exact for up to ``MAXIMUM_STEPS`` steps.
    """

    network: Network
    single: frozenset[str]
    exact: bool = True


@dataclass(frozen=True)
class _Value:
    """What a node sends in one step: multiples of `grid`, at most `bound` in magnitude."""

    grid: float
    bound: FloatArray


def power_of_two_above(magnitude: float) -> float:
    """Return the smallest power of two that is at least `magnitude` (1.0 for zero)."""
    return 2.0 ** math.ceil(math.log2(magnitude)) if magnitude > 0 else 1.0


def round_to_grid(x: FloatArray, grid: float) -> FloatArray:
    """Round to the nearest multiple of a power of two (exact for float64)."""
    return np.asarray(np.rint(np.asarray(x, np.float64) / grid) * grid)


def snap(network: Network) -> Executable:
    """Return the network with weights, biases, v_init and inputs rounded to exact grids.

    Parameters
    ----------
    network : Network
        Normalised (unit amplitudes).

    Returns
    -------
    Executable
        Relative change of a weight: below 2**-9 of its operator's largest, usually 2**-14.
    """
    values: dict[str, _Value] = {}
    nodes: list[NetworkNode] = []
    connections: dict[int, Connection] = {}
    single: set[str] = set()
    exact = True
    for node in network.nodes:
        if isinstance(node, Input):
            bits = FINE_INPUT_BITS if network.fine else INPUT_BITS
            grid = power_of_two_above(node.bound) * 2.0**-bits
            values[node.name] = _Value(grid, np.full(node.shape, node.bound))
            nodes.append(replace(node, grid=grid))
            continue
        incoming = network.incoming(node.name)
        arriving = _Arriving(network, node, incoming, values)
        chains = arriving.snapped()
        for connection, chain in zip(incoming, chains, strict=True):
            connections[id(connection)] = replace(connection, operators=chain)
        if arriving.fits_single:
            single.add(node.name)
        exact = exact and arriving.fits_double
        if isinstance(node, Population):
            highest = float(spike_values(node.neuron).highest)
            values[node.name] = _Value(1.0, np.full(node.shape, highest))
            grid = arriving.state_grid
            bias, v_init = (round_to_grid(x, grid) for x in (node.bias, node.v_init))
            node = replace(node, bias=bias, v_init=v_init)
        elif isinstance(node, Readout):
            node = replace(node, bias=round_to_grid(node.bias, arriving.state_grid))
        else:
            values[node.name] = _Value(arriving.value_grid(chains), arriving.bound)
        nodes.append(node)
    ordered = tuple(connections[id(c)] for c in network.connections)
    return Executable(
        replace(network, nodes=tuple(nodes), connections=ordered), frozenset(single), exact
    )


def _double_bits(network: Network) -> int:
    """Return the bits of one step's sum in float64."""
    if not network.fine or network.timesteps is None:
        return DOUBLE_BITS
    return max(DOUBLE_BITS, FINE_BITS - math.ceil(math.log2(network.timesteps + 1)))


class _Arriving:
    """What arrives at one node in a step: its bound, the grids that hold it, snapped chains."""

    def __init__(
        self,
        network: Network,
        node: NetworkNode,
        incoming: tuple[Connection, ...],
        values: dict[str, _Value],
    ) -> None:
        self.incoming, self.values = incoming, values
        self.analog = [isinstance(network[c.source], Input) for c in incoming]
        self.bound = np.zeros(node.shape)
        spike_bound = np.zeros(node.shape)
        for connection, analog in zip(incoming, self.analog, strict=True):
            reach = values[connection.source].bound[None]
            bound = apply_chain(absolute_chain(connection.operators), reach)[0]
            self.bound = self.bound + bound
            spike_bound = spike_bound if analog else spike_bound + bound
        largest = max(float(self.bound.max(initial=0.0)), 2.0**-100)
        if isinstance(node, Population | Readout):
            largest = max(largest, float((self.bound + np.abs(node.bias)).max()))
        if isinstance(node, Population):
            largest = max(largest, float(np.max(node.threshold)))
        self.grid = power_of_two_above(largest * 1.01) * 2.0 ** -_double_bits(network)
        spikes = float(spike_bound.max(initial=0.0))
        spike_grid = power_of_two_above(spikes * 1.01) * 2.0**-SINGLE_BITS
        self.spike_grid = max(spike_grid, self.grid)
        self.relay = isinstance(node, Relay)
        if self.relay:
            reached = self.value_grid(self.snapped())
            self.fits_single, self.fits_double = reached >= spike_grid, reached >= self.grid
        else:
            spiking = [i for i, analog in enumerate(self.analog) if not analog]
            whole = network.weight_bits is None or self.spike_grid <= 1  # integers stay integers
            self.fits_single = whole and not network.fine and self._fit(spiking, self.spike_grid)
            self.fits_double = self._fit(range(len(incoming)), self.grid)

    @property
    def state_grid(self) -> float:
        """Grid of biases and voltages: that of the sums where spikes alone arrive.

        The voltage then is an integer of few bits, which fast engines compute with.
        """
        return self.spike_grid if self.fits_single and not any(self.analog) else self.grid

    def _fit(self, connections: Iterable[int], grid: float) -> bool:
        sources = [self.incoming[i] for i in connections]
        return all(
            _bits_left(c.operators, self.values[c.source].grid, grid) >= MINIMUM_BITS
            for c in sources
        )

    def snapped(self) -> list[Chain]:
        """Return the chains with weights on their grids."""
        chains = []
        for connection, analog in zip(self.incoming, self.analog, strict=True):
            chain, source_grid = connection.operators, self.values[connection.source].grid
            if self.relay or not self.fits_double:
                # What a relay's values need depends on its readers: keep it coarse.
                chains.append(_snap_chain(chain, None))
                continue
            target = self.spike_grid if self.fits_single and not analog else self.grid
            chains.append(_snap_chain(chain, _last_grid(chain, source_grid, target)))
        return chains

    def value_grid(self, chains: list[Chain]) -> float:
        """Return the coarsest power of two that every arriving sum is a multiple of."""
        grids = []
        for chain, connection in zip(chains, self.incoming, strict=True):
            grid = self.values[connection.source].grid
            for operator in chain:
                weights = weights_of(operator)
                if weights is not None and weights.any():
                    grid *= common_power_of_two(weights)
            grids.append(grid)
        return min(grids, default=1.0)


def _weighted(chain: Chain) -> list[int]:
    return [i for i, op in enumerate(chain) if weights_of(op) is not None]


def _inner_grid(weights: FloatArray) -> float:
    """Return what weights that are not a chain's last are rounded to multiples of.

    Interpolation by a whole factor, masks and running sums need few bits: they leave the rest to
    the weights behind them.
    """
    grid = power_of_two_above(float(np.abs(weights).max(initial=0.0))) * 2.0**-INNER_BITS
    rounded = round_to_grid(weights, grid)
    return common_power_of_two(rounded) if rounded.any() else grid


def _last_grid(chain: Chain, source_grid: float, target_grid: float) -> float:
    grid = target_grid / source_grid
    for i in _weighted(chain)[:-1]:
        weights = weights_of(chain[i])
        assert weights is not None
        grid /= _inner_grid(weights)
    return grid


def _bits_left(chain: Chain, source_grid: float, target_grid: float) -> float:
    """Return the bits that the largest weight of the last weighted operator keeps."""
    weighted = _weighted(chain)
    if not weighted:  # wiring: the source's own grid must be a multiple of the target's
        return math.inf if source_grid >= target_grid else -math.inf
    weights = weights_of(chain[weighted[-1]])
    assert weights is not None
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0:
        return math.inf
    return math.log2(largest / _last_grid(chain, source_grid, target_grid))


def _snap_chain(chain: Chain, last_grid: float | None) -> Chain:
    """Round the weights; `last_grid` None keeps ``INNER_BITS`` in the last operator too."""
    operators = list(chain)
    weighted = _weighted(chain)
    for i in weighted:
        weights = weights_of(operators[i])
        assert weights is not None
        is_last = i == weighted[-1]
        grid = last_grid if last_grid is not None and is_last else _inner_grid(weights)
        operators[i] = with_weights(operators[i], round_to_grid(weights, grid))
    return tuple(operators)


def common_power_of_two(weights: FloatArray) -> float:
    """Return the largest power of two that divides every weight."""
    used = weights[weights != 0].astype(np.float64)
    mantissa, exponent = np.frexp(used)
    whole = (mantissa * 2.0**53).astype(np.int64)
    lowest = np.array(whole & -whole, dtype=np.float64)
    return float(np.min(lowest * 2.0 ** (exponent - 53.0)))


def round_input(node: Input, x: FloatArray) -> FloatArray:
    """Return samples in float64, rounded to the input's grid where it has one."""
    x = np.asarray(x, np.float64)
    return x if node.grid is None else round_to_grid(x, node.grid)


def not_zero(node: Input, x: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where samples, rounded as :func:`round_input` does, are not zero."""
    half = np.float64(0.0 if node.grid is None else node.grid / 2)  # is rounded to zero: even
    return np.asarray((x > half) | (x < -half))


__all__ = [
    "MAXIMUM_STEPS",
    "Executable",
    "common_power_of_two",
    "not_zero",
    "power_of_two_above",
    "round_input",
    "round_to_grid",
    "snap",
]
