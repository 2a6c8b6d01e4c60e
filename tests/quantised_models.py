"""Quantised networks for tests and benchmarks, and their comparison with onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx_models import make_model, make_node, run_onnxruntime

from snnconvert.backends.base import prepare
from snnconvert.calibration.activations import expose_levels
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.calibration.recognition import recognise
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Graph, apply_output_function
from snnconvert.convert.lower import lower
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.convert.quantiser import Quantise

Array = npt.NDArray[Any]

OPSET = 21
"""The first that quantises to four bits."""


def with_quantisers(
    model: ModelProto, bits: int, rows: Array, *, weight_bits: int = 8, reach: float = 99.9
) -> ModelProto:
    """Return a float network with its weights and what its Relus give quantised.

    Two and three bits are a Clip and eight stored ones. The percentile `reach` of a Relu's
    activations on `rows` is the greatest level.
    """
    quantised = ModelProto()
    quantised.CopyFrom(model)
    del quantised.opset_import[:]
    quantised.opset_import.append(helper.make_opsetid("", OPSET))
    quantised.ir_version = 10
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    tops = _percentiles(model, relus, rows, reach)
    initialisers = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes: list[NodeProto] = []
    constants: dict[str, Array] = {}
    renamed: dict[str, str] = {}
    for node in quantised.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in initialisers:
            nodes += _weights(node, initialisers[node.input[1]], weight_bits, constants)
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        nodes.append(node)
        if node.output[0] in tops:
            nodes += _pair(node.output[0], tops[node.output[0]], bits, constants)
            renamed[node.output[0]] = f"{node.output[0]}/real"
    del quantised.graph.node[:]
    quantised.graph.node.extend(nodes)
    quantised.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    return quantised


def _percentiles(
    model: ModelProto, tensors: Iterable[str], rows: Array, reach: float
) -> dict[str, float]:
    exposed = ModelProto()
    exposed.CopyFrom(model)
    names = list(tensors)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {model.graph.input[0].name: rows}
    values = run_onnxruntime(exposed.SerializeToString(), feeds)
    return {
        name: float(np.percentile(value, reach)) for name, value in zip(names, values, strict=True)
    }


def _weights(
    node: NodeProto, weight: Array, bits: int, constants: dict[str, Array]
) -> list[NodeProto]:
    """Store a layer's weights as integers, with a scale for each output channel."""
    name = node.input[1]
    columns = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
    axis = 1 if columns else 0
    others = tuple(a for a in range(weight.ndim) if a != axis)
    most = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(weight).max(axis=others), 1e-6) / most
    shape = [-1 if a == axis else 1 for a in range(weight.ndim)]
    integers = np.clip(np.rint(weight / scale.reshape(shape)), -most, most)
    kind = np.dtype(np.int8 if bits == 8 else ml_dtypes.int4)
    constants[f"{name}/integers"] = integers.astype(kind)
    constants[f"{name}/scale"] = scale.astype(np.float32)
    node.input[1] = f"{name}/real"
    inputs = [f"{name}/integers", f"{name}/scale"]
    return [make_node("DequantizeLinear", inputs, [f"{name}/real"], axis=axis)]


def _pair(tensor: str, top: float, bits: int, constants: dict[str, Array]) -> Iterator[NodeProto]:
    levels = 2**bits - 1
    kind = np.dtype(ml_dtypes.uint4 if bits == 4 else np.uint8)
    constants[f"{tensor}/scale"] = np.array(top / levels, np.float32)
    constants[f"{tensor}/zero"] = np.zeros((), kind)
    source = tensor
    if bits in (2, 3):
        constants[f"{tensor}/top"] = np.array(constants[f"{tensor}/scale"] * levels, np.float32)
        source = f"{tensor}/clipped"
        yield make_node("Clip", [tensor, "", f"{tensor}/top"], [source])
    how = [f"{tensor}/scale", f"{tensor}/zero"]
    yield make_node("QuantizeLinear", [source, *how], [f"{tensor}/levels"])
    yield make_node("DequantizeLinear", [f"{tensor}/levels", *how], [f"{tensor}/real"])


