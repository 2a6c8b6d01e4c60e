"""The whole path: what must not matter does not, and refusals come before the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from classifiers import classifier
from quantised_models import small_network, with_quantisers

import snnconvert
from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import Network
from snnconvert.convert.spiking_model import SpikingModel


def rows(kind: str, count: int) -> tuple[Any, Any]:
    path = snnconvert.shipped_model_path("fashion_cnn")
    assert path is not None
    with np.load(path.with_name(f"fashion_cnn.{kind}.npz")) as stored:
        y = stored["y"][:count] if "y" in stored else None
        return stored["x"][:count], y


def converted(data: Any, **options: Any) -> SpikingModel:
    path = snnconvert.shipped_model_path("fashion_cnn")
    return snnconvert.convert_model(path, data, timesteps=4, **options)


def numbers(network: Network) -> list[Any]:
    found: list[Any] = [(r.name, r.discard, r.rising) for r in network.readouts]
    for p in network.populations:
        found += [p.name, p.threshold.tolist(), p.amplitude.tolist(), p.v_init.tolist()]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_neither_the_order_of_rows_nor_the_batch_size_changes_the_network(reset: str) -> None:
    x, _ = rows("calibration", 90)
    shuffled = x[np.random.default_rng(0).permutation(len(x))]
    network = converted(x, reset=reset).network
    assert numbers(converted(shuffled, reset=reset, batch_size=7).network) == numbers(network)


@pytest.mark.slow
def test_the_quantised_rung_does_not_depend_on_the_reset() -> None:
    x, _ = rows("calibration", 40)
    tested, labels = rows("eval", 30)
    rungs = [
        {
            rung.name: rung.value
            for rung in converted(x, method="max", reset=reset).evaluate(tested, labels).ladder
        }
        for reset in ("subtract", "zero")
    ]
    assert rungs[0]["quantised_ann"] == rungs[1]["quantised_ann"]
    assert rungs[0]["snn"] == rungs[1]["snn"]
    assert rungs[0]["target"] != rungs[1]["target"]


@pytest.mark.slow
def test_rows_of_another_magnitude_and_silent_layers_are_warned_of() -> None:
    x, _ = rows("calibration", 20)
    tested, labels = rows("eval", 10)
    evaluation = converted(x.astype(np.float32) * 255).evaluate(tested, labels)
    assert any("evaluation rows 255" in warning for warning in evaluation.warnings)
    assert any("no neuron fired in" in warning for warning in evaluation.warnings)


@pytest.mark.slow
def test_a_count_readout_converts_and_counts() -> None:
    x, _ = rows("calibration", 40)
    tested, labels = rows("eval", 30)
    evaluation = converted(x, readout="count").evaluate(tested, labels, timesteps=4)
    assert evaluation.accuracy is not None
    assert evaluation.accuracy > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timesteps": 0}, "timesteps must be at least 1, not 0"),
        ({"timesteps": 5000}, "timesteps must be at most 4096, not 5000"),
        ({"timesteps": "8"}, "timesteps must be a whole number, not '8'"),
        ({"channel_group": 2.5}, "channel_group must be a whole number, not 2.5"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"weight_bits": 1}, "weight bits must be 2 to 16, not 1"),
        ({"readout": "counts"}, "unknown readout 'counts'"),
        ({"reset": "soft"}, "unknown reset 'soft'"),
    ],
)
def test_options_out_of_range_are_refused_before_the_model_is_read(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        snnconvert.convert_model("no such file.onnx", **options)
    assert caught.value.message == message


def notes_of(model: Any, data: Any, **options: Any) -> str:
    snn = snnconvert.convert_model(model, data, timesteps=4, **options)
    return "\n".join((*snn.notes, *snn.warnings))


def test_corrections_that_cannot_be_made_are_named() -> None:
    data = np.random.default_rng(1).normal(size=(32, 6)).astype(np.float32)
    said = notes_of(classifier(), data, reset="zero", corrections="bias,weights")
    assert "corrections not made, they are for reset by subtraction: weights, bias" in said
    said = notes_of(classifier(), None, corrections=("bias", "potentials"))
    assert "corrections not made, they need calibration rows: bias" in said
    for options in ({"reset": "zero"}, {"corrections": "bias"}):
        assert "not made" not in notes_of(classifier(), data, **options)


def test_options_that_act_on_nothing_are_named(rng: np.random.Generator) -> None:
    data = rng.normal(size=(32, 6)).astype(np.float32)
    idle = "no smooth activation is fitted with ramps: --ramps changes nothing"
    assert idle in notes_of(classifier(), data, ramps=4)
    assert "changes nothing" not in notes_of(classifier(), data)
    pixels = rng.random((40, 1, 8, 8)).astype(np.float32)
    quantised = with_quantisers(small_network(rng), 4, pixels)
    said = notes_of(quantised, pixels, method="max", per_channel=False)
    wanted = "quantisers dictate every threshold: without effect are --method max, --per-layer"
    assert wanted in said
    assert "without effect" not in notes_of(quantised, pixels)


def test_an_output_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no output 'z' to score; known: y"):
        snnconvert.convert_model(classifier(), timesteps=4, score_output="z")


@pytest.mark.parametrize("count", [1, 9, 10])
def test_few_calibration_rows_are_warned_of(count: int) -> None:
    x, _ = rows("calibration", count)
    told = [w for w in converted(x, corrections="none").warnings if "calibration row" in w]
    assert told == (
        []
        if count == 10
        else [
            f"{count} calibration row{' tells' if count == 1 else 's tell'} little of others; "
            "a few hundred are better"
        ]
    )
