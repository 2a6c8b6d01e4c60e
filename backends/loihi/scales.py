"""The integer formats of nengo-loihi: what its discretisation will do, before it does it.

Formulas of ``nengo_loihi.builder.discretize``, release 1.1.0, for blocks as ours: a memoryless
current, an exact integrator, no noise, no learning. A core's weights share one scale,
``255 / largest weight``; thresholds and biases are multiples of ``64 * scale * 2**exponent``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnconvert.backends.loihi.blueprint import Blueprint, Layer
from snnconvert.backends.loihi.cores import Tiling
from snnconvert.convert.errors import Problem
from snnconvert.convert.linear import FloatArray

WEIGHT_MAX = 255
WEIGHT_SHIFT = 6
THRESHOLD_MAX = (2**17 - 1) * 2**6
BIAS_MANTISSA_MAX = 2**12 - 1
BIAS_EXPONENT_MAX = 2**3 - 1
BIAS_MAX: int = BIAS_MANTISSA_MAX * 2**BIAS_EXPONENT_MAX
VOLTAGE_MAX = 2**23 - 1
CURRENT_BITS = 21
WEIGHT_BITS = 8
SMALLEST_EXPONENT = -6
LOSSLESS_EXPONENT = -1
"""Weights keep all 127 levels of either sign down to this exponent; below it they lose bits."""
NOTHING = 1e-8
"""nengo-loihi takes weights and biases below this as absent (in units of 1/dt)."""


def bias_to_integers(bias: FloatArray) -> npt.NDArray[np.int32]:
    """Round to what the bias registers hold: a 12-bit mantissa and a sign times 2**0 to 2**7.

    Parameters
    ----------
    bias : float array
        In units of the membrane voltage; beyond ±524,160 it is clipped.
    """
    whole = np.clip(np.rint(bias), -BIAS_MAX, BIAS_MAX)
    ratio = np.maximum(np.abs(whole) / BIAS_MANTISSA_MAX, 1.0)
    unit = np.exp2(np.ceil(np.log2(ratio)))
    return np.asarray(np.rint(whole / unit) * unit, np.int32)


@dataclass(frozen=True, eq=False)
class TileScales:
    """Scales of a layer's tiles.

    Attributes
    ----------
    largest_weight : (tiles,) float array
        0 where no synapses arrive.
    exponent : (tiles,) int array
    scale : (tiles,) float array
        Membrane units per unit of the layer's float voltage.
    """

    largest_weight: FloatArray
    exponent: npt.NDArray[np.int64]
    scale: FloatArray


def per_tile(values: FloatArray, tiling: Tiling) -> FloatArray:
    """Return the largest value of each tile's neurons."""
    largest = np.zeros(tiling.cores)
    np.maximum.at(largest, tiling.tile_of, values)
    return largest


def tile_scales(
    blueprint: Blueprint, layer: Layer, tiling: Tiling, largest_bias: FloatArray
) -> TileScales:
    """Return the scales that nengo-loihi will choose for every tile of a layer.

    Parameters
    ----------
    blueprint : Blueprint
    layer : Layer
    tiling : Tiling
    largest_bias : (size,) float array
        Magnitude of each neuron's bias, host currents and gain included.
    """
    weight = np.zeros(tiling.cores)
    for projection in blueprint.incoming(layer.name):
        weight = np.maximum(weight, per_tile(projection.largest_weights, tiling))
    bias = per_tile(largest_bias, tiling)
    exponents, scales = [], []
    threshold = per_tile(layer.threshold, tiling)
    for w, b, v in zip(weight.tolist(), bias.tolist(), threshold.tolist(), strict=True):
        exponent, scale = _with_weights(w, b, v) if w > 0 else (0, _without(b, v))
        exponents.append(exponent)
        scales.append(scale)
    return TileScales(weight, np.array(exponents), np.array(scales))


def _with_weights(weight: float, bias: float, threshold: float) -> tuple[int, float]:
    for exponent in range(0, -8, -1):
        scale = math.ldexp(WEIGHT_MAX / weight, WEIGHT_SHIFT + exponent)
        if round(threshold * scale) <= THRESHOLD_MAX and round(bias * scale) <= BIAS_MAX:
            return exponent, scale
    return -8, scale


def _without(bias: float, threshold: float) -> float:
    if bias == 0:
        return ((1 << CURRENT_BITS) - 1) / threshold
    scale = BIAS_MAX / bias
    while round(threshold * scale) > THRESHOLD_MAX:
        scale /= 2
    return scale


def scale_problems(
    blueprint: Blueprint, layer: Layer, tiling: Tiling, scales: TileScales
) -> list[Problem]:
    """Return the weights and thresholds of a layer that have no integer format.

    A group of synapses stores its weights with its own exponent, at least -6. nengo-loihi takes
    the smallest exponent for smaller groups without saying so; their weights come out too large.
    """
    problems = []
    if (scales.exponent < SMALLEST_EXPONENT).any():
        problems.append(_range_problem(layer))
    for projection in blueprint.incoming(layer.name):
        largest = per_tile(projection.largest_weights, tiling)
        used = largest > 0
        ratio = np.ones_like(largest)
        ratio[used] = scales.largest_weight[used] / largest[used]
        below = np.floor(np.log2(ratio)).astype(np.int64)
        if (scales.exponent - below < SMALLEST_EXPONENT).any():
            limit = 2 ** int(scales.exponent.min() - SMALLEST_EXPONENT + 1)
            problems.append(
                Problem(
                    code="weight-range",
                    message=f"the synapses {projection.source!r} -> {layer.name!r} are "
                    f"{ratio.max():,.0f} times weaker than the strongest into the same layer, "
                    f"a Loihi core can hold a ratio below {limit:,}",
                    node=layer.name,
                    place=f"{layer.kind} {layer.name!r}",
                    why="all weights of a core share one scale with exponents from 0 to -6",
                    hint="remove the weak connection, or calibrate with --per-layer",
                )
            )
    return problems


def _range_problem(layer: Layer) -> Problem:
    return Problem(
        code="weight-range",
        message=f"threshold and biases of {layer.name!r} are too large for its weights",
        node=layer.name,
        place=f"{layer.kind} {layer.name!r}",
        why="all weights of a core share one scale with exponents from 0 to -6, thresholds reach "
        f"{THRESHOLD_MAX:,} and biases {BIAS_MAX:,}",
        hint="run fewer timesteps, or calibrate the layer with a lower percentile",
    )
