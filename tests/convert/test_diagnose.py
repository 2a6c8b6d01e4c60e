"""Which layers lose most: a layer that was spoilt is named, with its cause."""

from dataclasses import replace

import numpy as np
import pytest
from classifiers import classifier, converted, rows

import snnconvert
from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import Population
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.diagnosis import Mode


def spoilt(snn: SpikingModel, layer: int, times: float) -> SpikingModel:
    """The network with one layer's thresholds multiplied."""
    p = snn.network.populations[layer]
    assert isinstance(p, Population)
    keys = ("threshold", "amplitude", "scale", "v_init")
    changed: Population = replace(p, **{key: getattr(p, key) * times for key in keys})
    network = snn.network.replace_nodes([changed])
    return replace(snn, network=network)


@pytest.fixture(scope="module")
def staged() -> SpikingModel:
    made: SpikingModel = converted(32, schedule="full", corrections="none")
    return made


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    snn = converted(4, corrections="none")
    (scores,) = snn.ann.run({"x": rows(48)}).values()
    return np.asarray(scores.argmax(axis=1))


@pytest.mark.parametrize("mode", ["single", "cumulative"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_spoilt_layer_is_named_first(
    staged: SpikingModel, labels: np.ndarray, layer: int, mode: Mode
) -> None:
    bad = spoilt(staged, layer, 0.25)
    found = bad.diagnose(rows(48), labels, mode=mode)
    worst = found.worst[0]
    assert worst.name == bad.network.populations[layer].name
    assert worst.cause == "clipping"
    assert worst.options == ("--method max, or a higher --percentile",)
    assert worst.lost is not None and worst.lost >= 0
    assert worst.saturated > max(row.saturated for row in found.worst[1:])


def test_a_layer_whose_thresholds_are_far_too_high_is_silent(staged: SpikingModel) -> None:
    worst = spoilt(staged, 1, 100.0).diagnose(rows(48)).worst[0]
    assert (worst.name, worst.cause) == (staged.network.populations[1].name, "silent")
    assert worst.silent == 1
    assert "--method mse" in worst.options[0]


def test_cumulative_losses_add_up_to_the_whole(staged: SpikingModel, labels: np.ndarray) -> None:
    found = staged.diagnose(rows(48), labels, mode="cumulative")
    lost = [layer.lost for layer in found.layers]
    assert found.replaced == found.ann == 1.0
    assert found.spiking is not None and None not in lost
    assert sum(x for x in lost if x is not None) == pytest.approx(found.replaced - found.spiking)
    errors = sum(layer.error_lost for layer in found.layers)
    assert errors == pytest.approx(found.spiking_error - found.replaced_error)
    assert found.replaced_error < 1e-5 < found.spiking_error
    assert found.layers[-1].output_error == found.spiking_error


def test_single_runs_are_compared_with_all_layers_spiking(staged: SpikingModel) -> None:
    found = staged.diagnose(rows(48))
    assert found.metric.name == "agreement" and found.ann == 1.0
    for layer in found.layers:
        assert layer.error_lost == pytest.approx(found.spiking_error - layer.output_error)
        assert layer.lost == pytest.approx((layer.value or 0) - (found.spiking or 0))


def test_figures_of_a_layer_fit_together(staged: SpikingModel) -> None:
    for layer in staged.diagnose(rows(48)).layers:
        assert layer.relative_error is not None and layer.sqnr_db is not None
        assert layer.sqnr_db == pytest.approx(-20 * np.log10(layer.relative_error))
        assert layer.own_error <= sum(layer.causes.values()) + 1e-12
    first = staged.diagnose(rows(48)).layers[0]
    assert first.own_error == pytest.approx(first.relative_error, rel=1e-4)


def test_numbers_are_diagnosed_by_their_error(staged: SpikingModel) -> None:
    (scores,) = staged.ann.run({"x": rows(48)}).values()
    found = staged.diagnose(rows(48), scores, metric="mae")
    assert found.metric.direction == "lower"
    assert found.spiking is not None and found.ann == 0 and found.spiking > 0
    assert found.worst[0].lost == pytest.approx(found.spiking - (found.worst[0].value or 0))


@pytest.mark.parametrize("mode", ["single", "cumulative"])
def test_a_softmax_behind_the_logits_changes_no_error(staged: SpikingModel, mode: Mode) -> None:
    model = classifier(softmax=True)
    snn = snnconvert.convert_model(
        model, rows(80, 2), timesteps=32, schedule="full", corrections="none"
    )
    found, plain = snn.diagnose(rows(48), mode=mode), staged.diagnose(rows(48), mode=mode)
    assert found.replaced_error < 1e-5 < found.spiking_error
    for layer, same in zip(found.layers, plain.layers, strict=True):
        assert layer.output_error == pytest.approx(same.output_error, rel=1e-6)
        assert (layer.cause, layer.value) == (same.cause, same.value)


def test_counted_outputs_are_not_compared_with_logits_below_zero() -> None:
    snn = converted(32, schedule="full", corrections="none", readout="count")
    found = snn.diagnose(rows(48))
    assert found.replaced_error < 1e-5 < found.spiking_error < 0.2


def test_a_staged_network_is_diagnosed_in_its_own_windows_alone(staged: SpikingModel) -> None:
    wanted = "staged for 32 timesteps: a diagnosis of 8 would be that of other windows"
    with pytest.raises(UsageError, match=wanted) as caught:
        staged.diagnose(rows(8), timesteps=8)
    assert "--timesteps 8" in caught.value.hint
    with pytest.raises(UsageError, match=wanted):
        staged.evaluate(rows(8), timesteps=8, diagnose="single")
    assert converted(16).diagnose(rows(8), timesteps=8).timesteps == 8
    with pytest.raises(UsageError, match="timesteps must be at least 1, not 0"):
        staged.diagnose(rows(8), timesteps=0)


def test_few_bits_are_named_with_their_option() -> None:
    found = converted(64, schedule="full", weight_bits=3, corrections="none").diagnose(rows(48))
    assert {layer.cause for layer in found.layers} == {"weight_bits"}
    assert found.layers[1].options[0] == "--weight-bits 5"
    assert found.replaced_error > 1e-3  # the outputs' own weights are integers too


def test_only_the_rows_asked_for_are_used(staged: SpikingModel, labels: np.ndarray) -> None:
    few, same = staged.diagnose(rows(48), labels, rows=8), staged.diagnose(rows(48)[:8], labels[:8])
    assert (few.rows, few.to_json()) == (8, same.to_json())


def test_an_evaluation_holds_its_diagnosis(staged: SpikingModel, labels: np.ndarray) -> None:
    evaluation = staged.evaluate(rows(48), labels, diagnose="cumulative")
    alone = staged.diagnose(rows(48), labels, mode="cumulative")
    assert evaluation.diagnosis is not None
    assert evaluation.diagnosis.to_json() == alone.to_json()
    assert evaluation.to_json()["diagnosis"]["mode"] == "cumulative"
    assert "diagnosis_seconds" in evaluation.to_json()["timing"]
    assert staged.evaluate(rows(8)).diagnosis is None


def test_progress_counts_the_runs(staged: SpikingModel) -> None:
    seen: list[tuple[int, int | None]] = []
    staged.diagnose(rows(8), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(1, 6)]


def test_an_unknown_mode_is_refused(staged: SpikingModel) -> None:
    with pytest.raises(UsageError, match="unknown mode 'simple' of diagnosis") as caught:
        staged.diagnose(rows(8), mode="simple")  # type: ignore[arg-type]
    assert "single" in caught.value.hint
    with pytest.raises(UsageError, match="unknown mode 'all' of diagnosis"):
        staged.evaluate(rows(8), diagnose="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="rows must be at least 1, not 0"):
        staged.diagnose(rows(8), rows=0)
