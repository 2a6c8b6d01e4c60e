import itertools
from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx_models import FREE, int64, make_model, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Affine
from snnconvert.convert.linear import LinearOperator, Scale, Select, SumPool
from snnconvert.convert.onnx_import import import_onnx

SCALES = [(2, 2), (3, 1), (0.5, 0.5), (1.5, 2.5), (0.6, 0.8), (0.3, 1.7)]
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
CUBIC: list[dict[str, Any]] = [{}, {"exclude_outside": 1}, {"cubic_coeff_a": -0.5}]
NOTHING = np.zeros(0, np.float32)


def scaled(*scales: float) -> np.ndarray:
    return np.array([1, 1, *scales], np.float32)


def operators(model: Any) -> list[type[LinearOperator]]:
    op = onnx_models.graph_of(model)["node"].op
    assert isinstance(op, Affine)
    return [type(operator) for operator in op.operators]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [s for s in SCALES if min(s) >= 1])
def test_upsample(mode: str, scales: tuple[float, float], rng: np.random.Generator) -> None:
    onnx_models.assert_agrees(
        one_node("Upsample", (2, 5, 7), scaled(*scales), opset=9, mode=mode), rng
    )
    attribute = [1.0, 1.0, *map(float, scales)]
    model = one_node("Upsample", (2, 5, 7), opset=7, mode=mode, scales=attribute)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", SCALES)
def test_first_meaning(mode: str, scales: tuple[float, float], rng: np.random.Generator) -> None:
    """Opset 10 rounds nearest positions up where it shrinks, down where it grows."""
    onnx_models.assert_agrees(
        one_node("Resize", (2, 5, 7), scaled(*scales), opset=10, mode=mode), rng
    )


