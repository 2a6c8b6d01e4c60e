"""The rungs, what they lose, and on which rows."""

import numpy as np
import pytest
from evaluations import evaluation

from snnconvert.reports.ladder import (
    RUNGS,
    Rung,
    complete_ladder,
    ends_of_ladder,
    steps_down,
)
from snnconvert.reports.metrics import FinalAnswers


def test_rungs_that_were_not_computed_say_so() -> None:
    rungs = complete_ladder([Rung("target", 0.9), Rung("ann", 0.95)])
    assert [rung.name for rung in rungs] == list(RUNGS)
    assert [rung.reason for rung in rungs] == ["", *["not computed"] * 3, ""]


def test_a_rung_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no rung 'snnn'; known: ann, quantised_ann"):
        complete_ladder([Rung("snnn", 0.9)])


def test_a_later_rung_takes_the_place_of_an_earlier() -> None:
    assert complete_ladder([Rung("ann", 0.9), Rung("ann", 0.8)])[0].accuracy == 0.8


def test_each_step_is_measured_from_the_rung_above_that_was_computed() -> None:
    rungs = complete_ladder([Rung("ann", 0.95), Rung("snn", 0.9), Rung("target", 0.91)])
    assert steps_down(rungs) == pytest.approx({"snn": 0.05, "target": -0.01})


def test_without_labels_the_steps_are_those_of_the_agreement() -> None:
    rungs = complete_ladder([Rung("ann", None, 1.0), Rung("snn", None, 0.97)])
    assert steps_down(rungs) == pytest.approx({"snn": 0.03})


def test_measured_counts_against_labels_and_against_the_ann() -> None:
    outputs, ann = np.eye(4), np.roll(np.eye(4), 1, axis=0)
    ann[0] = outputs[0]
    rung = Rung.measured("snn", outputs, ann, np.array([0, 1, 0, 0]))
    assert (rung.accuracy, rung.agreement, rung.samples) == (0.5, 0.25, 4)
    assert Rung.measured("snn", outputs, ann, None).accuracy is None


def test_ann_and_target_are_taken_on_the_rows_of_the_other_rungs() -> None:
    final = FinalAnswers(
        agrees=np.array([True, False, True, True]),
        right=np.array([True, True, False, False]),
        ann_right=np.array([True, False, False, False]),
    )
    ann, target = ends_of_ladder(final, 2)
    assert (ann.accuracy, ann.agreement, ann.samples) == (0.5, 1.0, 2)
    assert (target.accuracy, target.agreement, target.samples) == (1.0, 0.5, 2)
    assert ends_of_ladder(FinalAnswers(final.agrees), 4)[1].agreement == 0.75


def test_an_evaluation_puts_all_rungs_on_the_same_rows() -> None:
    rungs = evaluation(samples=1000, ladder=(Rung("snn", 1.0, 1.0, 200),)).ladder
    assert {rung.samples for rung in rungs if rung.accuracy is not None} == {200}
    assert {rung.samples for rung in evaluation(ladder=()).ladder if rung.samples} == {1000}
