"""Choose how each layer is cut into cores.

From the outputs backwards, because the output-axon slots that a tile needs depend on the tiles of
the layers behind it: the fewest cores for which every limit holds; among equal ones, the fewest
tiles along the channels, because every pixel needs an axon to each of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from snnconvert.backends.loihi.blueprint import Blueprint, Layer
from snnconvert.backends.loihi.cores import (
    LIMITS,
    Tiling,
    Usage,
    exceeded,
    input_usage,
    output_usage,
)
from snnconvert.convert.errors import Problem, UnsupportedModelError

Plan = dict[str, Tiling]


def plan(blueprint: Blueprint, *, at_most: Mapping[str, int] | None = None) -> Plan:
    """Return a tiling of every layer that keeps to the limits of a core.

    Parameters
    ----------
    blueprint : Blueprint
    at_most : dict of str to int, optional
        Compartments that a tile of the named layer may have.

    Raises
    ------
    UnsupportedModelError
        If a single neuron of a layer needs more than a core has.
    """
    chosen: Plan = {}
    problems = []
    for layer in reversed(blueprint.layers):
        limit = (at_most or {}).get(layer.name, LIMITS.compartments)
        tiling = _fewest_cores(blueprint, layer, chosen, limit)
        if isinstance(tiling, Problem):
            problems.append(tiling)
            tiling = single_neurons(layer)
        chosen[layer.name] = tiling
    if problems:
        raise UnsupportedModelError(reversed(problems), model=f"network {blueprint.network.name!r}")
    return chosen


def single_neurons(layer: Layer) -> Tiling:
    """Return the tiling with one neuron a core."""
    return Tiling(layer.tile_shape, (1,) * len(layer.tile_shape))


def fan_in_problems(blueprint: Blueprint) -> list[Problem]:
    """Return a problem for each layer of which not even one neuron fits into a core."""
    problems = []
    for layer in blueprint.layers:
        worst = _largest_usage(blueprint, layer, single_neurons(layer), {})
        if exceeded(worst) is not None:
            problems.append(_does_not_fit(layer, worst))
    return problems


def _fewest_cores(blueprint: Blueprint, layer: Layer, chosen: Plan, limit: int) -> Tiling | Problem:
    for tiling in _candidates(layer, limit):
        worst = _largest_usage(blueprint, layer, tiling, chosen)
        if exceeded(worst) is None:
            return tiling
    return _does_not_fit(layer, worst)


def _candidates(layer: Layer, limit: int) -> Iterator[Tiling]:
    """Yield tilings of at most `limit` compartments, fewest cores first."""
    sizes = [sorted({-(-n // parts) for parts in range(1, n + 1)}) for n in layer.tile_shape]
    tilings = [
        Tiling(layer.tile_shape, tile)
        for tile in itertools.product(*sizes)
        if np.prod(tile) <= limit
    ]
    return iter(sorted(tilings, key=lambda t: (t.cores, t.counts[0], sum(t.counts), t.tile)))


def _largest_usage(blueprint: Blueprint, layer: Layer, tiling: Tiling, chosen: Plan) -> Usage:
    """Return the largest of each quantity over all tiles; stops counting beyond a limit."""
    compartments = int(tiling.compartments.max())
    output_axons = np.zeros(tiling.counts, np.int64)
    for projection in blueprint.outgoing(layer.name):
        if projection.target in chosen:
            target = chosen[projection.target]
            output_axons += output_usage(projection.synapses, tiling, target)
    if output_axons.max() > LIMITS.output_axons:
        return Usage(compartments, 0, int(output_axons.max()), 0)
    input_axons, bits = np.zeros(tiling.counts, np.int64), np.zeros(tiling.counts, np.int64)
    for projection in blueprint.incoming(layer.name):
        axons, memory = input_usage(projection.synapses, tiling)
        input_axons, bits = input_axons + axons, bits + memory
    return Usage(compartments, int(input_axons.max()), int(output_axons.max()), int(bits.max()))


def _does_not_fit(layer: Layer, worst: Usage) -> Problem:
    beyond = exceeded(worst)
    assert beyond is not None
    limit, needed, available = beyond
    return Problem(
        code="core-limit",
        message=f"one neuron of {layer.name!r} needs {needed:,} {limit}, a Loihi core has "
        f"{available:,}",
        node=layer.name,
        place=f"{layer.kind} {layer.name!r} of shape {layer.shape}",
        why="the synapses of a neuron cannot be spread over several cores",
        hint="reduce the layer's inputs, for example by pooling before it",
    )
