"""Use all eight bits for every channel: equal functions, larger weights.

The weights of a core share one scale, made for the largest. A channel with small weights keeps few
of their bits, and one dead channel, normalised by a tiny threshold, would take them from all
others. Multiplying a neuron's weights, bias and threshold by one number changes nothing that it
does; powers of two bring every channel's largest weight to at least half of the layer's. With
nengo-loihi a core of the chip has eight thresholds, so a layer has at most eight such numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.loihi.blueprint import Blueprint, Layer, Projection
from snnconvert.backends.loihi.scales import BIAS_MAX, THRESHOLD_MAX, WEIGHT_MAX, WEIGHT_SHIFT
from snnconvert.backends.loihi.synapses import (
    DenseSynapses,
    SharedKernel,
    SparseSynapses,
    Synapses,
)
from snnconvert.convert.linear import FloatArray

THRESHOLDS_PER_CORE = 8
"""``MAX_VTH_CFGS`` of nengo-loihi's hardware interface."""
FULL_SCALE = WEIGHT_MAX * 2**WEIGHT_SHIFT
"""What the largest weight of a core becomes, at exponent 0."""


def balance(blueprint: Blueprint) -> Blueprint:
    """Return the blueprint with a gain for each channel of its populations.

    Readouts keep theirs at 1: their thresholds are made for the room that they need.
    """
    layers = {
        layer.name: replace(layer, gain=_gain(blueprint, layer))
        if layer.kind == "population"
        else layer
        for layer in blueprint.layers
    }
    projections = tuple(_scaled(p, layers[p.target]) for p in blueprint.projections)
    return replace(blueprint, layers=tuple(layers.values()), projections=projections)


def _gain(blueprint: Blueprint, layer: Layer) -> FloatArray:
    """Return the power of two of every neuron, equal within a channel."""
    incoming = blueprint.incoming(layer.name)
    weight = np.zeros(layer.size)
    for projection in incoming:
        weight = np.maximum(weight, projection.largest_weights)
    bias = np.abs(layer.bias) + sum(drive.bound for drive in layer.drives)
    channels = layer.shape[0]
    weight, bias = (v.reshape(channels, -1).max(axis=1) for v in (weight, bias))
    largest = float(weight.max())
    if not largest:
        return np.ones(layer.size)
    room = np.full(channels, THRESHOLD_MAX / FULL_SCALE * largest)
    for needed, available in ((weight, largest), (bias, BIAS_MAX / FULL_SCALE * largest)):
        used = needed > 0
        room[used] = np.minimum(room[used], available / needed[used])
    exponents = few_values(np.floor(np.log2(np.maximum(room, 1.0))).astype(np.int64))
    return np.repeat(np.exp2(exponents), layer.size // channels)


def few_values(exponents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the exponents with at most eight distinct values: others take the next lower one."""
    values, counts = np.unique(exponents, return_counts=True)
    common = values[1:][np.argsort(-counts[1:], kind="stable")][: THRESHOLDS_PER_CORE - 1]
    kept = np.sort(np.append(common, values[0]))
    return np.asarray(kept[np.searchsorted(kept, exponents, side="right") - 1])


def _scaled(projection: Projection, target: Layer) -> Projection:
    if (target.gain == 1).all():
        return projection
    return replace(projection, synapses=_times(projection.synapses, target.gain, target.shape[0]))


def _times(synapses: Synapses, gain: FloatArray, channels: int) -> Synapses:
    if isinstance(synapses, SharedKernel):
        per_channel = gain.reshape(channels, -1)[:, 0]
        return replace(synapses, weight=synapses.weight * per_channel[:, None, None, None])
    if isinstance(synapses, DenseSynapses):
        return DenseSynapses(synapses.weight * gain[:, None])
    return SparseSynapses(sp.csr_array(sp.diags_array(gain) @ synapses.matrix))
