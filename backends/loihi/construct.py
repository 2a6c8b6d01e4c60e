"""From a blueprint to a built chip: scales, plan, network, build, integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from snnconvert.backends.loihi.balance import balance
from snnconvert.backends.loihi.blueprint import Blueprint, Layer
from snnconvert.backends.loihi.chip import Chip, build, emit_network
from snnconvert.backends.loihi.extract import IntegerNetwork, extract
from snnconvert.backends.loihi.planner import Plan, plan
from snnconvert.backends.loihi.scales import (
    BIAS_MAX,
    LOSSLESS_EXPONENT,
    SMALLEST_EXPONENT,
    THRESHOLD_MAX,
    VOLTAGE_MAX,
    WEIGHT_MAX,
    WEIGHT_SHIFT,
    TileScales,
    scale_problems,
    tile_scales,
)
from snnconvert.convert.errors import UnsupportedModelError
from snnconvert.convert.linear import FloatArray

SATURATING = 2.0
"""Currents in thresholds beyond which a neuron without synapses cannot change its spikes."""
SMALLEST_CURRENT = 1e-3
READOUT_ROOM = 8
"""More than the largest output of the networks measured in docs/loihi.md; where it is too little,
the run notices and the readouts are built again."""


@dataclass(frozen=True, eq=False)
class Construction:
    """A built chip and everything that led to it."""

    blueprint: Blueprint
    plan: Plan
    scales: Mapping[str, TileScales]
    chip: Chip
    integers: IntegerNetwork


def construct(blueprint: Blueprint, *, readout_exponent: int, seed: int) -> Construction:
    """Plan, emit and build a network.

    Parameters
    ----------
    blueprint : Blueprint
    readout_exponent : int
        Weight exponent of the readouts, -1 to -6: each step down doubles what their membranes
        hold and, below -1, costs a bit of their weights.
    seed : int

    Raises
    ------
    UnsupportedModelError
        If the network does not fit, or its weights have no integer format.
    """
    blueprint = balance(blueprint)
    blueprint = replace(
        blueprint,
        layers=tuple(_with_threshold(blueprint, x, readout_exponent) for x in blueprint.layers),
    )
    at_most: dict[str, int] = {}
    while True:
        tilings = plan(blueprint, at_most=at_most)
        try:
            return _attempt(blueprint, tilings, seed)
        except UnsupportedModelError as error:
            layer = error.problems[0].node if error.problems[0].code == "core-limit" else ""
            size = math.prod(tilings[layer].tile) if layer else 1
            if size == 1:
                raise
            at_most[layer] = size - 1  # the plan was wrong about this layer: take smaller tiles


def _attempt(blueprint: Blueprint, tilings: Plan, seed: int) -> Construction:
    bias = {layer.name: _largest_bias(blueprint, layer) for layer in blueprint.layers}
    scales = {
        x.name: tile_scales(blueprint, x, tilings[x.name], np.abs(bias[x.name]))
        for x in blueprint.layers
    }
    problems = [
        problem
        for x in blueprint.layers
        for problem in scale_problems(blueprint, x, tilings[x.name], scales[x.name])
    ]
    if problems:
        raise UnsupportedModelError(problems, model=f"network {blueprint.network.name!r}")
    chip = build(*emit_network(blueprint, tilings, scales, bias, seed=seed), seed=seed)
    integers = extract(chip, blueprint.layers)
    for layer in integers.layers:
        assert layer.lowest.min() >= -VOLTAGE_MAX, f"{layer.name}: below what the chip holds"
    return Construction(blueprint, tilings, scales, chip, integers)


def readout_exponent(steps: int) -> int:
    """Return the largest weight exponent that leaves the readouts room for this many steps.

    ``READOUT_ROOM`` of a readout's largest weights may arrive in every step.
    """
    exponent = LOSSLESS_EXPONENT
    while exponent > SMALLEST_EXPONENT:
        largest = WEIGHT_MAX * math.ldexp(1.0, WEIGHT_SHIFT + exponent)
        if THRESHOLD_MAX / largest >= READOUT_ROOM * steps:
            break
        exponent -= 1
    return exponent


def _largest_weight(blueprint: Blueprint, layer: Layer) -> float:
    return max(
        (float(p.largest_weights.max(initial=0.0)) for p in blueprint.incoming(layer.name)),
        default=0.0,
    )


def _with_threshold(blueprint: Blueprint, layer: Layer, exponent: int) -> Layer:
    """Set the float threshold that is handed to nengo-loihi.

    The chip fires above its threshold, not at it, and rounding shrinks the largest weights by half
    a level. A population's threshold is therefore one weight level lower: two spikes of half a
    threshold fire, as they should. A readout's makes nengo-loihi choose this weight exponent.
    """
    weight = _largest_weight(blueprint, layer)
    if layer.kind == "readout":
        scale = math.ldexp(WEIGHT_MAX / weight if weight else 1.0, WEIGHT_SHIFT + exponent)
        # a hair below the largest threshold, so that rounding cannot push it over
        return replace(layer, threshold=np.full(1, THRESHOLD_MAX / scale * (1 - 2.0**-20)))
    if not weight:
        return layer
    level = weight / (WEIGHT_MAX / 2)
    lowered = np.maximum(layer.gain - level, layer.gain / 2)
    # a neuron that any spike makes fire: the smallest threshold there is
    return replace(layer, threshold=np.maximum(lowered, weight / WEIGHT_MAX))


def _largest_bias(blueprint: Blueprint, layer: Layer) -> FloatArray:
    """Return the bias to build with: the largest current where the host writes one.

    It fixes the scale of the bias registers. A neuron that sees nothing but the host fires in
    every step from one threshold on, so larger currents need no room.
    """
    if not layer.drives:
        return layer.bias * layer.gain
    bound = np.abs(layer.bias) + sum(drive.bound for drive in layer.drives)
    bound = np.maximum(bound, SMALLEST_CURRENT)
    if layer.kind == "readout":
        return np.asarray(bound)
    weight = _largest_weight(blueprint, layer)
    if not weight:
        return np.asarray(np.minimum(bound, SATURATING * layer.threshold))
    bound = bound * layer.gain
    room = BIAS_MAX * weight / (WEIGHT_MAX * math.ldexp(1.0, WEIGHT_SHIFT + LOSSLESS_EXPONENT))
    return np.asarray(np.minimum(bound, room))