def small_network(rng: np.random.Generator) -> ModelProto:
    """Build conv, relu, max-pool, conv, relu, conv, add, relu, average pool, gemm."""

    def weights(*shape: int) -> Array:
        fan_in = int(np.prod(shape[1:]))
        return np.asarray(rng.standard_normal(shape) * np.sqrt(2 / fan_in), np.float32)

    constants = {
        "w1": weights(8, 1, 3, 3), "b1": weights(8), "w2": weights(8, 8, 3, 3), "b2": weights(8),
        "w3": weights(8, 8, 3, 3), "b3": weights(8), "w4": weights(10, 8), "b4": weights(10),
    }  # fmt: skip
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1] * 4),
        make_node("Relu", ["c1"], ["r1"], name="relu1"),
        make_node("MaxPool", ["r1"], ["p1"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Conv", ["p1", "w2", "b2"], ["c2"], name="conv2", pads=[1] * 4),
        make_node("Relu", ["c2"], ["r2"], name="relu2"),
        make_node("Conv", ["r2", "w3", "b3"], ["c3"], name="conv3", pads=[1] * 4),
        make_node("Add", ["c3", "p1"], ["a3"], name="add"),
        make_node("Relu", ["a3"], ["r3"], name="relu3"),
        make_node("GlobalAveragePool", ["r3"], ["g"], name="gap"),
        make_node("Flatten", ["g"], ["f"], name="flatten"),
        make_node("Gemm", ["f", "w4", "b4"], ["y"], name="linear", transB=1),
    ]
    model: ModelProto = make_model(nodes, {"x": ["N", 1, 8, 8]}, constants=constants)
    return model


@dataclass(frozen=True)
class Agreement:
    """A staged quantised network and onnxruntime on the same rows.

    Attributes
    ----------
    levels : int
        T: levels above zero of the finest quantiser.
    differing : dict of float
        By population: share of neurons and rows with another integer.
    largest : int
        Largest difference of integers.
    argmax : float
        Share of rows with the same answer.
    """

    levels: int
    differing: dict[str, float]
    largest: int
    argmax: float


def compare(model: ModelProto, rows: Array, *, fused: bool = False) -> Agreement:
    """Compare the integers of every layer, and the answers, with onnxruntime's.

    `fused`: with its integer kernels, which round the biases too; else with every node of the file
    computed as it stands there.
    """
    imported = import_onnx(model)
    assert imported.graph is not None
    lowered = lower(imported.graph)
    found = recognise(lowered)
    assert found is not None
    bound = float(np.abs(rows).max())
    network = build_network(lowered, {}, input_bounds={lowered.inputs[0].name: bound})
    timesteps = found.timesteps()
    staged, _ = apply_schedule(replace(network, fine=True), "full", timesteps)
    ours = quantised_forward(prepare(staged).network, rows, timesteps)
    quantisers = _quantisers(imported.graph, {p.name for p in network.populations})
    exposed = expose_levels(imported.model_bytes, quantisers)
    answers, *integers = _run(exposed, {lowered.inputs[0].name: rows}, fused)
    differing, largest = {}, 0
    for (name, op), values in zip(quantisers.items(), integers, strict=True):
        off = np.abs(ours[name] - (values - op.zero_point))
        differing[name] = float((off > 0).mean())
        largest = max(largest, int(off.max()))
    logits = ours[network.readouts[0].name]
    for function in lowered.output_functions[0]:
        logits = apply_output_function(function, logits)
    same = logits.argmax(axis=1) == answers.argmax(axis=1)
    return Agreement(timesteps, differing, largest, float(same.mean()))


def _run(model: bytes, feeds: dict[str, Array], fused: bool) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_quant_qdq", "0" if fused else "1")
    # Else sums of products of integers overflow 16 bits on processors without VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, feeds)]


def _quantisers(graph: Graph, populations: set[str]) -> dict[str, Quantise]:
    return {
        node.name: node.op
        for node in graph.nodes
        if isinstance(node.op, Quantise) and node.name in populations
    }
