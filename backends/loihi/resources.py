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
    """Return what the network takes, counted by nengo-loihi on the blocks that it built.

    Returns
    -------
    dict
        Totals (`cores`, `chips`, ...); `limits_per_core`; `layers`, one a row; `utilisation` of
        each layer's fullest core, as shares of the limits; `synapses`, one connection a row, with
        the weight bits that are left, `scale`, the target's voltage units per threshold (median of
        its neurons), and `quantisation_error`, the relative error of a neuron's weights (root of
        the summed squares), averaged over the neurons.
    """
    used = {layer.name: _used(chip.of_layer(layer.name)) for layer in blueprint.layers}
    rows = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "cores": plan[layer.name].cores,
            "tile": " × ".join(str(n) for n in plan[layer.name].tile),
            **{name: sum(counts) for name, counts in used[layer.name].items()},
        }
        for layer in blueprint.layers
    ]
    return {
        "cores": len(chip.cores),
        "chips": -(-len(chip.cores) // CORES_PER_CHIP),
        **{name: sum(row[name] for row in rows) for name in QUANTITIES.values()},
        "limits_per_core": vars(LIMITS).copy(),
        "layers": rows,
        "utilisation": {
            name: {quantity: max(n) / getattr(LIMITS, quantity) for quantity, n in counts.items()}
            for name, counts in used.items()
        },
        "synapses": [
            _synapses(projection, blueprint[projection.target], chip, integers)
            for projection in blueprint.projections
        ],
    }


def _used(cores: tuple[Core, ...]) -> dict[str, list[int]]:
    """Return each quantity of every core."""
    used: dict[str, list[int]] = {name: [] for name in QUANTITIES.values()}
    for core in cores:
        for name, (count, _) in core.block.utilization().items():
            used[QUANTITIES[name]].append(int(count))
    return used


def _synapses(
    projection: Projection, target: Layer, chip: Chip, integers: IntegerNetwork
) -> dict[str, Any]:
    stored = next(s for s in integers.incoming(target.name) if s.source == projection.source)
    # both in thresholds
    held = sp.csr_array(sp.diags_array(1 / integers[target.name].scale) @ stored.matrix.T)
    wanted = sp.csr_array(sp.diags_array(1 / target.gain) @ projection.matrix)
    error, size = (np.sqrt((m**2).sum(axis=1)) for m in (held - wanted, wanted))
    infos = [core.block.discretize_info for core in chip.of_layer(target.name)]
    exponent = min(int(info["w_exp"]) for info in infos)
    lost = max(0, LOSSLESS_EXPONENT - exponent)
    return {
        "source": projection.source,
        "target": target.name,
        "form": projection.synapses.form,
        "weights": int(stored.matrix.nnz),
        "weight_bits": WEIGHT_BITS - lost,
        "lost_bits": lost,
        "exponent": exponent,
        "scale": float(np.median(integers[target.name].scale)),
        "quantisation_error": float((error[size > 0] / size[size > 0]).mean())
        if size.any()
        else 0.0,
    }
