"""The result in words: tone, headline, what stands out."""

from dataclasses import replace

import pytest
from evaluations import evaluation, layer, regression_evaluation

from snnconvert.reports.evaluation import Evaluation
from snnconvert.reports.ladder import Rung
from snnconvert.reports.layers import LayerStatistics
from snnconvert.reports.scores import AnnResult
from snnconvert.reports.verdict import findings, first_near, verdict


@pytest.mark.parametrize(
    ("shortfall", "tone", "badge"),
    [
        (0.0, "good", "within 1 point of the ANN"),
        (0.01, "good", "within 1 point of the ANN"),
        (0.011, "fair", "1.1 points below the ANN"),
        (0.03, "fair", "3.0 points below the ANN"),
        (0.031, "poor", "3.1 points below the ANN"),
        (-0.02, "good", "2.0 points above the ANN"),
    ],
)
def test_the_tone_follows_the_distance(shortfall: float, tone: str, badge: str) -> None:
    found = verdict(evaluation(shortfall=shortfall))
    assert (found.tone, found.badge) == (tone, badge)


@pytest.mark.parametrize(("accuracy", "tone"), [(0.93, "good"), (0.86, "fair"), (0.7, "poor")])
def test_without_labels_the_tone_follows_the_agreement(accuracy: float, tone: str) -> None:
    found = verdict(evaluation(labelled=False, ann_accuracy=accuracy, shortfall=0.0))
    assert found.tone == tone
    assert found.badge == f"{100 * accuracy + 5:.1f} % of the ANN's answers"


@pytest.mark.parametrize(
    ("shortfall", "words"),
    [
        (0.006, "0.6 points below the ANN's 91.8 %"),
        (0.0, "the same as the ANN's 91.8 %"),
        (-0.012, "1.2 points above the ANN's 91.8 %"),
    ],
)
def test_the_headline_compares_with_the_ann(shortfall: float, words: str) -> None:
    assert words in verdict(evaluation(shortfall=shortfall)).headline


def test_a_difference_within_the_noise_is_said_to_be() -> None:
    noise = "These samples cannot tell the two apart."
    assert noise in verdict(evaluation(shortfall=0.004)).details[0]
    assert noise not in verdict(evaluation(shortfall=0.1)).details[0]


def test_the_first_timestep_near_the_ann_is_named() -> None:
    made = evaluation()
    near = first_near(made)
    assert near is not None and near.accuracy is not None
    before = made.measurement.accuracy[near.timesteps - 2]
    assert near.accuracy >= 0.908
    assert before.accuracy is not None and before.accuracy < 0.908
    assert any(f"after {near.timesteps} timesteps." in text for text in verdict(made).details)
    far = verdict(evaluation(shortfall=0.1))
    assert "It does not come within one point of the ANN." in far.details
    assert first_near(evaluation(labelled=False)) is None


def with_layers(*layers: LayerStatistics) -> Evaluation:
    made: Evaluation = evaluation(ladder=(), shortfall=0.0)
    return replace(made, measurement=replace(made.measurement, layers=layers))


def test_nothing_stands_out_where_all_is_well() -> None:
    assert findings(with_layers(layer())) == ()


def test_the_costliest_rung_is_named_with_its_remedy() -> None:
    made = evaluation(
        ladder=(Rung("quantised_ann", 0.916, 0.99, 1000), Rung("snn", 0.88, 0.9, 1000))
    )
    (found,) = findings(made)
    assert found.startswith("Most is lost at the rung “Spiking network”, 3.6 points: ")
    assert "--schedule full" in found


def test_the_worst_layer_of_each_kind_is_named() -> None:
    found = findings(
        with_layers(
            layer("good"),
            layer("off", relative_error=0.41, correlation=0.93),
            layer("clipped", saturated=0.12),
            layer("dead", never_fired=0.8),
        )
    )
    assert len(found) == 3
    assert found[0] == (
        "off follows its ANN activation least: relative error 0.41, correlation 0.930."
    )
    assert found[1].startswith("12.0 % of clipped fires at its ceiling")
    assert "--percentile" in found[1]
    assert found[2].startswith("80.0 % of the neurons of dead fired on no sample")


@pytest.mark.parametrize(
    ("excess", "tone", "badge"),
    [
        (0.02, "good", "within 5 % of the ANN's mean absolute error"),
        (0.08, "fair", "0.08 worse than the ANN"),
        (0.125, "poor", "0.125 worse than the ANN"),
        (-0.125, "good", "0.125 better than the ANN"),
    ],
)
def test_errors_are_compared_with_the_anns_own(excess: float, tone: str, badge: str) -> None:
    found = verdict(regression_evaluation(excess=excess))
    assert (found.tone, found.badge) == (tone, badge)
    assert "has mean absolute error" in found.headline
    assert "the ANN's 0.5." in found.headline
    assert "points" not in " ".join((found.headline, *found.details))


@pytest.mark.parametrize(("error", "tone"), [(0.02, "good"), (0.08, "fair"), (0.5, "poor")])
def test_numbers_without_labels_are_judged_by_their_distance(error: float, tone: str) -> None:
    found = verdict(regression_evaluation(excess=error, labelled=False))
    assert (found.tone, found.badge) == (tone, f"relative error {error:g} to the ANN's output")
    assert "its error is unknown" in found.headline


def test_a_rise_of_the_error_is_what_is_lost() -> None:
    rungs = (Rung("quantised_ann", 0.75, None, 1000, relative_error=0.1),)
    (found,) = findings(regression_evaluation(ladder=rungs, layers=0))
    assert found.startswith("Most is lost at the rung “Quantised ANN”, 0.25: ")


def test_a_metric_without_a_value_is_said_to_be_unknown() -> None:
    made = regression_evaluation()
    (output,) = made.measurement.outputs
    rows = tuple(replace(row, value=None, ci95=None) for row in output.rows)
    unknown = replace(output, rows=rows, ann=AnnResult())
    measurement = replace(made.measurement, outputs=(unknown,))
    found = verdict(replace(made, measurement=measurement))
    assert found.badge == "mean absolute error unknown"
    assert found.headline == "The mean absolute error is not defined on these 1,000 samples."
