"""Data-based weight normalisation: unit thresholds and unit amplitudes, the same function.

With threshold and amplitude of each population moved into the weights,
``W' = W amplitude_source / threshold_target``, ``b' = b / threshold``, the network is the
data-normalised network of Rueckauer et al. 2017 (section 2.2.2), the form that most targets need.
Biases are divided by their own threshold only, because the preceding scales are in ``W'``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snnconvert.convert.linear import (
    WEIGHTED,
    Chain,
    Dense,
    FloatArray,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    absolute_chain,
    apply_chain,
    is_routing,
)
from snnconvert.convert.network import Connection, Network, Population, Relay
from snnconvert.convert.simplify import collapse, per_axis, simplify_chain


def normalize(network: Network) -> Network:
    """Return the network with unit thresholds and unit amplitudes.

    Parameters
    ----------
    network : Network
        In any units.

    Returns
    -------
    Network
        The same function: spike for spike in exact arithmetic, up to rounding of the products
        otherwise. Readouts stay in ANN units; ``Population.scale`` still converts
        rates to ANN units.

    References
    ----------
    Rueckauer et al. 2017, "Conversion of continuous-valued deep networks to efficient
    event-driven networks for image classification", section 2.2.2.
    """
    populations = [
        replace(
            p,
            threshold=np.ones_like(p.threshold, dtype=np.float64),
            amplitude=np.ones_like(p.amplitude, dtype=np.float64),
            bias=np.asarray(p.bias / p.threshold),
            v_init=np.asarray(p.v_init / p.threshold),
        )
        for p in network.populations
    ]
    sent = _units(network)
    ones = np.ones(())
    connections = []
    for connection in network.connections:
        source, target = network[connection.source], network[connection.target]
        received = target.threshold if isinstance(target, Population) else ones
        if isinstance(target, Relay):
            received = sent[target.name]
        chain = _rescale(connection, source.shape, sent[source.name], np.asarray(received))
        connections.append(replace(connection, operators=chain))
    return replace(network.replace_nodes(populations), connections=tuple(connections))


def _units(network: Network) -> dict[str, FloatArray]:
    """Return what one unit of each node's value is worth: amplitudes, and units for relays.

    A relay that only joins copies of rates has their amplitude as its unit, so that it passes
    whole numbers on; one behind weights has the power of two above its bound, channel by channel.
    """
    units: dict[str, FloatArray] = {}
    for node in network.nodes:
        if isinstance(node, Population):
            units[node.name] = np.asarray(node.amplitude, np.float64)
        elif isinstance(node, Relay):
            units[node.name] = _relay_unit(network, node, units)
        else:
            units[node.name] = np.ones(())
    return units


def _relay_unit(network: Network, relay: Relay, units: dict[str, FloatArray]) -> FloatArray:
    incoming = network.incoming(relay.name)
    reaching = [
        apply_chain(
            absolute_chain(c.operators),
            np.broadcast_to(units[c.source], network[c.source].shape)[None],
        )[0]
        for c in incoming
    ]
    if all(is_routing(c.operators) for c in incoming):
        unit = np.max(reaching, axis=0)
        return collapse(np.where(unit > 0, unit, 1.0))
    bound = np.sum(reaching, axis=0)
    others = tuple(range(1, bound.ndim))
    largest = bound.max(axis=others, keepdims=True)
    return np.asarray(2.0 ** np.ceil(np.log2(np.where(largest > 0, largest, 1.0))))


def _rescale(
    connection: Connection, shape: Shape, amplitude: FloatArray, threshold: FloatArray
) -> Chain:
    chain = connection.operators
    if (amplitude != 1).any():
        chain = (Scale(shape, amplitude), *chain)
    chain = simplify_chain(chain)
    if (threshold != 1).any():
        chain = _scale_output(chain, shape, 1.0 / threshold)
    return simplify_chain(chain)


def _scale_output(chain: Chain, input_shape: Shape, factor: FloatArray) -> Chain:
    """Append a scale, or put it into the last weights where nothing in between mixes channels."""
    shape = chain[-1].output_shape if chain else input_shape
    moved = np.broadcast_to(factor, shape)
    for position in range(len(chain) - 1, -1, -1):
        operator = chain[position]
        if isinstance(operator, Reshape):
            moved = moved.reshape(operator.input_shape)
        elif isinstance(operator, Transpose):
            moved = moved.transpose(np.argsort(operator.permutation))
        elif isinstance(operator, SumPool) or (
            isinstance(operator, Select) and operator.indices[0] is None
        ):
            channels = per_axis(moved, moved.shape, 0)
            if channels is None:
                break
            one_each = channels.reshape(-1, *[1] * (moved.ndim - 1))
            moved = np.broadcast_to(one_each, operator.input_shape)
        elif isinstance(operator, WEIGHTED):
            axis = operator.axis if isinstance(operator, Dense) else 0
            anywhere = isinstance(operator, Matrix | Scale)
            if anywhere or per_axis(moved, moved.shape, axis) is not None:
                scale = Scale(operator.output_shape, np.ascontiguousarray(moved))
                return (*chain[: position + 1], scale, *chain[position + 1 :])
            before = _before_sum(moved, operator, (axis,)) if isinstance(operator, Dense) else None
            if before is None:
                break
            moved = before
        elif isinstance(operator, ReduceSum):
            before = _before_sum(moved, operator, operator.axes)
            assert before is not None  # a summed axis has extent 1 behind it
            moved = before
        else:
            break
    return (*chain, Scale(shape, factor))


def _before_sum(
    factor: FloatArray, operator: LinearOperator, axes: tuple[int, ...]
) -> FloatArray | None:
    """Return the factor that all summands of a sum along axes need, None where they differ."""
    for axis in axes:
        one = np.take(factor, [0], axis=axis)
        if (factor != one).any():
            return None
        factor = one
    return np.broadcast_to(factor, operator.input_shape)
