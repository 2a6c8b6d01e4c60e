"""The rungs, what they lose, and on which rows."""

import pytest
from evaluations import AGREEMENT, InventedStandings, evaluation, regression_evaluation

from snnconvert.reports.advice import Settings
from snnconvert.reports.ladder import (
    RUNGS,
    Ladder,
    Rung,
    complete_ladder,
    ends_of_ladder,
    steps_down,
)
from snnconvert.reports.scores import MetricText, Standing


def test_rungs_that_were_not_computed_say_so() -> None:
    rungs = complete_ladder([Rung("target", 0.9), Rung("ann", 0.95)])
    assert [rung.name for rung in rungs] == list(RUNGS)
    assert [rung.reason for rung in rungs] == ["", *["not computed"] * 3, ""]


def test_a_rung_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no rung 'snnn'; known: ann, quantised_ann"):
        complete_ladder([Rung("snnn", 0.9)])


def test_a_later_rung_takes_the_place_of_an_earlier() -> None:
    assert complete_ladder([Rung("ann", 0.9), Rung("ann", 0.8)])[0].value == 0.8


def test_each_step_is_measured_from_the_rung_above_that_was_computed() -> None:
    rungs = complete_ladder([Rung("ann", 0.95), Rung("snn", 0.9), Rung("target", 0.91)])
    assert steps_down(rungs, MetricText()) == pytest.approx({"snn": 0.05, "target": -0.01})


def test_without_labels_the_steps_are_those_of_the_agreement() -> None:
    rungs = complete_ladder([Rung("ann", None, 1.0), Rung("snn", None, 0.97)])
    assert steps_down(rungs, AGREEMENT) == pytest.approx({"snn": 0.03})


def test_a_rise_is_a_loss_where_lower_is_better() -> None:
    metric = regression_evaluation().metric
    rungs = [Rung("ann", 0.5), Rung("snn", 0.75), Rung("target", 0.625)]
    assert steps_down(rungs, metric) == {"snn": 0.25, "target": -0.125}


def test_numbers_without_labels_are_ranked_by_their_distance_to_the_ann() -> None:
    metric = regression_evaluation(labelled=False).metric
    rungs = [Rung("ann", relative_error=0.0), Rung("snn", relative_error=0.25)]
    assert steps_down(rungs, metric) == {"snn": 0.25}


def test_ann_and_target_are_taken_from_the_standings() -> None:
    standings = InventedStandings(Standing(0.5, 1.0, None), Standing(0.25, 0.75, None))
    ann, target = ends_of_ladder(standings, 2)
    assert (ann.value, ann.agreement, ann.samples) == (0.5, 1.0, 2)
    assert (target.value, target.agreement, target.samples) == (0.25, 0.75, 2)


def test_an_evaluation_puts_all_rungs_on_the_same_rows() -> None:
    rungs = evaluation(samples=1000, ladder=(Rung("snn", 1.0, 1.0, 200),)).ladder
    assert {rung.samples for rung in rungs if rung.value is not None} == {200}
    assert {rung.samples for rung in evaluation(ladder=()).ladder if rung.samples} == {1000}


def test_the_ladder_knows_its_losses_and_the_largest() -> None:
    rungs = complete_ladder([Rung("ann", 0.9), Rung("quantised_ann", 0.8), Rung("snn", 0.5)])
    ladder = Ladder(rungs, MetricText(), Settings(timesteps=8))
    assert ladder.scores == {"ann": 0.9, "quantised_ann": 0.8, "snn": 0.5}
    assert ladder.losses == pytest.approx({"quantised_ann": 0.1, "snn": 0.3})
    assert ladder.advice is not None
    assert ladder.advice.rung == "snn"
    assert ladder.advice.lost == pytest.approx(0.3)
    assert ladder.advice.options[-1] == "--timesteps 16"


def test_the_advice_follows_the_direction_of_the_metric() -> None:
    metric = regression_evaluation().metric
    rungs = (Rung("ann", 0.5), Rung("quantised_ann", 0.4), Rung("target", 0.45))
    advice = Ladder(rungs, metric).advice
    assert advice is not None
    assert advice.rung == "target"
    assert advice.lost == pytest.approx(0.05)


@pytest.mark.parametrize(("noise", "advised"), [(0.04, True), (0.06, False)])
def test_a_loss_within_the_noise_is_not_advised_about(noise: float, advised: bool) -> None:
    rungs = (Rung("ann", 0.5), Rung("snn", 0.45))
    assert (Ladder(rungs, MetricText(), noise=noise).advice is not None) == advised


def test_the_noise_is_half_the_interval_of_the_rows_of_the_ladder() -> None:
    few = evaluation(samples=1000, ladder=(Rung("snn", 1.0, 1.0, 250),))
    low, high = few.measurement.ann.difference_ci95 or (0.0, 0.0)
    assert high > low
    assert few.ladder.noise == pytest.approx(high - low)  # a quarter of the rows
    assert evaluation(samples=1000, ladder=()).ladder.noise == pytest.approx((high - low) / 2)


def test_without_a_loss_there_is_no_advice() -> None:
    assert (
        Ladder((Rung("ann", 0.5), Rung("snn", 0.5), Rung("target", 0.6)), MetricText()).advice
        is None
    )
    assert Ladder((Rung("ann"),), MetricText()).advice is None


def test_a_ladder_is_a_sequence_of_its_rungs() -> None:
    ladder = evaluation().ladder
    assert len(ladder) == 5 and ladder[0].name == "ann" and ladder[-1] == ladder.rungs[-1]
    assert [rung.name for rung in ladder] == list(RUNGS)
    assert ladder[1:] == ladder.rungs[1:]


def test_the_document_holds_the_advice() -> None:
    document = evaluation(shortfall=0.1).to_json()["ladder"]
    assert document["advice"]["rung"] == max(document["lost"], key=document["lost"].get)
    assert document["advice"]["options"]
