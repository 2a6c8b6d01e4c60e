"""What the network takes of the chip and what its integers lose, ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from snnconvert.backends.loihi.blueprint import Blueprint, Layer, Projection
from snnconvert.backends.loihi.chip import Chip, Core
from snnconvert.backends.loihi.cores import CORES_PER_CHIP, LIMITS
from snnconvert.backends.loihi.extract import IntegerNetwork
from snnconvert.backends.loihi.planner import Plan
from snnconvert.backends.loihi.scales import LOSSLESS_EXPONENT, WEIGHT_BITS

QUANTITIES = {
    "compartments": "compartments",
    "in-axons": "input_axons",
    "out-axons": "output_axons",
    "synapses": "synapse_bits",
}
"""nengo-loihi's names of what a block uses, and ours."""


def resources(
    blueprint: Blueprint, plan: Plan, chip: Chip, integers: IntegerNetwork
) -> dict[str, Any]:
    """Return cores, chips, and what each layer takes and loses.

    Utilisation is that of the fullest core, as a share of what a core has, counted by
    nengo-loihi on the blocks that it built.
    """
    layers = [
        _layer(blueprint, layer, plan[layer.name].tile, chip.of_layer(layer.name), integers)
        for layer in blueprint.layers
    ]
    totals = ("cores", *QUANTITIES.values())
    return {
        **{name: sum(layer[name] for layer in layers) for name in totals},
        "chips": -(-len(chip.cores) // CORES_PER_CHIP),
        "cores_per_chip": CORES_PER_CHIP,
        "limits_per_core": vars(LIMITS).copy(),
        "layers": layers,
    }


def _layer(
    blueprint: Blueprint,
    layer: Layer,
    tile: tuple[int, ...],
    cores: tuple[Core, ...],
    integers: IntegerNetwork,
) -> dict[str, Any]:
    used: dict[str, list[int]] = {name: [] for name in QUANTITIES.values()}
    for core in cores:
        for name, (count, _) in core.block.utilization().items():
            used[QUANTITIES[name]].append(int(count))
    infos = [core.block.discretize_info for core in cores]
    exponents = [int(info["w_exp"]) for info in infos]
    scale = integers[layer.name].scale
    return {
        "name": layer.name,
        "kind": layer.kind,
        "cores": len(cores),
        "tile": list(tile),
        **{name: sum(counts) for name, counts in used.items()},
        "utilisation": {name: max(n) / getattr(LIMITS, name) for name, n in used.items()},
        "scale": [float(scale.min()), float(scale.max())],
        "synapses": [
            _synapses(projection, layer, integers, min(exponents))
            for projection in blueprint.incoming(layer.name)
        ],
    }


def _synapses(
    projection: Projection, target: Layer, integers: IntegerNetwork, exponent: int
) -> dict[str, Any]:
    stored = next(s for s in integers.incoming(projection.target) if s.source == projection.source)
    # both in thresholds
    held = sp.csr_array(sp.diags_array(1 / integers[projection.target].scale) @ stored.matrix.T)
    wanted = sp.csr_array(sp.diags_array(1 / target.gain) @ projection.matrix)
    error, size = (np.sqrt((m**2).sum(axis=1)) for m in (held - wanted, wanted))
    lost = max(0, LOSSLESS_EXPONENT - exponent)
    return {
        "source": projection.source,
        "form": type(projection.synapses).__name__,
        "weights": int(stored.matrix.nnz),
        "weight_bits": WEIGHT_BITS - lost,
        "exponent": exponent,
        "lost_bits": lost,
        "quantisation_error": float((error[size > 0] / size[size > 0]).mean())
        if size.any()
        else 0.0,
    }
