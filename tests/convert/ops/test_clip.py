import numpy as np
import onnx_models
import pytest
from onnx import TensorProto, helper
from onnx_models import one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Clip
from snnconvert.convert.onnx_import import import_onnx


def bound(number: float) -> np.ndarray:
    return np.array(number, np.float32)


@pytest.mark.parametrize("limits", [{}, {"min": -0.5}, {"max": 0.5}, {"min": 0.0, "max": 1.0}])
@pytest.mark.parametrize("opset", [7, 10])
def test_bounds_as_attributes(
    limits: dict[str, float], opset: int, rng: np.random.Generator
) -> None:
    onnx_models.assert_agrees(one_node("Clip", (40,), opset=opset, **limits), rng)


@pytest.mark.parametrize("low", [None, -0.5, 0.0])
@pytest.mark.parametrize("high", [None, 0.5, -1.0, np.inf])
@pytest.mark.parametrize("opset", [11, 12, 13, onnx_models.RUNTIME_OPSET])
def test_bounds_as_inputs(
    low: float | None, high: float | None, opset: int, rng: np.random.Generator
) -> None:
    limits = [None if limit is None else bound(limit) for limit in (low, high)]
    model = one_node("Clip", (40,), *limits, opset=opset)
    imported = onnx_models.assert_agrees(model, rng)
    assert isinstance(imported.graph["node"].op, Clip)


def test_six() -> None:
    op = onnx_models.graph_of(one_node("Clip", (4,), bound(0), bound(6)))["node"].op
    assert (op.low, op.high) == (0.0, 6.0)


def test_whole_numbers(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    model = onnx_models.make_model(
        nodes,
        {"x": ["N", 40]},
        constants={"low": np.array(1, np.int64), "high": np.array(3, np.int64)},
        dtypes={"x": TensorProto.INT64},
    )
    onnx_models.assert_agrees(model, rng)


def test_bounds_that_are_no_numbers() -> None:
    text = onnx_models.only_problem(
        one_node("Clip", (4,), bound(np.nan), bound(6)), "non-finite-weights"
    )
    assert "error: bound 'min' of node 'node' is NaN  [non-finite-weights]" in text
    with pytest.raises(ModelFileError, match="bound 'max' is no single number"):
        import_onnx(one_node("Clip", (4,), None, np.ones(2, np.float32)))


def test_bounds_that_depend_on_the_input() -> None:
    text = onnx_models.only_problem(one_node("Clip", (4,), ()), "dynamic-weights")
    assert "input 'min' of Clip is not constant" in text
    assert "why:   a neuron's threshold must be known" in text
