import numpy as np
import onnx_models
import pytest
from onnx_models import make_model, make_node, one_node

from snnconvert.convert.graph import Curve
from snnconvert.convert.lower import lower

ANYWHERE = {
    "Sigmoid": 6,
    "Tanh": 6,
    "Softplus": 1,
    "Softsign": 1,
    "Erf": 9,
    "Mish": 18,
    "HardSwish": 14,
    "Exp": 6,
    "Reciprocal": 6,
    "Sign": 9,
    "Sin": 7,
    "Cos": 7,
    "Tan": 7,
    "Atan": 7,
    "Sinh": 9,
    "Cosh": 9,
    "Asinh": 9,
}
SOMEWHERE = {"Log": "Exp", "Sqrt": "Abs", "Asin": "Sin", "Acos": "Sin", "Atanh": "Sin"}


@pytest.mark.parametrize("operator", ANYWHERE)
def test_anywhere(operator: str, rng: np.random.Generator) -> None:
    for opset in (max(7, ANYWHERE[operator]), onnx_models.RUNTIME_OPSET):
        imported = onnx_models.assert_agrees(one_node(operator, (3, 4), opset=opset), rng)
        assert imported.graph is not None
        assert isinstance(imported.graph["node"].op, Curve)


@pytest.mark.parametrize("operator", SOMEWHERE)
def test_within_a_domain(operator: str, rng: np.random.Generator) -> None:
    nodes = [
        make_node(SOMEWHERE[operator], ["x"], ["inside"]),
        make_node(operator, ["inside"], ["y"], name="node"),
    ]
    onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3, 4]}), rng, tolerance=1e-4)


def test_above_one(rng: np.random.Generator) -> None:
    nodes = [make_node("Cosh", ["x"], ["c"]), make_node("Acosh", ["c"], ["y"], name="node")]
    onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 3, 4]}), rng, tolerance=1e-3)


def test_a_sigmoid_at_the_end_belongs_to_the_readout() -> None:
    graph = lower(onnx_models.graph_of(one_node("Sigmoid", (3,))))
    assert [[f.kind for f in taken] for taken in graph.output_functions] == [["Sigmoid"]]
    assert not graph.activations and not graph.approximations


def test_an_inner_sigmoid_is_a_curve() -> None:
    nodes = [make_node("Sigmoid", ["x"], ["s"], name="s"), make_node("Neg", ["s"], ["y"], name="n")]
    graph = lower(onnx_models.graph_of(make_model(nodes, {"x": ["N", 3]})))
    (approximation,) = graph.approximations
    assert (approximation.node, approximation.kind) == ("s", "curve")
    ramps = len(graph.activations)
    assert approximation.detail == f"sigmoid(x) by {ramps} ramps"
    assert approximation.rms_error is not None and 0 < approximation.rms_error < 0.01
