"""The calibration stage as a conversion runs it."""

from typing import Any

import numpy as np
import pytest

from snnconvert import convert_model
from snnconvert.calibration.calibrate import correction_rows
from snnconvert.convert.spiking_model import SpikingModel
from tests.onnx_models import dense_layers

ROWS = 64


def converted(**options: Any) -> SpikingModel:
    """Convert three dense layers on normal rows."""
    rows = np.random.default_rng(4).standard_normal((ROWS, 6)).astype(np.float32)
    return convert_model(dense_layers((6, 12, 12, 3)), rows, **options)


def test_auto_keeps_within_the_latency() -> None:
    snn = converted(timesteps=12, schedule="auto")
    tried = snn.calibration["schedule"]["tried"]
    assert snn.network.latency(snn.timesteps) <= 12
    assert f"{snn.schedule}, T = {snn.timesteps}" in tried
    assert len(tried) > 1
    assert any(note.startswith(f"schedule {snn.schedule}: window of") for note in snn.notes)


def test_none_corrects_nothing() -> None:
    snn = converted(timesteps=8, corrections="none")
    assert "corrections" not in snn.calibration
    for population in snn.network.populations:
        np.testing.assert_array_equal(population.v_init, population.threshold / 2)


def test_names_are_tried_with_any_method() -> None:
    snn = converted(timesteps=8, method="percentile", corrections=["bias"])
    assert set(snn.calibration["corrections"]["tried"]) == {"none", "bias"}
    assert "readout_errors" not in snn.calibration


def test_another_method_alone_corrects_nothing() -> None:
    assert "corrections" not in converted(timesteps=8, method="mse").calibration


@pytest.mark.parametrize(
    ("timesteps", "holdoff", "rows"), [(4, 0, 512), (32, 0, 256), (64, 0, 128), (8, 8, 512)]
)
def test_rows_are_fewer_where_steps_are_more(timesteps: int, holdoff: int, rows: int) -> None:
    assert correction_rows(timesteps, holdoff) == rows
