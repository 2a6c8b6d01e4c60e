import numpy as np
import onnx_models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import int64, one_node

from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.onnx_import import import_onnx

PADS = (0, 0, 1, 2, 0, 1, 0, 3)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("opset", [7, 10])
def test_attributes(mode: str, opset: int, rng: np.random.Generator) -> None:
    model = one_node("Pad", (2, 4, 5), opset=opset, mode=mode, pads=PADS, value=0.5)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("opset", [11, 13, 18, 19, 23, onnx_models.RUNTIME_OPSET])
def test_inputs(mode: str, opset: int, rng: np.random.Generator) -> None:
    opset = max(opset, 19) if mode == "wrap" else opset
    model = one_node("Pad", (2, 4, 5), int64(*PADS), opset=opset, mode=mode)
    onnx_models.assert_agrees(model, rng)


@pytest.mark.parametrize("filling", [None, 0.0, -1.5])
def test_constants(filling: float | None, rng: np.random.Generator) -> None:
    constant = None if filling is None else np.array(filling, np.float32)
    imported = onnx_models.assert_agrees(one_node("Pad", (2, 4, 5), int64(*PADS), constant), rng)
    assert (imported.graph["node"].op.bias is None) == (not filling)


def test_named_axes(rng: np.random.Generator) -> None:
    model = one_node("Pad", (2, 4, 5), int64(1, 2, 0, 1), None, int64(-1, 2), opset=18)
    onnx_models.assert_agrees(model, rng)


@settings(max_examples=60)
@given(
    st.lists(st.integers(-2, 2), min_size=4, max_size=4),
    st.sampled_from(["constant", "reflect", "edge"]),
    st.integers(0, 2**31),
)
def test_cropping(pads: list[int], mode: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = int64(0, *pads[:2], 0, *pads[2:])
    constant = np.array(0.5, np.float32) if mode == "constant" else None
    onnx_models.assert_agrees(one_node("Pad", (7, 8), numbers, constant, mode=mode), rng)


def test_nothing_to_do(rng: np.random.Generator) -> None:
    model = one_node("Pad", (2, 3), int64(*[0] * 6))
    imported = onnx_models.assert_agrees(model, rng)
    assert [node.tensor for node in imported.graph.nodes] == ["x0", "y"]


def test_samples_added_to_the_batch() -> None:
    text = onnx_models.only_problem(one_node("Pad", (2,), int64(1, 0, 0, 0)), "batch-axis")
    assert "Pad adds samples to the batch" in text


@pytest.mark.parametrize(
    ("pads", "attributes", "message"),
    [
        ((0, 0, 0), {}, "pads [0, 0, 0] do not fit 2 axes"),
        ((0, -2, 0, -1), {}, "pads -2 and -1 leave nothing of 3 values"),
        ((0, 3, 0, 0), {"mode": "reflect"}, "Pad cannot reflect 3 of 3 values"),
        ((0, 1, 0, 0), {"mode": "mirror"}, "Pad has no mode 'mirror'"),
        ((0, 2**62, 0, 0), {}, "elements a sample, the limit is 67,108,864"),
    ],
)
def test_numbers_that_do_not_fit(
    pads: tuple[int, ...], attributes: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        import_onnx(one_node("Pad", (3,), int64(*pads), **attributes))
    assert message in caught.value.message


def test_an_axis_named_twice() -> None:
    model = one_node("Pad", (3,), int64(1, 1, 0, 0), None, int64(1, -1), opset=18)
    with pytest.raises(ModelFileError, match=r"an axis is named twice in \[1, -1\]"):
        import_onnx(model)


def test_several_constants() -> None:
    with pytest.raises(ModelFileError, match="Pad with more than one constant"):
        import_onnx(one_node("Pad", (3,), int64(0, 1, 0, 0), np.ones(2, np.float32)))
