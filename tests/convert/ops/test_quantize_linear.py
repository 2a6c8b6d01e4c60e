from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto
from onnx_models import Array, make_model, make_node, only_problem

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.convert.quantiser import Quantise


def pair(
    zero_point: Any,
    scale: Any = 0.1,
    *,
    opset: int = 21,
    shape: tuple[int, ...] = (3, 4, 4),
    between: tuple[onnx.NodeProto, ...] = (),
    domain: str = "",
    **attributes: Any,
) -> onnx.ModelProto:
    """Build x -> QuantizeLinear -> (nodes from q to p) -> DequantizeLinear -> y."""
    inner = "p" if between else "q"
    ends = {"domain": domain} if domain else {}
    nodes = [
        make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="node", **attributes, **ends),
        *between,
        make_node("DequantizeLinear", [inner, "s", "z"], ["y"], name="back", **attributes, **ends),
    ]
    constants = {"s": np.asarray(scale, np.float32), "z": np.asarray(zero_point)}
    domains = {domain: 1} if domain else None
    model: onnx.ModelProto = make_model(
        nodes, {"x": ["N", *shape]}, constants=constants, opset=opset, domains=domains
    )
    return model


@pytest.mark.parametrize(
    ("kind", "opset"),
    [
        *((kind, opset) for kind in ("uint8", "int8") for opset in (10, 13, 19, 21, 23)),
        *((kind, 21) for kind in ("uint16", "int16", "uint4", "int4")),
        *((kind, 25) for kind in ("uint2", "int2")),
    ],
)
def test_types(kind: str, opset: int, rng: np.random.Generator) -> None:
    dtype = np.dtype(getattr(ml_dtypes, kind) if kind[-1] in "24" else kind)
    model = pair(np.array(1, dtype), opset=opset)
    model.ir_version = 13 if opset == 25 else model.ir_version
    onnx_models.assert_agrees(model, rng, spread=5.0)


@pytest.mark.parametrize("zero_point", [0, 7, 255])
def test_halves_go_to_even_and_the_ends_hold(zero_point: int, rng: np.random.Generator) -> None:
    """Multiples of half a step, far beyond the range."""
    model = pair(np.uint8(zero_point), np.float32(0.25), shape=(4097,))
    imported = import_onnx(model)
    x = (np.arange(-2048, 2049, dtype=np.float32) * np.float32(0.125))[None]
    (expected,) = onnx_models.run_onnxruntime(imported.model_bytes, {"x": x})
    graph = onnx_models.graph_of(model)
    np.testing.assert_array_equal(graph.evaluate({"x": x})[graph.outputs[0]], expected)
    assert len(np.unique(expected)) == 256


def test_one_scale_a_channel(rng: np.random.Generator) -> None:
    zero_points = np.array([0, 100, 255], np.uint8)
    scales = np.array([0.05, 0.1, 0.3], np.float32)
    onnx_models.assert_agrees(pair(zero_points, scales, axis=1), rng, spread=5.0)
    model = pair(zero_points, scales, axis=-1, shape=(4, 3))
    onnx_models.assert_agrees(model, rng, spread=5.0)


BETWEEN = {
    "MaxPool": make_node("MaxPool", ["q"], ["p"], kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
    "Reshape": make_node("Reshape", ["q", "to"], ["p"]),
    "Transpose": make_node("Transpose", ["q"], ["p"], perm=[0, 3, 1, 2]),
    "Concat": make_node("Concat", ["q", "q"], ["p"], axis=1),
    "Slice": make_node("Slice", ["q", "from", "until"], ["p"]),
    "Flatten": make_node("Flatten", ["q"], ["p"]),
    "Pad": make_node("Pad", ["q", "pads", "fill"], ["p"]),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_operators_between_the_pair(name: str, rng: np.random.Generator) -> None:
    model = pair(np.uint8(100), between=(BETWEEN[name],))
    constants: dict[str, Array] = {
        "to": np.array([-1, 12, 4], np.int64),
        "from": np.array([0, 1], np.int64),
        "until": np.array([99, 3], np.int64),
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64),
        "fill": np.array(120, np.uint8),
    }
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(constants[key], key)
        for key in BETWEEN[name].input
        if key in constants
    )
    onnx_models.assert_agrees(model, rng, spread=5.0)


def test_another_scale_on_the_way_back(rng: np.random.Generator) -> None:
    model = pair(np.uint8(100))
    model.graph.node[1].input[:] = ["q", "s2", "z2"]
    others: dict[str, Array] = {"s2": np.array(0.3, np.float32), "z2": np.array(7, np.uint8)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in others.items())
    onnx_models.assert_agrees(model, rng, spread=5.0)


def test_integers_are_an_output(rng: np.random.Generator) -> None:
    nodes = [make_node("QuantizeLinear", ["x", "s", "z"], ["y"])]
    constants = {"s": np.float32(0.1), "z": np.int8(-4)}
    onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 5]}, constants=constants), rng)


def test_integers_are_an_input(rng: np.random.Generator) -> None:
    nodes = [make_node("DequantizeLinear", ["x", "s", "z"], ["y"])]
    constants = {"s": np.float32(0.1), "z": np.uint8(9)}
    dtypes = {"x": TensorProto.UINT8}
    model = make_model(nodes, {"x": ["N", 5]}, constants=constants, dtypes=dtypes)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("kind", ["uint8", "int16"])
