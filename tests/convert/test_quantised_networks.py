"""Quantised networks as a whole: the integers of every layer, and the answers, as onnxruntime's."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_models import run_onnxruntime
from quantised_models import Array, compare, small_network, with_quantisers

import snnconvert
from snnconvert.backends.base import get_backend, prepare
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.convert.pipeline import convert_model
from snnconvert.models import shipped_model_path

ROWS = 1000


def pixels(rng: np.random.Generator, rows: int) -> Array:
    """Return random images whose pixels are whole numbers of 255 parts."""
    return (rng.integers(0, 256, (rows, 1, 8, 8)) / 255).astype(np.float32)


def shipped(name: str) -> tuple[onnx.ModelProto, Array, Array]:
    """Return a shipped network, 100 calibration rows and the evaluation rows."""
    path = shipped_model_path(name)
    assert path is not None
    rows = [
        np.load(path.with_name(f"{path.stem}.{kind}.npz"))["x"].astype(np.float32)
        for kind in ("calibration", "eval")
    ]
    return onnx.load(path), rows[0][:100], rows[1][:ROWS]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_answers_are_those_of_onnxruntime(bits: int) -> None:
    """1000 rows, by the law of a staged run; off near-halves the integers are equal."""
    model, calibration, rows = shipped("fashion_cnn")
    quantised = with_quantisers(model, bits, calibration, weight_bits=4 if bits == 4 else 8)
    found = compare(quantised, rows)
    assert found.levels == 2**bits - 1
    assert found.argmax >= 0.999
    # Sums close to a half may fall either way: float32 there, inputs of 18 bits here. With 256
    # levels a few fall otherwise, and one such level is followed by others behind it.
    first, *behind = found.differing.values()
    assert first <= (2e-4 if bits == 8 else 1e-5)
    assert max(behind) <= (1e-2 if bits == 8 else 1e-5)
    assert found.largest <= 2


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_residual_adds_and_pooling_trees_are_exact(bits: int, rng: np.random.Generator) -> None:
    """Every quantiser stands behind a Relu: no rounding is left out."""
    rows = pixels(rng, 200)
    found = compare(with_quantisers(small_network(rng), bits, rows[:50]), rows)
    assert len(found.differing) == 3
    assert max(found.differing.values()) <= (1e-3 if bits == 8 else 0)
    assert found.argmax == 1


class Reader:
    """Calibration rows for onnxruntime's quantiser."""

    def __init__(self, rows: Array) -> None:
        self.batches = iter([{"x": rows}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.batches, None)


def by_onnxruntime(
    rng: np.random.Generator, folder: Path, form: str, **options: Any
) -> tuple[onnx.ModelProto, Array]:
    """Return the small network as onnxruntime's own quantiser writes it, and rows."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    rows = pixels(rng, 200)
    before, after = folder / "float.onnx", folder / "quantised.onnx"
    model = small_network(rng)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(onnx.shape_inference.infer_shapes(model), before)
    if form == "dynamic":
        quantize_dynamic(before, after, **options)
    else:
        quantize_static(
            before, after, Reader(rows[:50]), quant_format=QuantFormat[form],
            weight_type=QuantType.QInt8, **{"activation_type": QuantType.QUInt8} | options,
        )  # fmt: skip
    return onnx.load(after), rows


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_files_of_the_static_quantiser(
    form: str, per_channel: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    model, rows = by_onnxruntime(rng, tmp_path, form, per_channel=per_channel)
    found = compare(model, rows)
    assert found.levels == 255
    first = list(found.differing.values())[:3]  # before the sum whose signed part is not rounded
    assert max(first) <= 1e-3
    assert found.largest <= 2
    assert found.argmax >= 0.98  # 200 rows of noise; logits rounded to 256 levels


def test_files_of_the_static_quantiser_with_signed_activations(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    """Symmetric int8: what is behind a Relu has 128 levels."""
    from onnxruntime.quantization import QuantType

    options = {"activation_type": QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}}
    model, rows = by_onnxruntime(rng, tmp_path, "QDQ", **options)
    found = compare(model, rows)
    assert found.levels == 127
    assert found.argmax >= 0.98


def test_files_of_the_dynamic_quantiser(rng: np.random.Generator, tmp_path: Path) -> None:
    model, rows = by_onnxruntime(rng, tmp_path, "dynamic")
    assert "DynamicQuantizeLinear" in {node.op_type for node in model.graph.node}
    snn = convert_model(model, rows[:50], timesteps=64, schedule="full")
    assert snn.provenance["import_error"] < 1e-5
    assert {a.kind for a in snn.approximations} == {"quantiser"}
    (answers,) = run_onnxruntime(model.SerializeToString(), {"x": rows[:64]})
    values = snn.graph.evaluate({"x": rows[:64]})[snn.graph.outputs[0]]
    assert np.abs(values - answers).max() <= 0.02 * np.abs(answers).max()


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    rng = np.random.default_rng(5)
    quantised: onnx.ModelProto = with_quantisers(small_network(rng), 3, pixels(rng, 50))
    return quantised


class TestConversion:
    def test_timesteps_follow_from_the_levels(self, model: onnx.ModelProto) -> None:
        snn = convert_model(model, schedule="full")
        assert snn.timesteps == 7
        assert snn.network.fine
        assert snn.notes[-1] == (
            "a quantised network: 3 quantisers (8 levels) dictate the thresholds; staged "
            "(schedule full) it is exact, but for halves, which neurons round up and onnxruntime "
            "rounds to even"
        )

    def test_a_range_that_nothing_tells_is_warned_of(self, model: onnx.ModelProto) -> None:
        (warning,) = convert_model(model).warnings
        assert warning == (
            "no calibration data: the quantisers dictate the thresholds, but the range of 'x' is "
            "taken as [0, 1]; give real samples with --calibration"
        )

    def test_spikes_are_the_integers(
        self, model: onnx.ModelProto, rng: np.random.Generator
    ) -> None:
        rows = pixels(rng, 20)
        snn = convert_model(model, rows, schedule="full")
        result = get_backend("cpu").emit(snn).run({"x": rows}, 7)
        executable = prepare(snn.network).network
        law = quantised_forward(executable, rows, 7)
        for population in snn.network.populations:
            np.testing.assert_array_equal(
                result.spike_counts[population.name], law[population.name]
            )
        (answers,) = run_onnxruntime(model.SerializeToString(), {"x": rows})
        np.testing.assert_allclose(result.logits[-1], answers, rtol=1e-4, atol=1e-5)

    def test_other_timesteps_are_coarser_and_said(self, model: onnx.ModelProto) -> None:
        snn = convert_model(model, timesteps=4)
        assert snn.timesteps == 4
        assert snn.notes[-1].endswith("at 4 timesteps none can be exact")

    def test_corrections_leave_a_staged_network_alone(
        self, model: onnx.ModelProto, rng: np.random.Generator
    ) -> None:
        rows = pixels(rng, 20)
        snn = convert_model(model, rows, schedule="full", method="auto")
        plain = convert_model(model, rows, schedule="full", method="max")
        for ours, other in zip(snn.network.populations, plain.network.populations, strict=True):
            np.testing.assert_array_equal(ours.v_init, other.v_init)
            np.testing.assert_array_equal(ours.threshold, other.threshold)

    def test_the_report_counts_ties(self, model: onnx.ModelProto, rng: np.random.Generator) -> None:
        rows = pixels(rng, 20)
        snn = convert_model(model, rows, schedule="full")
        document = snn.evaluate(rows).to_json()
        quantised = document["quantised"]
        assert quantised["levels"] == [8]
        assert quantised["populations"] == quantised["exact_populations"] == 3
        assert quantised["rounding_left_out"] == 0
        assert quantised["rows"] == 20
        assert sum(quantised["ties"].values()) == 0
        assert document["accuracy"][-1]["agreement"] == 1

    def test_a_saved_network_is_the_same(self, model: onnx.ModelProto, tmp_path: Path) -> None:
        snn = convert_model(model)
        snn.save(tmp_path / "q.snn")
        assert snnconvert.load(tmp_path / "q.snn").network.fine


def test_an_input_quantiser_makes_data_needless(rng: np.random.Generator) -> None:
    """Its range bounds the input; its levels are a population."""
    model = with_quantisers(small_network(rng), 8, pixels(rng, 50))
    constants: dict[str, Array] = {
        "x/scale": np.array(1 / 255, np.float32),
        "x/zero": np.zeros((), np.uint8),
    }
    how = list(constants)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    for position, (name, source, target) in enumerate(
        [("QuantizeLinear", "x", "x/levels"), ("DequantizeLinear", "x/levels", "x/real")]
    ):
        node = onnx.helper.make_node(name, [source, *how], [target])
        model.graph.node.insert(position, node)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.input[0] = "x/real"
    snn = convert_model(model)
    assert snn.warnings == ()
    assert snn.timesteps == 255
    assert snn.network.inputs[0].bound == pytest.approx(1.0)
    assert len(snn.network.populations) == 4 + 2  # the tree of a 2 by 2 pooling has two
    found = compare(model, pixels(rng, 100))
    assert found.argmax >= 0.99


def test_the_finest_quantiser_sets_the_timesteps(rng: np.random.Generator) -> None:
    rows = pixels(rng, 50)
    model = with_quantisers(small_network(rng), 3, rows)
    clips = [node for node in model.graph.node if node.op_type == "Clip"]
    top = next(i for i in model.graph.initializer if i.name == clips[0].input[2])
    half = numpy_helper.to_array(top) * np.float32(4 / 7)
    top.CopyFrom(numpy_helper.from_array(half, top.name))
    snn = convert_model(model, rows)
    assert snn.timesteps == 7
    assert "3 quantisers (5, 8 levels)" in snn.notes[-1]
    assert snn.notes[-1].endswith("at 7 timesteps those of 8 levels alone can be exact")
