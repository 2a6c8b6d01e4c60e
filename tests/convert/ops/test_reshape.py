import numpy as np
import onnx_models
import pytest
from onnx import helper
from onnx_models import int64, make_model, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

OPSETS = [7, 13, 14, 21, onnx_models.RUNTIME_OPSET]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    "target", [(-1, 12), (0, 12), (0, 2, -1), (-1, 4, 3), (0, 0, -1), (0, 3, 4), (-1, 3, 2, 2)]
)
def test_targets(opset: int, target: tuple[int, ...], rng: np.random.Generator) -> None:
    model = one_node("Reshape", (3, 4), int64(*target), opset=opset)
    assert onnx_models.assert_agrees(model, rng).batch_fixed is None


def test_zero_is_no_copy(rng: np.random.Generator) -> None:
    model = one_node("Reshape", (3, 4), int64(-1, 12), allowzero=1)
    onnx_models.assert_agrees(model, rng)
    with pytest.raises(ModelFileError, match=r"cannot reshape \[N, 3, 4\] to \[0, 12\]"):
        import_onnx(one_node("Reshape", (3, 4), int64(0, 12), allowzero=1))


@pytest.mark.parametrize("target", [(1, 12), (1, -1)])
def test_one_sample_at_a_time(target: tuple[int, ...], rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(one_node("Reshape", (3, 4), int64(*target)), rng)
    assert imported.batch_fixed == 1
    assert "node 'node' takes one sample at a time" in imported.graph.notes[0]


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch(batch: int, rng: np.random.Generator) -> None:
    model = one_node("Reshape", (3, 4), int64(batch, 12), fixed_batch=batch)
    imported = onnx_models.assert_agrees(model, rng)
    assert imported.batch_fixed == batch and not imported.graph.notes
    values = imported.graph.evaluate({"x0": np.zeros((7, 3, 4))})
    assert values["node"].shape == (7, 12)


@pytest.mark.parametrize("target", [(-1,), (3, -1), (-1, 3), (4, 3, -1)])
def test_the_batch_is_merged(target: tuple[int, ...]) -> None:
    text = onnx_models.only_problem(one_node("Reshape", (3, 4), int64(*target)), "batch-axis")
    assert "Reshape merges the batch with other axes or moves it" in text
    assert "hint:  axis 0 of every value is the batch: keep it in front" in text


def test_shape_arithmetic(rng: np.random.Generator) -> None:
    """The form in which torch writes ``x.view(x.size(0), -1)``."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "axis": int64(0), "rest": int64(-1)}
    model = make_model(nodes, {"x": ["N", 3, 4]}, constants=constants)
    imported = onnx_models.assert_agrees(model, rng)
    assert imported.batch_fixed is None and len(imported.graph.nodes) == 2


def test_a_shape_that_depends_on_the_batch() -> None:
    """Gather picks the batch's extent where a feature count should stand."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "zero", "one"], ["n"]),
        helper.make_node("Slice", ["x", "zero", "n", "one"], ["y"], name="node"),
    ]
    model = make_model(nodes, {"x": ["N", 50]}, constants={"zero": int64(0), "one": int64(1)})
    imported = onnx_models.import_onnx(model)
    assert imported.batch_fixed == 1
    assert imported.graph["node"].shape == (1,)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ((0, 11), "cannot reshape [N, 3, 4] to [N, 11]"),
        ((0, 5, -1), "cannot reshape [N, 3, 4] to [0, 5, -1]"),
        ((-1, -1), "shape [-1, -1] is no shape"),
        ((0, -2), "shape [0, -2] is no shape"),
        ((0, 0, 0, 0), "copies an axis that its input does not have"),
    ],
)
def test_numbers_that_do_not_fit(target: tuple[int, ...], message: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Reshape", (3, 4), int64(*target)))
    assert message in caught.value.message


def test_a_shape_that_depends_on_values() -> None:
    model = one_node("Reshape", (3, 4), ())
    model.graph.input[1].type.tensor_type.elem_type = 7
    text = onnx_models.only_problem(model, "dynamic-weights")
    assert "input 'shape' of Reshape is not constant" in text
    assert "why:   shapes must be known before the network runs" in text


@pytest.mark.parametrize("opset", [7, 9, 11, 13, onnx_models.RUNTIME_OPSET])
def test_flatten(opset: int, rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(one_node("Flatten", (3, 4), opset=opset), rng)
    onnx_models.assert_agrees(one_node("Flatten", (1, 4), opset=opset, axis=2), rng)
    if opset >= 11:
        onnx_models.assert_agrees(one_node("Flatten", (3, 4), opset=opset, axis=-2), rng)


@pytest.mark.parametrize("axis", [2, 3])
def test_flatten_merges_the_batch(axis: int) -> None:
    text = onnx_models.only_problem(one_node("Flatten", (3, 4), axis=axis), "batch-axis")
    assert "Flatten merges the batch" in text


def test_flatten_of_one_sample(rng: np.random.Generator) -> None:
    model = one_node("Flatten", (3, 4), axis=0)
    assert onnx_models.assert_agrees(model, rng).batch_fixed == 1
    model = one_node("Flatten", (3, 4), axis=0, fixed_batch=2)
    assert "Flatten merges the batch" in onnx_models.only_problem(model, "batch-axis")


def test_flatten_out_of_range() -> None:
    with pytest.raises(ModelFileError, match="axis 4 is out of range for a value of 3 axes"):
        import_onnx(one_node("Flatten", (3, 4), axis=4))


@pytest.mark.parametrize("opset", OPSETS)
def test_squeeze_and_unsqueeze(opset: int, rng: np.random.Generator) -> None:
    def assert_both(operator: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
        if opset < 13:
            model = one_node(operator, shape, opset=opset, axes=axes)
        else:
            model = one_node(operator, shape, int64(*axes), opset=opset)
        onnx_models.assert_agrees(model, rng)

    assert_both("Squeeze", (1, 3, 1), (1, 3))
    assert_both("Unsqueeze", (3,), (1, 3))
    if opset >= 11:
        assert_both("Squeeze", (1, 3, 1), (-1,))
        assert_both("Unsqueeze", (3,), (-1, 1))
    onnx_models.assert_agrees(one_node("Squeeze", (1, 3, 1), opset=opset), rng)


def test_squeeze_of_the_batch() -> None:
    model = one_node("Squeeze", (3,), fixed_batch=1)
    assert "Squeeze removes the batch axis" in onnx_models.only_problem(model, "batch-axis")
    model = one_node("Unsqueeze", (3,), int64(0))
    text = onnx_models.only_problem(model, "batch-axis")
    assert "Unsqueeze puts an axis before the batch" in text


def test_axes_that_do_not_fit() -> None:
    with pytest.raises(ModelFileError, match=r"are not all of extent 1"):
        import_onnx(one_node("Squeeze", (3, 4), int64(1)))
    with pytest.raises(ModelFileError, match=r"an axis is named twice in \[1, 1\]"):
        import_onnx(one_node("Unsqueeze", (3, 4), int64(1, 1)))
