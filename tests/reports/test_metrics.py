"""Answers, and how they are counted."""

import numpy as np
import pytest

from snnconvert.convert.errors import DataError
from snnconvert.reports.metrics import (
    Answers,
    accuracy_of,
    agreement_of,
    check_labels,
    decide,
)
from snnconvert.reports.statistics import wilson_interval


def test_the_largest_logit_answers_and_the_first_wins_a_tie() -> None:
    assert decide(np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])).tolist() == [1, 0]


def test_the_sign_of_a_single_logit_answers() -> None:
    assert decide(np.array([[-0.5], [0.0], [0.1]])).tolist() == [0, 0, 1]


def test_heads_may_end_in_ones() -> None:
    outputs = np.zeros((2, 3, 1, 1))
    outputs[0, 2], outputs[1, 1] = 1, 1
    assert accuracy_of(outputs, np.array([2, 0])) == 0.5
    assert agreement_of(outputs, outputs[:, :, 0, 0]) == 1.0


def test_answers_are_counted_after_every_timestep() -> None:
    ann = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 0])
    outputs = np.stack([1 - ann, ann, np.array([[0, 1.0], [0, 1.0], [0, 1.0], [1.0, 0]])])
    answers = Answers(3, labelled=True)
    answers.add(outputs[:, :3], ann[:3], labels[:3])
    answers.add(outputs[:, 3:], ann[3:], labels[3:])
    rows = answers.table(latency=5)
    assert [row.accuracy for row in rows] == [0.5, 0.5, 0.75]
    assert [row.agreement for row in rows] == [0.0, 1.0, 0.25]
    assert [row.timesteps for row in rows] == [1, 2, 3]
    assert [row.latency for row in rows] == [6, 7, 8]
    assert rows[2].ci95 == wilson_interval(3, 4)
    result = answers.ann()
    assert result.accuracy == 0.5
    assert (result.only_ann_correct, result.only_snn_correct) == (1, 2)
    assert result.difference == 0.25
    final = answers.final()
    assert final.right is not None and final.right.tolist() == [False, True, True, True]
    assert final.agrees.tolist() == [False, False, True, False]


def test_without_labels_only_agreement_is_known() -> None:
    ann = np.eye(3)
    answers = Answers(1, labelled=False)
    answers.add(ann[None], ann, None)
    (row,) = answers.table(0)
    assert (row.accuracy, row.agreement, row.ci95) == (None, 1.0, None)
    assert answers.ann().accuracy is None
    assert answers.final().right is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), "labels of shape (2,) for 3 samples"),
        (np.array([0.0, 1.0, 2.0]), "labels of type float64"),
        (np.array([0, 1, 10]), "label 10 is out of range: the network has 10 classes"),
        (np.array([0, -1, 1]), "label -1 is out of range"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_labels(labels, 3, 10)
    assert message in str(caught.value)


def test_a_single_output_has_two_classes() -> None:
    assert check_labels(np.array([0, 1]), 2, 1) is not None
