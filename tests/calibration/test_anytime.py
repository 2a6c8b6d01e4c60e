"""Thresholds for the margin: what calibration rows allow."""

from typing import Any

import numpy as np
import pytest
from classifiers import converted, rows
from onnx_models import make_model, make_node

import snnconvert
from snnconvert.calibration.anytime import FACTORS, choose_rule
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.linear import FloatArray

STEPS = 24


@pytest.fixture
def settling(rng: np.random.Generator) -> FloatArray:
    """Logits of 400 rows that settle as 1/t does."""
    last = rng.normal(size=(400, 5))
    t = np.arange(1, STEPS + 1).reshape(-1, 1, 1)
    return np.asarray(last + rng.normal(size=(STEPS, 400, 5)) * 2 * (1 / t - 1 / STEPS))


def changed(classes: FloatArray, stops: np.ndarray) -> np.ndarray:
    answers = classes.argmax(axis=2)
    return np.asarray(answers[stops - 1, np.arange(len(stops))] != answers[-1])


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.05])
def test_no_half_of_the_rows_changes_more_answers_than_tolerated(
    settling: FloatArray, tolerance: float
) -> None:
    rule = choose_rule(settling, "y", tolerance)
    stops = rule.stops(settling)
    wrong = changed(settling, stops)
    assert (rule.fitted, rule.held_out) == (wrong[::2].mean(), wrong[1::2].mean())
    assert max(rule.fitted, rule.held_out) <= tolerance
    assert rule.mean_timesteps == stops.mean() < STEPS
    assert rule.rows == 400


def test_more_tolerance_stops_earlier(settling: FloatArray) -> None:
    means = [choose_rule(settling, "y", t).mean_timesteps for t in (0.0, 0.02, 0.1, 0.3)]
    assert means == sorted(means, reverse=True)
    assert means[0] > means[-1]


def test_the_next_smaller_factor_would_change_too_many(settling: FloatArray) -> None:
    rule = choose_rule(settling, "y", 0.01)
    smaller = FACTORS[int(np.flatnonzero(rule.factor == FACTORS)[0]) - 1]
    wrong = changed(
        settling, type(rule)("y", rule.thresholds * (smaller / rule.factor)).stops(settling)
    )
    assert max(wrong[::2].mean(), wrong[1::2].mean()) > 0.01


def test_thresholds_never_rise_and_end_at_zero(settling: FloatArray) -> None:
    thresholds = choose_rule(settling, "y", 0.01).thresholds
    assert (np.diff(thresholds) <= 0).all()
    assert thresholds[-1] == 0


def test_answers_that_never_change_stop_at_once(rng: np.random.Generator) -> None:
    classes = np.broadcast_to(rng.normal(size=(1, 50, 3)), (6, 50, 3)).copy()
    rule = choose_rule(classes, "y", 0.0)
    assert (rule.factor, rule.mean_timesteps) == (0.0, 1.0)


def test_answers_that_cannot_be_told_early_run_to_the_end(rng: np.random.Generator) -> None:
    classes = rng.normal(size=(6, 64, 3))
    classes[:5, :, 0] += 100  # a lead that says nothing of the last answer
    classes[5, :, 0] -= 100
    rule = choose_rule(classes, "y", 0.0)
    assert (rule.stops(classes) == 6).all()


def test_the_sign_of_one_logit_is_an_answer(rng: np.random.Generator) -> None:
    last = rng.normal(size=(200, 1))
    t = np.arange(1, 9).reshape(-1, 1, 1)
    classes = last + rng.normal(size=(8, 200, 1)) * (1 / t - 1 / 8)
    rule = choose_rule(classes, "y", 0.02)
    stops = rule.stops(classes)
    wrong = (classes[stops - 1, np.arange(200), 0] > 0) != (last[:, 0] > 0)
    assert 1 < stops.mean() < 8
    assert wrong.mean() <= 0.02


def test_numbers_are_refused() -> None:
    nodes = [
        make_node("Gemm", ["x", "w1"], ["h"]),
        make_node("Relu", ["h"], ["r"]),
        make_node("Gemm", ["r", "w2"], ["y"]),
    ]
    constants = {"w1": np.eye(3, dtype=np.float32), "w2": np.ones((3, 1), np.float32)}
    model = make_model(nodes, {"x": ["N", 3]}, constants=constants)
    with pytest.raises(
        UsageError, match=r"numbers, not classes \(metric relative_error\)"
    ) as caught:
        snnconvert.convert_model(model, rows(30, width=3), timesteps=4, anytime=0.01)
    assert caught.value.hint == "leave out --anytime"


def test_a_share_out_of_range_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match=r"may change is in \[0, 1\), not 1.5"):
        snnconvert.convert_model("no.onnx", anytime=1.5)


@pytest.mark.parametrize("share", [True, False, "0.01"])
def test_a_share_is_a_number(share: Any) -> None:
    with pytest.raises(UsageError, match=r"the share of answers .* is a number, not"):
        converted(4, anytime=share)


def test_a_few_rows_are_too_few() -> None:
    with pytest.raises(DataError, match="5 calibration rows are too few to say when"):
        converted(4).with_anytime(rows(5))


def test_an_existing_network_is_given_a_rule() -> None:
    snn = converted(16)
    ruled = snn.with_anytime(rows(100, 3), tolerance=0.05)
    assert snn.anytime is None and ruled.anytime is not None
    assert (ruled.anytime.output, ruled.anytime.timesteps, ruled.anytime.rows) == ("y", 16, 100)
    assert ruled.network is snn.network
