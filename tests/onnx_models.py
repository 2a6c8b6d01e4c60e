"""Small ONNX models for tests, and the comparison of their Graph with onnxruntime."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import NodeProto, helper

from snnconvert.convert.graph import Graph
from snnconvert.convert.onnx_import import Imported, check_onnx, import_onnx

RUNTIME_OPSET = 26
"""The newest that onnxruntime 1.31 runs; onnx 1.23 knows 27 and 28."""

Array = npt.NDArray[Any]
FREE = "N"


def make_model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[Any] | None],
    outputs: Sequence[str] = ("y",),
    *,
    constants: Mapping[str, Array] | None = None,
    opset: int = 17,
    dtypes: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """Build a model; input shapes are with batch, outputs are left for onnxruntime to infer."""
    infos = [
        helper.make_tensor_value_info(name, (dtypes or {}).get(name, onnx.TensorProto.FLOAT), shape)
        for name, shape in inputs.items()
    ]
    initialisers = [
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in (constants or {}).items()
    ]
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(list(nodes), "graph", infos, ends, initialisers)
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(name, version) for name, version in (domains or {}).items()]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    model.ir_version = 8 if opset < 20 else 10
    return model


def make_node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    """Build a node; unlike onnx's own helper it takes any attributes as far as types go."""
    return helper.make_node(operator, inputs, outputs, **attributes)


def one_node(
    operator: str,
    *operands: Sequence[int] | Array | None,
    opset: int = 17,
    outputs: int = 1,
    fixed_batch: int | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """Build a model of one node named "node".

    An operand is a shape without batch (a network input x0, x1, ...), a constant, or None where an
    optional input is left out. The outputs are y, y1, y2, ...
    """
    inputs: dict[str, Sequence[Any]] = {}
    constants: dict[str, Array] = {}
    names = []
    for position, operand in enumerate(operands):
        name = "" if operand is None else f"x{position}"
        if isinstance(operand, np.ndarray | np.generic):
            constants[name] = np.asarray(operand)
        elif operand is not None:
            inputs[name] = [fixed_batch or FREE, *operand]
        names.append(name)
    ends = ["y", *(f"y{i}" for i in range(1, outputs))]
    node = helper.make_node(operator, names, ends, name="node", **attributes)
    return make_model([node], inputs, ends, constants=constants, opset=opset)


def float32(rng: np.random.Generator, *shape: int) -> Array:
    """Random weights."""
    return rng.standard_normal(shape).astype(np.float32)


def int64(*numbers: int) -> Array:
    """Return a list of integers as ONNX wants them."""
    return np.array(numbers, np.int64)


def run_onnxruntime(content: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """Return the model's outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # Else onnxruntime 1.31 rounds the activations to 8 bits before a MatMul of dequantised weights.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    # As in convert/ann.py; on processors without VNNI sums of products of integers overflow else.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.x64quantprecision", "1")
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception:  # as in convert/ann.py: some of its optimisations fail
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    return [np.asarray(output) for output in session.run(None, dict(feeds))]


def random_feeds(
    imported: Imported, rng: np.random.Generator, batch: int, spread: float = 1.0
) -> dict[str, Array]:
    """Return normal inputs of that spread, whole numbers where the file wants integers."""
    assert imported.graph is not None
    feeds: dict[str, Array] = {}
    for node in imported.graph.inputs:
        values = spread * rng.standard_normal((batch, *node.shape))
        dtype = np.dtype(imported.input_dtypes[node.name])
        feeds[node.name] = (values if dtype.kind == "f" else np.abs(3 * values)).astype(dtype)
    return feeds


def assert_agrees(
    model: Any,
    rng: np.random.Generator,
    *,
    batch: int = 3,
    spread: float = 1.0,
    tolerance: float = 1e-5,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Imported:
    """Compare the Graph with onnxruntime: largest difference over largest magnitude."""
    imported = import_onnx(model, input_shapes=input_shapes)
    graph = imported.graph
    assert graph is not None
    feeds = random_feeds(imported, rng, imported.batch_fixed or batch, spread)
    expected = run_onnxruntime(imported.model_bytes, feeds)
    values = graph.evaluate(feeds, dtype=np.float64)
    for name, output, want in zip(graph.outputs, graph.output_names, expected, strict=True):
        have = values[name]
        assert have.shape == want.shape, f"{output}: {have.shape}, onnxruntime {want.shape}"
        assert have.shape[1:] == graph[name].shape
        error = np.abs(have - want.astype(np.float64)).max(initial=0)
        scale = np.abs(want.astype(np.float64)).max(initial=0)
        assert error <= tolerance * max(scale, 1e-30), f"{output}: relative error {error / scale}"
    for node in graph.nodes:
        assert node.shape == values[node.name].shape[1:] if node.name in values else True
    return imported


def dense_layers(sizes: Sequence[int], seed: int = 3) -> onnx.ModelProto:
    """Return dense layers from x to y with a ReLU behind each but the last, weights random."""
    rng, last = np.random.default_rng(seed), len(sizes) - 2
    weights = {
        f"w{i}": (rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32)
        for i, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    nodes = []
    for i in range(last + 1):
        nodes.append(make_node("MatMul", [f"a{i - 1}" if i else "x", f"w{i}"], [f"z{i}"]))
        nodes.append(make_node("Relu", [f"z{i}"], [f"a{i}"]))
    nodes[-2:] = [make_node("MatMul", [f"a{last - 1}", f"w{last}"], ["y"])]
    return make_model(nodes, {"x": ["N", sizes[0]]}, constants=weights)


def graph_of(model: Any, **arguments: Any) -> Graph:
    """Return the model's Graph."""
    graph = import_onnx(model, **arguments).graph
    assert graph is not None
    return graph


def only_problem(model: onnx.ModelProto, code: str) -> str:
    """Return the text of the one problem that the model has, which must be of that kind."""
    problems = check_onnx(model).problems
    assert [problem.code for problem in problems] == [code], problems
    assert problems[0].node in ("", "node")
    return problems[0].render()
