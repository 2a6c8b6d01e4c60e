import numpy as np
import onnx_models
import pytest
from onnx_models import float32, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 5)), (2, (4, 7)), (-1, (1, 2))])
def test_elements(opset: int, axis: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    limit = 5 if axis in (2, -1) else 4
    positions = np.repeat(rng.integers(-limit, limit, (1, *shape)), 3, axis=0)
    model = one_node("GatherElements", (4, 5), positions, axis=axis, fixed_batch=3, opset=opset)
    onnx_models.assert_agrees(model, rng)


def test_slices(rng: np.random.Generator) -> None:
    """With the sample's own number among the positions, and with the batch set apart."""
    samples = np.repeat(np.arange(3)[:, None], 2, axis=1)
    positions = np.stack([samples, np.tile([1, -1], (3, 1))], axis=-1)
    onnx_models.assert_agrees(one_node("GatherND", (4, 5), positions, fixed_batch=3), rng)
    positions = np.tile([[1, 2], [3, -1]], (3, 1, 1))
    model = one_node("GatherND", (4, 5), positions, batch_dims=1, fixed_batch=3)
    onnx_models.assert_agrees(model, rng)
    model = one_node("GatherND", (4, 5), np.array([[[0, 1, 2], [0, 3, 4]]]), fixed_batch=1)
    onnx_models.assert_agrees(model, rng)


def test_samples_that_are_not_alike(rng: np.random.Generator) -> None:
    positions = np.array([[[0, 1]], [[1, 0]]])
    model = one_node("GatherElements", (1, 2), positions, axis=2, fixed_batch=2)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "GatherElements moves values between samples, or differs among them" in text
    model = one_node("GatherND", (4,), np.array([[1]]), fixed_batch=2)
    text = onnx_models.only_problem(model, "batch-axis")
    assert "GatherND takes values of some samples only" in text


@pytest.mark.parametrize("operator", ["GatherElements", "GatherND"])
def test_a_lookup(operator: str, rng: np.random.Generator) -> None:
    model = one_node(operator, float32(rng, 10, 4), (3,))
    model.graph.input[0].type.tensor_type.elem_type = 7
    text = onnx_models.only_problem(model, "unsupported-operator")
    assert f"{operator} from a constant at positions that the input gives" in text


@pytest.mark.parametrize(
    ("operator", "positions", "message"),
    [
        ("GatherElements", np.full((2, 1, 1), 4), "a position of GatherElements is outside"),
        ("GatherElements", np.zeros((2, 9, 1), int), "positions of shape [N, 9, 1] do not fit"),
        ("GatherElements", np.zeros((2, 1), int), "positions of shape [N, 1] do not fit"),
        ("GatherElements", np.zeros((2, 1, 1)), "positions of GatherElements are no integers"),
        ("GatherND", np.full((2, 1), 9), "a position of GatherND is outside of its axis"),
        ("GatherND", np.zeros((2, 4), int), "positions of shape [N, 4] do not fit a value of 3"),
    ],
)
def test_positions_that_do_not_fit(operator: str, positions: np.ndarray, message: str) -> None:
    attributes = {"axis": 2} if operator == "GatherElements" else {}
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node(operator, (3, 4), positions, fixed_batch=2, **attributes))
    assert message.replace("[N", "[2") in caught.value.message
