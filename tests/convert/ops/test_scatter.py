import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

POSITIONS = np.repeat([[[0, 2, 1], [1, 3, 0]]], 2, axis=0)
SLICES = np.array([[[0, 1], [0, 3]]])
SINGLE = np.array([[[0, 1, 1], [0, 1, 2], [0, 3, 3]]])


@pytest.mark.parametrize("reduction", ["none", "add"])
@pytest.mark.parametrize("dynamic", ["both", "data", "updates"])
def test_elements(reduction: str, dynamic: str, rng: np.random.Generator) -> None:
    value = np.repeat(float32(rng, 1, 4, 5), 2, axis=0) if dynamic == "updates" else (4, 5)
    updates = np.repeat(float32(rng, 1, 2, 3), 2, axis=0) if dynamic == "data" else (2, 3)
    model = one_node(
        *("ScatterElements", value, POSITIONS, updates),
        **{"opset": 18, "axis": 1, "reduction": reduction, "fixed_batch": 2},
    )
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize(("operator", "opset"), [("Scatter", 9), ("ScatterElements", 11)])
def test_older_meanings(operator: str, opset: int, rng: np.random.Generator) -> None:
    model = one_node(operator, (4, 5), POSITIONS, (2, 3), opset=opset, axis=1, fixed_batch=2)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("reduction", ["none", "add"])
@pytest.mark.parametrize(("positions", "shape"), [(SINGLE, (3,)), (SLICES, (2, 5))])
def test_slices(
    reduction: str, positions: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    for updates in (shape, float32(rng, 1, *shape)):
        model = one_node(
            *("ScatterND", (4, 5), positions, updates),
            **{"opset": 18, "reduction": reduction, "fixed_batch": 1},
        )
        onnx_models.assert_agrees(model, rng)


def test_what_stays_open_or_multiplies() -> None:
    model = one_node("ScatterND", (4, 5), np.array([[[0, 1], [0, 1]]]), (2, 5), fixed_batch=1)
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "ScatterND to the same position twice" in text
    model = one_node("ScatterND", (4, 5), SLICES, (2, 5), fixed_batch=1, opset=16, reduction="mul")
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "ScatterND with reduction 'mul'" in text


def test_the_batch(rng: np.random.Generator) -> None:
    model = one_node("ScatterND", float32(rng, 5, 3), np.array([[0], [1]]), (3,), fixed_batch=2)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "ScatterND into a value without a row for each sample" in text


def test_shapes_that_do_not_fit() -> None:
    for updates in ((3, 5), (2, 4)):
        with pytest.raises(ModelFileError, match="do not fit positions of"):
            import_onnx(one_node("ScatterND", (4, 5), SLICES, updates, fixed_batch=1))
    with pytest.raises(ModelFileError, match="do not fit updates of shape"):
        import_onnx(one_node("ScatterElements", (4, 5), POSITIONS, (2, 2), axis=1, fixed_batch=2))
    with pytest.raises(ModelFileError, match="do not fit a value of shape"):
        import_onnx(one_node("ScatterND", (4,), SINGLE, (3,), fixed_batch=1))
