import numpy as np
import onnx_models
import pytest
from onnx import helper
from onnx_models import int64, make_model


@pytest.mark.parametrize(
    ("attributes", "opset"),
    [({}, 7), ({}, 13), ({"start": 1}, 15), ({"start": -1}, 15), ({"start": 1, "end": -1}, 21)],
)
def test_a_dimension_as_a_weight(
    attributes: dict[str, int], opset: int, rng: np.random.Generator
) -> None:
    """The last extent that Shape gives divides the input."""
    nodes = [
        onnx_models.make_node("Shape", ["x"], ["s"], **attributes),
        helper.make_node("Gather", ["s", "last"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=1),
        helper.make_node("Div", ["x", "f"], ["y"], name="node"),
    ]
    last = 2 - attributes.get("start", 0) if attributes.get("start", 0) >= 0 else 0
    last -= 1 if "end" in attributes else 0
    model = make_model(nodes, {"x": ["N", 3, 4]}, constants={"last": np.int64(last)}, opset=opset)
    imported = onnx_models.assert_agrees(model, rng)
    expected = 1 / 3 if "end" in attributes else 1 / 4
    assert float(imported.graph["node"].op.operators[0].factor) == pytest.approx(expected)
    assert imported.batch_fixed is None


def test_the_number_of_elements_depends_on_the_batch(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Size", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=1),
        helper.make_node("Div", ["x", "f"], ["y"], name="node"),
    ]
    imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 4]}), rng)
    assert imported.batch_fixed == 1
    assert imported.graph.notes == (
        "the file leaves the batch free, but node 'node' takes one sample at a time",
    )


def test_zeros_of_the_input_shape(rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"]),
        helper.make_node("Concat", ["zeros", "x"], ["y"], axis=1),
    ]
    imported = onnx_models.assert_agrees(make_model(nodes, {"x": ["N", 2, 3]}), rng)
    assert imported.batch_fixed is None


def test_the_shape_of_an_unsupported_value_is_not_reported() -> None:
    nodes = [
        helper.make_node("LpNormalization", ["x"], ["t"], name="norm"),
        helper.make_node("Shape", ["t"], ["s"]),
        helper.make_node("Equal", ["s", "one"], ["e"]),
        helper.make_node("Where", ["e", "one", "s"], ["w"]),
        helper.make_node("Reshape", ["t", "w"], ["y"]),
    ]
    model = make_model(nodes, {"x": ["N", 2, 3]}, constants={"one": int64(1)})
    problems = onnx_models.check_onnx(model).problems
    assert [problem.node for problem in problems] == ["norm"]