@pytest.mark.parametrize("opset", [11, 13, 19])
@pytest.mark.parametrize("coordinates", [*COORDINATES, "tf_half_pixel_for_nn"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest(opset: int, coordinates: str, rounding: str, rng: np.random.Generator) -> None:
    for scales in SCALES:
        model = one_node(
            *("Resize", (2, 5, 7), NOTHING, scaled(*scales)),
            **{"opset": opset, "coordinate_transformation_mode": coordinates},
            nearest_mode=rounding,
        )
        onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", ["half_pixel", "half_pixel_symmetric"])
@pytest.mark.parametrize("extent", [5, 7, 12, 17, 28])
def test_nearest_around_the_middle(
    extent: int, coordinates: str, rounding: str, rng: np.random.Generator
) -> None:
    """Some positions are whole, or half-way, in the precision that onnxruntime adds in alone."""
    for scale in (0.3, 0.6, 0.7, 0.8, 1.3, 1.7, 2.6):
        model = one_node(
            *("Resize", (1, extent), NOTHING, scaled(scale)),
            **{"opset": 19, "coordinate_transformation_mode": coordinates},
            nearest_mode=rounding,
        )
        onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("opset", [11, 18, onnx_models.RUNTIME_OPSET])
@pytest.mark.parametrize("coordinates", [*COORDINATES, "half_pixel_symmetric"])
def test_interpolation(opset: int, coordinates: str, rng: np.random.Generator) -> None:
    kinds = [{"mode": "linear"}, *({"mode": "cubic", **extra} for extra in CUBIC)]
    if opset >= 18:
        kinds += [{**kind, "antialias": 1} for kind in kinds]
    if opset < 19 and coordinates == "half_pixel_symmetric":
        return
    for kind, scales in itertools.product(kinds, SCALES):
        model = one_node(
            *("Resize", (2, 5, 7), NOTHING, scaled(*scales)),
            **{"opset": opset, "coordinate_transformation_mode": coordinates, **kind},
        )
        onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("opset", [11, 19])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_and_resize(opset: int, mode: str, rng: np.random.Generator) -> None:
    """What lies outside of the data has the value for extrapolation, however it is reached."""
    region = np.array([0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2], np.float32)
    for scales in [(2, 2), (0.5, 0.5), (0.6, 1.8)]:
        model = one_node(
            *("Resize", (2, 5, 7), region, scaled(*scales)),
            **{"opset": opset, "coordinate_transformation_mode": "tf_crop_and_resize"},
            **{"mode": mode, "extrapolation_value": 3.0},
        )
        onnx_models.assert_agrees(model, rng)


def test_a_crop_that_keeps_the_size() -> None:
    region = np.array([0, 0, 0.2, 0, 1, 1, 0.9, 1], np.float32)
    mode = "tf_crop_and_resize"
    model = one_node("Resize", (2, 5, 7), region, scaled(1, 2), coordinate_transformation_mode=mode)
    text = onnx_models.only_problem(model, "unsupported-attribute")
    assert "tf_crop_and_resize of axis 2 with a scale of 1" in text
    assert "hint:  crop with Slice, or give another size" in text


@pytest.mark.parametrize("opset", [11, 13, 19])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_sizes(opset: int, mode: str, rng: np.random.Generator) -> None:
    for size in [(10, 7), (3, 4), (11, 20)]:
        nothing = NOTHING if opset < 13 else None
        model = one_node(
            *("Resize", (2, 5, 7), nothing, nothing, int64(3, 2, *size)),
            **{"opset": opset, "mode": mode, "fixed_batch": 3},
        )
        onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_aspect_ratio_and_axes(policy: str, rng: np.random.Generator) -> None:
    for size in [(10, 7), (3, 5), (12, 12)]:
        model = one_node(
            *("Resize", (2, 5, 7), None, None, int64(*size)),
            **{"opset": 18, "axes": [2, 3], "keep_aspect_ratio_policy": policy},
        )
        onnx_models.assert_agrees(model, rng)
    model = one_node(
        "Resize", (2, 5, 7), None, np.array([2], np.float32), opset=18, axes=[-1], mode="linear"
    )
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 4, 5)])
def test_other_ranks(mode: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    scales = scaled(*[2] * (len(shape) - 1))
    model = one_node("Resize", shape, None, scales, opset=13, mode=mode)
    onnx_models.assert_agrees(model, rng)


def test_channels_last(rng: np.random.Generator) -> None:
    """Exporters from TensorFlow resize the first axes of a sample, of which one is no channel."""
    scales = np.array([1, 2, 2, 1], np.float32)
    model = one_node("Resize", (5, 4, 3), None, scales, opset=13, mode="linear")
    onnx_models.assert_agrees(model, rng)


def test_nearest_copies_only(rng: np.random.Generator) -> None:
    assert operators(one_node("Resize", (2, 5, 7), None, scaled(2, 2), opset=13)) == [Select]
    linear = one_node("Resize", (2, 5, 7), None, scaled(2, 2), opset=13, mode="linear")
    assert operators(linear) == [Select, Scale, SumPool]


def test_the_shape_of_another_value(rng: np.random.Generator) -> None:
    """Sizes from shape arithmetic, the batch left free."""
    nodes = [
        onnx_models.make_node("Shape", ["b"], ["s"]),
        onnx_models.make_node("Resize", ["a", "", "", "s"], ["y"], mode="linear"),
    ]
    inputs = {"a": [FREE, 2, 3, 4], "b": [FREE, 2, 6, 9]}
    model = make_model([*nodes, onnx_models.make_node("Add", ["y", "b"], ["z"])], inputs, ["z"])
    assert onnx_models.assert_agrees(model, rng).batch_fixed is None


def test_the_batch() -> None:
    model = one_node("Resize", (3,), None, np.array([2, 1], np.float32), opset=13)
    assert "Resize scales the batch" in onnx_models.only_problem(model, "batch-axis")
    model = one_node("Resize", (3,), None, None, int64(4, 3), opset=13, fixed_batch=2)
    assert "Resize changes the size of the batch" in onnx_models.only_problem(model, "batch-axis")


@pytest.mark.parametrize(
    ("operands", "attributes", "message"),
    [
        ((None, scaled(2)), {}, "scales [1.0, 1.0, 2.0] do not fit 4 axes"),
        ((None, scaled(2, 0)), {}, "scales [1.0, 1.0, 2.0, 0.0] do not fit 4 axes"),
        ((None, scaled(2, -1)), {}, "do not fit 4 axes"),
        ((None, scaled(0.1, 1)), {}, "its output would be empty"),
        ((None, scaled(2**20, 2**20)), {}, "elements a sample, the limit"),
        ((None, None, int64(1, 2, 3)), {}, "sizes [1, 2, 3] do not fit 4 axes"),
        ((None, None), {}, "Resize without scales or sizes"),
        ((None, scaled(2, 2)), {"mode": "area"}, "mode 'area' is none of nearest, linear, cubic"),
        ((None, scaled(2, 2)), {"nearest_mode": "up"}, "nearest_mode 'up' is none of round_"),
        (
            (None, scaled(2, 2)),
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            "tf_crop_and_resize without a region of interest",
        ),
    ],
)
def test_numbers_that_do_not_fit(
    operands: tuple[Any, ...], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Resize", (2, 5, 7), *operands, opset=18, **attributes))
    assert message in caught.value.message


def test_scales_that_depend_on_the_input() -> None:
    model = one_node("Resize", (3,), None, (2,), opset=13)
    assert "why:   shapes must be known" in onnx_models.only_problem(model, "dynamic-weights")


def test_scales_that_are_missing() -> None:
    with pytest.raises(ModelFileError, match="attribute 'scales' is missing"):
        import_onnx(one_node("Upsample", (2, 5, 7), opset=8))
