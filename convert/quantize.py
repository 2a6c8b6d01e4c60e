"""Round weights to signed integers of a few bits: what an integer chip would hold.

Each population gets its own step, its largest incoming weight over ``2**(bits-1) - 1``; threshold,
bias and v_init are rounded to whole steps too. The voltage then counts steps. A readout's scale
converts back to ANN units. Analog inputs stay analog: their currents are what a host would inject.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import (
    Chain,
    FloatArray,
    Matrix,
    Scale,
    Shape,
    chain_output_shape,
    chain_to_sparse,
    weights_of,
    with_weights,
)
from snnconvert.convert.network import Connection, Network, NetworkNode, Population, Readout
from snnconvert.convert.relays import inline_relays


def quantize_weights(network: Network, bits: int) -> Network:
    """Return a normalised network with integer weights, thresholds, biases and v_init.

    Parameters
    ----------
    network : Network
        Normalised.
    bits : int
        Sign included, from 2 to 16.

    Raises
    ------
    UsageError
        If `bits` is out of range.
    """
    check_weight_bits(bits)
    network = inline_relays(network, everything=True)
    levels = 2 ** (bits - 1) - 1
    nodes: list[NetworkNode] = []
    chains: dict[int, Chain] = {}
    for node in network.nodes:
        if not isinstance(node, Population | Readout):
            continue
        incoming = network.incoming(node.name)
        single = [_one_weighted(c, network[c.source].shape) for c in incoming]
        largest = max((_largest(chain) for chain in single), default=0.0)
        step = largest / levels if largest > 0 else 1.0
        chains.update({id(c): _to_integers(k, step) for c, k in zip(incoming, single, strict=True)})
        if isinstance(node, Population):
            threshold = np.maximum(np.rint(node.threshold / step), 1.0)
            v_init = np.minimum(np.rint(node.v_init / step), threshold - 1.0)
            nodes.append(
                replace(node, threshold=threshold, v_init=v_init, bias=np.rint(node.bias / step))
            )
        else:
            scale = np.asarray(node.scale * step)
            nodes.append(replace(node, bias=np.rint(node.bias / step), scale=scale))
    connections = tuple(replace(c, operators=chains[id(c)]) for c in network.connections)
    return replace(network.replace_nodes(nodes), connections=connections)


def check_weight_bits(bits: int) -> None:
    """Refuse a number of bits out of range.

    Raises
    ------
    UsageError
    """
    if not 2 <= bits <= 16:
        raise UsageError(f"weight bits must be 2 to 16, not {bits}")


def _one_weighted(connection: Connection, shape: Shape) -> Chain:
    """Return the chain with exactly one operator that holds weights."""
    chain = connection.operators
    count = sum(weights_of(op) is not None for op in chain)
    if count == 0:
        return (Scale(shape, np.ones((1,) * len(shape))), *chain)
    if count == 1:
        return chain
    return (Matrix(shape, chain_to_sparse(chain, shape), chain_output_shape(chain, shape)),)


def _weights(chain: Chain) -> tuple[int, FloatArray]:
    for i, operator in enumerate(chain):
        weights = weights_of(operator)
        if weights is not None:
            return i, weights
    raise AssertionError("a chain without weights was given one by _one_weighted")


def _largest(chain: Chain) -> float:
    return float(np.abs(_weights(chain)[1]).max(initial=0.0))


def _to_integers(chain: Chain, step: float) -> Chain:
    i, weights = _weights(chain)
    return (*chain[:i], with_weights(chain[i], np.rint(weights / step)), *chain[i + 1 :])
