"""Weights that are calibrated in a conversion: option, refusals, record and file."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert import convert_model, load
from snnconvert.backends.base import get_backend
from snnconvert.calibration.corrections.passes import LEAST_GAIN
from snnconvert.calibration.readout import logit_error
from snnconvert.convert import choices
from snnconvert.convert.errors import MissingExtraError, ResumeError, UsageError
from snnconvert.convert.fingerprint import fingerprint
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.models import shipped_model_path
from tests.onnx_models import dense_layers

STAGE = "weight calibration"
ROWS = np.random.default_rng(3).standard_normal((400, 6)).astype(np.float32)


def converted(**options: Any) -> SpikingModel:
    settings: dict[str, Any] = {"timesteps": 4, "schedule": "full", "corrections": "none"}
    settings |= {"weight_calibration": True} | options
    return convert_model(dense_layers((6, 16, 16, 3)), settings.pop("rows", ROWS), **settings)


def stopping_at(done: int) -> Callable[[str, int, int | None], None]:
    def progress(stage: str, reached: int, _: int | None) -> None:
        if (stage, reached) == (STAGE, done):
            raise KeyboardInterrupt

    return progress


def test_it_is_never_on_by_itself() -> None:
    snn = converted(weight_calibration=False, corrections="auto")
    assert "weight_calibration" not in snn.calibration


def test_the_record_has_the_errors_with_and_without() -> None:
    calls: list[tuple[str, int, int | None]] = []
    snn = converted(progress=lambda *call: calls.append(call))
    found = snn.calibration["weight_calibration"]
    assert found["accepted"]
    assert 0 < found["error"] < found["error_without"]
    assert list(found["steps"]) == [p.name for p in snn.network.populations]
    assert found["rows"] == 400
    (note,) = (note for note in snn.notes if note.startswith(STAGE))
    assert note.startswith("weight calibration kept: logit error on rows held out 0.")
    told = [(done, total) for stage, done, total in calls if stage == STAGE]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_interrupted_and_gone_on_is_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.resume"
    whole = converted()
    for done in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            converted(resume=path, progress=stopping_at(done))
        assert path.exists()
    resumed = converted(resume=path)
    assert fingerprint(resumed.network) == fingerprint(whole.network)
    assert resumed.calibration == whole.calibration
    again = converted(resume=path)  # all layers are there
    assert fingerprint(again.network) == fingerprint(whole.network)


@pytest.mark.parametrize(
    ("options", "different"),
    [
        ({"timesteps": 5}, "thresholds, options"),
        ({"seed": 1}, "options"),
        ({"corrections": "bias"}, "options"),
        ({"rows": ROWS[:100]}, "calibration rows, thresholds"),
    ],
)
def test_the_file_of_another_conversion_is_refused(
    tmp_path: Path, options: dict[str, Any], different: str
) -> None:
    path = tmp_path / "weights.resume"
    with pytest.raises(KeyboardInterrupt):
        converted(resume=path, progress=stopping_at(1))
    before = path.read_bytes()
    with pytest.raises(ResumeError) as caught:
        converted(resume=path, **options)
    assert str(caught.value).startswith(f"{path} belongs to another conversion")
    assert caught.value.why == f"different: {different}"
    assert path.read_bytes() == before


def test_the_file_of_an_evaluation_is_refused(tmp_path: Path) -> None:
    path, snn = tmp_path / "weights.resume", converted(weight_calibration=False)

    def stop(stage: str, done: int, _: int | None) -> None:
        if (stage, done) == ("evaluation", 64):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snn.evaluate(ROWS, batch_size=32, resume=path, progress=stop)
    with pytest.raises(ResumeError, match="belongs to another conversion"):
        converted(resume=path)


def test_a_reset_to_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="weight calibration needs neurons that reset by"):
        converted(reset="zero")


def test_a_file_without_the_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resume needs weight_calibration"):
        converted(weight_calibration=False, resume=tmp_path / "weights.resume")


def test_without_torch_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        choices, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    with pytest.raises(MissingExtraError, match="weight calibration needs torch"):
        converted()


def test_random_rows_calibrate_no_weights() -> None:
    snn = converted(rows=None)
    assert "weight_calibration" not in snn.calibration
    assert "weight calibration was left out: there are no calibration rows for it" in snn.notes


def test_the_network_is_saved_with_its_weights(tmp_path: Path) -> None:
    snn = converted()
    snn.save(tmp_path / "network.snn")
    again = load(tmp_path / "network.snn")
    assert fingerprint(again.network) == fingerprint(snn.network)
    assert again.calibration["weight_calibration"] == snn.calibration["weight_calibration"]


@pytest.mark.parametrize(("neuron", "timesteps"), [("signed", 2), ("graded:2", 1)])
def test_other_neurons_are_calibrated_too(neuron: str, timesteps: int) -> None:
    found = converted(neuron=neuron, timesteps=timesteps).calibration["weight_calibration"]
    assert any(found["steps"].values())
    assert found["accepted"] == (found["error"] < (1 - LEAST_GAIN) * found["error_without"])


def logit_distance(snn: SpikingModel, rows: np.ndarray) -> float:
    """The squared error of the decoded logits, less the best common gain."""
    (name,) = snn.input_shapes
    x = {name: snn.preprocessing.apply(rows, 0)}
    decoded = get_backend("cpu").emit(snn.network).run(x, snn.timesteps)
    (readout,) = snn.network.readouts
    wanted = snn.graph.evaluate(x, [str(readout.tensor)])[str(readout.tensor)]
    return logit_error(decoded.logits[-1], wanted)


def test_a_shipped_network_comes_closer_to_its_ann() -> None:
    path = shipped_model_path("fashion_resnet")
    assert path is not None
    rows = np.load(path.with_suffix(".eval.npz"))["x"][:100]
    options: dict[str, Any] = {"timesteps": 3, "schedule": "full", "calibration_rows": 64}
    without, tuned = (
        convert_model(path, corrections="none", weight_calibration=wanted, **options)
        for wanted in (False, True)
    )
    assert tuned.calibration["weight_calibration"]["accepted"]
    assert logit_distance(tuned, rows) < logit_distance(without, rows)
