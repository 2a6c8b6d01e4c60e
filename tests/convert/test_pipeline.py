"""The whole path: what must not matter does not, and refusals come before the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
    found: list[Any] = [(r.name, r.discard) for r in network.readouts]
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
