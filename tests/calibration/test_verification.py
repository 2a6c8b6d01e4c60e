"""A misread file is refused: quantised layers are compared one by one."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_models import make_model, make_node
from quantised_models import small_network, with_quantisers

from snnconvert.calibration.curves import fit_curves, with_ramps
from snnconvert.calibration.data import SampleSource, open_samples
from snnconvert.calibration.verification import (
    IMPORT_TOLERANCE,
    measure_rounding,
    verify_import,
)
from snnconvert.convert.approximation import Approximation
from snnconvert.convert.curves.fit_ramps import RampBudget
from snnconvert.convert.curves.functions import X, call
from snnconvert.convert.errors import CalibrationError, SnnConvertError
from snnconvert.convert.graph import Affine, Curve, Graph, MaxPool, Node, Relu
from snnconvert.convert.linear import Convolution, weights_of, with_weights
from snnconvert.convert.lower import exact_graph, lower
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.convert.quantiser import Quantise


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    rows = rng.random((50, 1, 8, 8), np.float32)
    quantised: onnx.ModelProto = with_quantisers(small_network(rng), 4, rows)
    return quantised


@pytest.fixture
def source(rng: np.random.Generator) -> SampleSource:
    return open_samples(rng.random((8, 1, 8, 8), np.float32), {"x": (1, 8, 8)})


def graph_of(model: onnx.ModelProto) -> Graph:
    graph = import_onnx(model).graph
    assert graph is not None
    return graph


def verify(graph: Graph, model: onnx.ModelProto, source: SampleSource) -> float:
    return verify_import(graph, lower(graph), model.SerializeToString(), source)


def changed(graph: Graph, kind: type, change: Any) -> Graph:
    """Return the graph with the first operation of a kind changed."""
    first = next(node for node in graph.nodes if isinstance(node.op, kind))
    nodes = [replace(n, op=change(n.op)) if n is first else n for n in graph.nodes]
    return graph.with_nodes(nodes)


def test_near_halves_do_not_matter(model: onnx.ModelProto, source: SampleSource) -> None:
    graph = graph_of(model)
    assert verify(graph, model, source) < 1e-6
    assert verify(exact_graph(graph), model, source) < 1e-6


def wrong_weight(op: Affine) -> Affine:
    (convolution,) = op.operators
    assert isinstance(convolution, Convolution)
    weights = weights_of(convolution)
    assert weights is not None
    return replace(op, operators=(with_weights(convolution, weights * 1.01),))


WRONG = {
    "a scale": (Quantise, lambda op: replace(op, scale=op.scale * 1.05)),
    "a zero point": (Quantise, lambda op: replace(op, zero_point=op.zero_point + 1)),
    "the levels": (Quantise, lambda op: replace(op, high=op.high - 1)),
    "a weight": (Affine, wrong_weight),
    "a window": (
        MaxPool,
        lambda op: replace(op, window=replace(op.window, pads=((1, -1), (0, 0)))),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_misread_is_refused(
    what: str, model: onnx.ModelProto, source: SampleSource
) -> None:
    kind, change = WRONG[what]
    with pytest.raises(SnnConvertError) as caught:
        verify(changed(graph_of(model), kind, change), model, source)
    assert "the imported graph differs from onnxruntime by" in str(caught.value)


def two_outputs(second: str, constant: float) -> onnx.ModelProto:
    nodes = [
        make_node("Relu", ["x"], ["y"], name="relu"),
        make_node(second, ["x", "c"], ["z"], name="second"),
    ]
    model: onnx.ModelProto = make_model(
        nodes,
        {"x": ["N", 1, 8, 8]},
        ["y", "z"],
        constants={"c": np.array(constant, np.float32)},
    )
    return model


def test_a_second_output_that_overflows(rng: np.random.Generator) -> None:
    model = two_outputs("Mul", 1e38)
    source = open_samples(rng.uniform(10, 20, (4, 1, 8, 8)), {"x": (1, 8, 8)})
    with pytest.raises(CalibrationError) as caught:
        verify(graph_of(model), model, source)
    assert caught.value.message == (
        "output 'z' of the network is not finite on the calibration rows"
    )
    assert caught.value.hint == "check the preprocessing (--scale, --mean, --std)"


def test_a_second_output_that_we_alone_find_undefined(source: SampleSource) -> None:
    model = two_outputs("Mul", 2.0)
    graph = graph_of(model)
    nodes = [
        replace(n, op=Curve(call("log", -1 - X))) if n.name == "second" else n for n in graph.nodes
    ]
    with pytest.raises(SnnConvertError, match="differs from onnxruntime by nan of the largest"):
        verify_import(graph.with_nodes(nodes), lower(graph), model.SerializeToString(), source)


def test_an_undefined_value_in_front_of_a_quantiser(
    model: onnx.ModelProto, source: SampleSource
) -> None:
    graph = graph_of(model)
    target = next(n for n in graph.nodes if isinstance(n.op, Quantise) and n.inputs[0] != "x")
    nodes = []
    for node in graph.nodes:
        if node is target:
            undefined = Node("undefined", Curve(call("log", -1 - X * X)), node.inputs, node.shape)
            nodes.append(undefined)
            node = replace(node, inputs=("undefined",))
        nodes.append(node)
    with pytest.raises(SnnConvertError, match="differs from onnxruntime by nan of the largest"):
        verify_import(graph.with_nodes(nodes), lower(graph), model.SerializeToString(), source)


def test_the_rounding_left_out_is_measured(model: onnx.ModelProto, source: SampleSource) -> None:
    graph = graph_of(model)
    first = next(node for node in graph.nodes if isinstance(node.op, Quantise))
    curve = Approximation("other", "curve", "")
    found, kept = measure_rounding(
        graph, (Approximation(first.name, "quantiser", "left out"), curve), source
    )
    assert isinstance(first.op, Quantise)
    assert found.rms_error is not None and found.max_error is not None
    assert 0 < found.rms_error < found.max_error
    assert kept is curve
    assert IMPORT_TOLERANCE == 1e-3


def test_a_float_network_is_compared_lowered(
    rng: np.random.Generator, source: SampleSource
) -> None:
    model = small_network(rng)
    graph = graph_of(model)
    assert verify(graph, model, source) < 1e-6
    lowered = changed(lower(graph), Affine, wrong_weight)
    with pytest.raises(SnnConvertError):
        verify_import(graph, lowered, model.SerializeToString(), source)


def curved_and_pooled() -> onnx.ModelProto:
    """A fitted curve, and behind it max-pooling, which is lowered exactly."""
    nodes = [
        make_node("Tanh", ["x"], ["t"], name="curve"),
        make_node("MaxPool", ["t"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Mul", ["p", "c"], ["y"], name="end"),
    ]
    constants = {"c": np.array(3.0, np.float32)}
    made: onnx.ModelProto = make_model(nodes, {"x": ["N", 1, 8, 8]}, constants=constants)
    return made


def first_rectifier_bounded(lowered: Graph) -> Graph:
    """Return a lowered graph with a rectifier that was to have no bound cut off at 0.01."""
    nodes = list(lowered.nodes)
    for i, node in enumerate(nodes):
        if isinstance(node.op, Relu) and node.op.ceiling is None:
            nodes[i] = replace(node, op=replace(node.op, ceiling=0.01))
            break
    return lowered.with_nodes(nodes)


def test_what_is_exact_beside_a_fitted_curve_is_compared(source: SampleSource) -> None:
    made = curved_and_pooled()
    content = made.SerializeToString()
    exact = exact_graph(graph_of(made))
    fitted = with_ramps(exact, fit_curves(exact, content, source, RampBudget(error=0.1)))
    lowered = lower(fitted)
    assert len(lowered.approximations) == 1
    assert verify_import(exact, lowered, content, source, fitted) < 1e-6
    for wrong in (changed(lowered, Affine, wrong_bias), first_rectifier_bounded(lowered)):
        with pytest.raises(SnnConvertError) as caught:
            verify_import(exact, wrong, content, source, fitted)
        assert "the lowered graph differs from the imported one by" in str(caught.value)
        assert caught.value.hint == "please report the model; nothing was converted"


def wrong_bias(op: Affine) -> Affine:
    return replace(op, bias=np.asarray(1.0 if op.bias is None else op.bias + 1.0).reshape(1, 1, 1))


def test_what_is_exact_between_quantisers_is_compared(
    model: onnx.ModelProto, source: SampleSource
) -> None:
    graph = graph_of(model)
    lowered = changed(lower(graph), Affine, wrong_weight)
    assert lowered.approximations or any(isinstance(n.op, Quantise) for n in graph.nodes)
    with pytest.raises(SnnConvertError, match="the lowered graph differs"):
        verify_import(graph, lowered, model.SerializeToString(), source)
