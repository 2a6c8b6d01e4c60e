"""SpikingModel: saved and loaded, compared with its ANN, normalised."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper
from onnx_models import make_model

import snnconvert
from snnconvert.backends.reference import ReferenceBackend
from snnconvert.convert.artifact import read_artifact, write_artifact
from snnconvert.convert.errors import ArtifactError, OutputError
from snnconvert.convert.judges import judges_of
from snnconvert.convert.spiking_model import SpikingModel, load

Array = npt.NDArray[Any]
WEIGHTS = {
    "k": np.random.default_rng(0).standard_normal((4, 2, 3, 3)) / 3,
    "b": np.full(4, 0.1),
    "w": np.random.default_rng(1).standard_normal((36, 3)) / 6,
}


def convolutional(last: str = "Softmax") -> bytes:
    """Conv, ReLU, MaxPool, Gemm and a function behind."""
    attributes: dict[str, Any] = {} if last == "Sigmoid" else {"axis": 1}
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w"], ["logits"], name="fc"),
        helper.make_node(last, ["logits"], ["y"], name="last", **attributes),
    ]
    constants = {name: array.astype(np.float32) for name, array in WEIGHTS.items()}
    model = make_model(nodes, {"x": ("N", 2, 6, 6)}, constants=constants)
    return bytes(model.SerializeToString())


def images(n: int = 4) -> Array:
    return np.random.default_rng(5).random((n, 2, 6, 6), dtype=np.float32) * 255


def converted(model: bytes, **options: Any) -> SpikingModel:
    settings: dict[str, Any] = {"target": "reference", "timesteps": 8, "scale": 1 / 255}
    return snnconvert.convert_model(model, images(40), **(settings | options))


@pytest.fixture(scope="module")
def snn() -> SpikingModel:
    return converted(convolutional())


def run(model: SpikingModel, timesteps: int = 8) -> dict[str, Array]:
    emitted = ReferenceBackend().emit(model)
    result = emitted.run(images() / 255, timesteps, record=("*",))
    return {**result.outputs, **result.spikes}


def assert_same_run(one: SpikingModel, other: SpikingModel) -> None:
    first, second = run(one), run(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


# Saving and loading


def test_a_loaded_model_simulates_identically(snn: SpikingModel, tmp_path: Path) -> None:
    snn.save(tmp_path / "n.snn")
    assert_same_run(snn, load(tmp_path / "n.snn"))


def test_everything_is_kept(snn: SpikingModel, tmp_path: Path) -> None:
    kept = replace(snn, warnings=("careful",), notes=("a", "b"))
    kept.save(str(tmp_path / "n.snn"))
    loaded = snnconvert.load(tmp_path / "n.snn")
    for field in fields(SpikingModel):
        if field.name not in ("network", "calibration", "provenance"):
            assert getattr(loaded, field.name) == getattr(kept, field.name), field.name
    assert loaded.provenance == kept.provenance
    assert loaded.calibration["config"] == kept.calibration["config"]
    assert loaded.calibration.keys() == kept.calibration.keys()


def test_a_loaded_model_can_be_compared_with_its_ann(snn: SpikingModel, tmp_path: Path) -> None:
    snn.save(tmp_path / "n.snn")
    loaded = load(tmp_path / "n.snn")
    samples = {"x": images() / 255}
    np.testing.assert_array_equal(loaded.ann.run(samples)["y"], snn.ann.run(samples)["y"])
    assert [n.name for n in loaded.graph.nodes] == [n.name for n in snn.graph.nodes]
    before, after = (m.evaluate(images(), timesteps=8) for m in (snn, loaded))
    assert before.accuracy is after.accuracy is None
    assert before.to_json()["accuracy"] == after.to_json()["accuracy"]


def test_saving_again_gives_the_same_network(snn: SpikingModel, tmp_path: Path) -> None:
    snn.save(tmp_path / "1.snn")
    load(tmp_path / "1.snn").save(tmp_path / "2.snn")
    assert_same_run(load(tmp_path / "1.snn"), load(tmp_path / "2.snn"))


def test_a_staged_model_of_integers_is_kept(tmp_path: Path) -> None:
    model = converted(convolutional(), schedule="full", weight_bits=6)
    model.save(tmp_path / "n.snn")
    loaded = load(tmp_path / "n.snn")
    assert (loaded.network.timesteps, loaded.network.weight_bits) == (8, 6)
    assert_same_run(model, loaded)


def test_a_folder_that_is_not_there(snn: SpikingModel, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        snn.save(tmp_path / "missing" / "n.snn")


def stored(snn: SpikingModel, folder: Path) -> dict[str, Any]:
    snn.save(folder / "n.snn")
    return read_artifact(folder / "n.snn")[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"network": None}, "SpikingModel.network cannot be None"),
        ({"network": "n"}, "SpikingModel.network cannot be 'n'"),
        ({"timesteps": "8"}, "SpikingModel.timesteps cannot be '8'"),
        ({"input_shapes": {"x": 3}}, "SpikingModel.input_shapes cannot be {'x': 3}"),
        ({"warnings": (1,)}, "SpikingModel.warnings cannot be (1,)"),
        ({"preprocessing": 3}, "object has no attribute"),
        ({"preprocessing": {"scale": 0.0}}, "scale must not be zero"),
        ({"preprocessing": {"mean": ("a",)}}, "could not convert string"),
        ({"surprise": 1}, "unexpected keyword argument 'surprise'"),
    ],
)
def test_parts_of_another_kind(
    snn: SpikingModel, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    content = stored(snn, tmp_path) | changes
    write_artifact(tmp_path / "n.snn", content, b"")
    with pytest.raises(ArtifactError, match=r"n\.snn lacks a part of a spiking model") as caught:
        load(tmp_path / "n.snn")
    assert why in caught.value.why


@pytest.mark.parametrize("part", ["network", "preprocessing", "timesteps"])
def test_parts_that_are_missing(snn: SpikingModel, tmp_path: Path, part: str) -> None:
    content = stored(snn, tmp_path)
    del content[part]
    write_artifact(tmp_path / "n.snn", content, b"")
    with pytest.raises(ArtifactError, match="lacks a part") as caught:
        load(tmp_path / "n.snn")
    assert part in caught.value.why


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        load(tmp_path / "n.snn")


# The ANN


def test_the_anns_outputs_are_onnxruntimes(snn: SpikingModel) -> None:
    samples = {"x": images() / 255}
    (judge,) = judges_of(snn, samples, {})
    assert (judge.layout.given, judge.layout.class_axis) == ((3,), 0)
    np.testing.assert_allclose(judge.ann.finished.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(judge.ann.finished[0], snn.ann.run(samples)["y"])


@pytest.mark.parametrize("last", ["ArgMax", "Sigmoid"])
def test_decisions_are_read_in_front_of_the_function(last: str) -> None:
    model = converted(convolutional(last))
    samples = {"x": images() / 255}
    (judge,) = judges_of(model, samples, {})
    logits = judge.ann.scores[0]
    assert logits.shape == (4, 3)
    found = model.ann.run(samples)["y"]
    if last == "Sigmoid":
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), found, rtol=1e-5)
    else:
        assert found.ravel().tolist() == logits.argmax(axis=1).tolist()
    assert judge.reading(judge.ann.scores).finished.shape == (1, *found.shape)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_activations_of_every_population(snn: SpikingModel, batch_size: int) -> None:
    samples = {"x": images() / 255}
    found = dict(snn.activations(samples, batch_size=batch_size))
    assert list(found) == [p.name for p in snn.network.populations]
    for p in snn.network.populations:
        assert found[p.name].shape == (4, *p.shape)
        assert (found[p.name] >= 0).all()
    kernel = WEIGHTS["k"].astype(np.float32)
    padded = np.pad(images()[0] / 255, ((0, 0), (1, 1), (1, 1)))
    corner = np.maximum((kernel * padded[:, :3, :3]).sum(axis=(1, 2, 3)) + 0.1, 0)
    np.testing.assert_allclose(found["relu"][0, :, 0, 0], corner, rtol=1e-4, atol=1e-6)


# Normalisation


def test_normalisation_gives_unit_thresholds_and_the_same_spikes(snn: SpikingModel) -> None:
    unit = snn.normalize()
    for p in unit.network.populations:
        np.testing.assert_array_equal(p.threshold, 1)
        np.testing.assert_array_equal(p.amplitude, 1)
    assert_same_run(snn, unit)
    assert snn.network.populations[0].threshold.max() != 1


def test_the_network_tends_to_its_ann(snn: SpikingModel) -> None:
    logits = ReferenceBackend().emit(snn).run(images() / 255, 256).logits[-1]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, snn.ann.run({"x": images() / 255})["y"], atol=0.05)
