"""Write a network for other simulators: a JSON file of nodes and an npz file of arrays.

The network is the one that our simulator runs: unit thresholds, scales in the weights, batch norms
folded. It holds only what every framework has a word for (``peers/neutral.py`` reads it):

- ``conv2d``: weight, stride, padding, groups; ``linear``: weight; ``sum_pool2d``: size, stride;
- ``scale``: an array that broadcasts; ``reshape``: a shape;
- ``slice_pad``: for each axis start, stop and step of a slice, and the zeros before and after it.

A node adds up what its connections bring and its bias. Neurons begin at half a threshold, reset by
subtraction and fire at ``v >= 1``; an output is the mean of its current over the steps.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    IntArray,
    LinearOperator,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
)
from snnconvert.convert.network import Input, Network, Population, Readout, Relay

STARTS_AT = 0.5
"""Voltage before the first step, in thresholds."""

Arrays = dict[str, npt.NDArray[np.float32]]


class NotNeutralError(Exception):
    """The network holds something that not every framework has."""


def write_network(network: Network, folder: Path) -> None:
    """Write ``network.json`` and ``arrays.npz`` into a folder.

    Parameters
    ----------
    network : Network
        As engines run it (``snnconvert.backends.base.prepare``).
    folder : Path

    Raises
    ------
    NotNeutralError
        If it has other operators, relays, windows, delays, resets, or several inputs or outputs.
    """
    arrays: Arrays = {}
    if len(network.inputs) != 1 or len(network.readouts) != 1:
        raise NotNeutralError("several inputs or outputs")
    nodes = [_node(network, i, arrays) for i in range(len(network.nodes))]
    (folder / "network.json").write_text(json.dumps({"nodes": nodes}, indent=1), "utf-8")
    np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]


def _node(network: Network, position: int, arrays: Arrays) -> dict[str, Any]:
    node = network.nodes[position]
    written: dict[str, Any] = {"name": node.name, "shape": list(node.shape)}
    if isinstance(node, Relay):
        raise NotNeutralError(f"relay {node.name!r}")
    if isinstance(node, Input):
        return written | {"kind": "input", "incoming": []}
    if isinstance(node, Population):
        _check_neurons(node)
    written["kind"] = "neurons" if isinstance(node, Population) else "output"
    bias = node.bias * node.scale if isinstance(node, Readout) else node.bias
    written["bias"] = _stored(arrays, f"{position}.bias", bias)
    written["incoming"] = [
        {
            "source": connection.source,
            "operators": _operators(connection.operators, f"{position}.{i}", arrays),
        }
        for i, connection in enumerate(network.incoming(node.name))
    ]
    if isinstance(node, Readout) and np.any(node.scale != 1):
        raise NotNeutralError(f"output {node.name!r} has a scale")
    if any(connection.delay for connection in network.incoming(node.name)):
        raise NotNeutralError(f"delays into {node.name!r}")
    return written


def _check_neurons(node: Population) -> None:
    plain = node.neuron == "if" and node.reset == "subtract"
    unit = bool(np.all(node.threshold == 1) and np.all(node.amplitude == 1))
    open_ = (node.start, node.stop, node.bias_start, node.bias_stop) == (0, None, 0, None)
    half = bool(np.allclose(node.v_init, STARTS_AT, atol=1e-3))
    named = {"neuron": plain, "thresholds": unit, "windows": open_, "v_init": half}
    for what, true in named.items():
        if not true:
            raise NotNeutralError(f"{what} of {node.name!r}")


def _stored(arrays: Arrays, name: str, array: npt.ArrayLike) -> str:
    arrays[name] = np.asarray(array, np.float32)
    return name


def _operators(chain: Chain, name: str, arrays: Arrays) -> list[dict[str, Any]]:
    return [_operator(op, f"{name}.{i}", arrays) for i, op in enumerate(chain)]


def _operator(op: LinearOperator, name: str, arrays: Arrays) -> dict[str, Any]:
    if isinstance(op, Convolution) and len(op.strides) == 2 and set(op.dilations) == {1}:
        return {
            "kind": "conv2d",
            "weight": _stored(arrays, name, op.weight),
            "stride": list(op.strides),
            "padding": _even_padding(op),
            "groups": op.groups,
        }
    if isinstance(op, Dense) and op.axis % len(op.input_shape) == len(op.input_shape) - 1:
        return {"kind": "linear", "weight": _stored(arrays, name, op.weight)}
    if isinstance(op, Scale):
        return {"kind": "scale", "factor": _stored(arrays, name, op.factor)}
    if isinstance(op, Reshape):
        return {"kind": "reshape", "shape": list(op.shape)}
    if isinstance(op, SumPool) and _plain(op):
        return {
            "kind": "sum_pool2d",
            "size": list(op.window.size),
            "stride": list(op.window.strides),
        }
    if isinstance(op, Select):
        axes = [
            None if index is None else _slice(np.asarray(index), extent)
            for index, extent in zip(op.indices, op.input_shape, strict=True)
        ]
        return {"kind": "slice_pad", "axes": axes}
    raise NotNeutralError(f"operator {type(op).__name__} of shape {op.input_shape}")


def _plain(op: SumPool) -> bool:
    window = op.window
    padded = any(side for pair in window.pads for side in pair)
    return len(window.size) == 2 and not padded and set(window.dilations) == {1}


def _even_padding(op: Convolution) -> list[int]:
    """Return one padding an axis: where a stride never reaches the end, its padding is free."""
    begins = [begin for begin, _ in op.pads]
    reached = _extents(op.input_shape[1:], op, begins)
    if reached != op.output_shape[1:]:
        raise NotNeutralError(f"convolution with pads {op.pads}")
    return begins


def _extents(spatial: Shape, op: Convolution, pads: list[int]) -> Shape:
    return tuple(
        (extent + 2 * pad - size) // stride + 1
        for extent, pad, size, stride in zip(
            spatial, pads, op.weight.shape[2:], op.strides, strict=True
        )
    )


def _slice(index: IntArray, extent: int) -> dict[str, int]:
    """Return a regular index as a slice between zeros."""
    used = np.flatnonzero(index >= 0)
    taken = index[used]
    steps = set(np.diff(taken).tolist()) or {1}
    step = steps.pop()
    if steps or step < 1 or np.any(np.diff(used) != 1):
        raise NotNeutralError(f"selection {index.tolist()}")
    stop = min(int(taken[-1]) + step, extent)
    assert len(range(int(taken[0]), stop, step)) == len(taken)
    after = len(index) - 1 - int(used[-1])
    return {
        "start": int(taken[0]),
        "stop": stop,
        "step": step,
        "before": int(used[0]),
        "after": after,
    }


def write_matrices(network: Network, folder: Path) -> None:
    """Write every connection as a list of synapses, for simulators that know nothing else.

    ``matrix-NODE-i.npz`` holds source and target indices and the weight of each synapse into NODE
    from its connection `i`; slashes of a name become bars.
    """
    for node in network.nodes:
        for i, connection in enumerate(network.incoming(node.name)):
            matrix = _matrix(connection.operators, network[connection.source].shape)
            np.savez(
                folder / f"matrix-{node.name.replace('/', '|')}-{i}.npz",
                source=matrix.col.astype(np.int32),
                target=matrix.row.astype(np.int32),
                weight=matrix.data.astype(np.float32),
            )


def _matrix(chain: Chain, shape: Shape) -> sp.coo_array:
    matrix = sp.eye_array(math.prod(shape), format="csr")
    for operator in chain:
        matrix = operator.to_sparse() @ matrix
    found = sp.csr_array(matrix)
    found.eliminate_zeros()
    return sp.coo_array(found)