def test_the_domain_of_microsoft(kind: str, rng: np.random.Generator) -> None:
    model = pair(np.array(3, kind), domain="com.microsoft", opset=17)
    onnx_models.assert_agrees(model, rng, spread=5.0)


WEIGHTS = {
    "int8 per channel": (np.int8, (4,), {"axis": 0}, 13),
    "int8": (np.int8, (), {}, 11),
    "int16": (np.int16, (), {}, 21),
    "int4": (ml_dtypes.int4, (), {}, 21),
    "uint4 in blocks": (ml_dtypes.uint4, (4, 3), {"axis": 1, "block_size": 2}, 21),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_quantised_weights_are_folded(name: str, rng: np.random.Generator) -> None:
    dtype, shape, attributes, opset = WEIGHTS[name]
    low = 0 if "uint" in name else -7
    weights = rng.integers(low, 8, (4, 6)).astype(dtype)
    nodes = [
        make_node("DequantizeLinear", ["w", "s"], ["float"], **attributes),
        make_node("Gemm", ["x", "float"], ["y"], transB=1),
    ]
    constants = {"w": weights, "s": rng.uniform(0.1, 0.2, shape).astype(np.float32)}
    model = make_model(nodes, {"x": ["N", 6]}, constants=constants, opset=opset)
    imported = onnx_models.assert_agrees(model, rng)
    assert imported.graph is not None
    assert len(imported.graph.nodes) == 2


def test_weights_in_the_domain_of_microsoft(rng: np.random.Generator) -> None:
    nodes = [
        make_node("DequantizeLinear", ["w", "s", "z"], ["f"], axis=1, domain="com.microsoft"),
        make_node("Gemm", ["x", "f"], ["y"], transB=1),
    ]
    constants = {
        "w": rng.integers(-999, 999, (4, 6)).astype(np.int16),
        "s": rng.uniform(0.1, 0.2, 6).astype(np.float32),
        "z": np.arange(6, dtype=np.int16),
    }
    model = make_model(nodes, {"x": ["N", 6]}, constants=constants, domains={"com.microsoft": 1})
    onnx_models.assert_agrees(model, rng)


def test_a_dynamic_range_is_left_out_but_evaluated(rng: np.random.Generator) -> None:
    nodes = [
        make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="node"),
        make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="back"),
    ]
    imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 40]}), rng)
    (verdict, _) = imported.verdicts
    assert verdict.fate == "approximated"
    assert verdict.detail == ("its rounding to 256 levels between the batch's extremes is left out")


def test_what_a_quantiser_becomes() -> None:
    graph = onnx_models.graph_of(pair(np.uint8(5)))
    op = graph["node/levels"].op
    assert isinstance(op, Quantise)
    assert (op.low.item(), op.high.item(), op.zero_point.item()) == (-5, 250, 5)
    assert op.tensor == "q"


class TestRefusals:
    def test_levels_that_are_not_even(self) -> None:
        model = pair(np.array(0, ml_dtypes.float8_e4m3fn))
        del model.graph.node[1]
        model.graph.output[0].name = "q"
        text = only_problem(model, "unsupported-attribute")
        assert "quantisation of an activation to float8_e4m3fn" in text
        assert "its levels are not evenly spaced; spikes count even steps" in text
        assert "quantise to one of int2, int4, int8, int16, uint2" in text

    def test_blocks(self) -> None:
        nodes = [make_node("QuantizeLinear", ["x", "s"], ["y"], name="node", axis=1, block_size=2)]
        constants = {"s": np.ones((1, 2), np.float32)}
        model = make_model(nodes, {"x": [1, 4]}, constants=constants, opset=21)
        text = only_problem(model, "unsupported-attribute")
        assert "quantisation of an activation in blocks" in text

    def test_a_scale_that_is_no_constant(self) -> None:
        nodes = [make_node("QuantizeLinear", ["x", "s"], ["y"], name="node")]
        model = make_model(nodes, {"x": ["N", 4], "s": ["N", 1]})
        text = only_problem(model, "dynamic-weights")
        assert "what a spike stands for must be fixed" in text

    @pytest.mark.parametrize(
        ("scale", "zero_point", "message"),
        [
            (0.0, np.uint8(0), "a scale is not positive"),
            (-0.1, np.uint8(0), "a scale is not positive"),
            ([0.1, 0.2], np.uint8(0), "2 scales do not fit a value of shape [3, 4, 4]"),
            (0.1, np.zeros(3, np.uint8), "a zero point of shape [3] does not fit a scale"),
        ],
    )
    def test_invalid_files(self, scale: Any, zero_point: Any, message: str) -> None:
        with pytest.raises(ModelFileError) as caught:
            import_onnx(pair(zero_point, np.asarray(scale, np.float32)))
        assert message in str(caught.value)

    def test_a_scale_of_nan(self) -> None:
        model = pair(np.uint8(0), np.nan)
        del model.graph.node[1]
        model.graph.output[0].name = "q"
        text = only_problem(model, "non-finite-weights")
        assert "initialiser 's' of node 'node' holds NaN" in text

    def test_a_dynamic_quantiser_without_its_scale(self) -> None:
        nodes = [make_node("DynamicQuantizeLinear", ["x"], ["y", "", "z"], name="node")]
        with pytest.raises(ModelFileError):
            import_onnx(make_model(nodes, {"x": ["N", 3]}))
