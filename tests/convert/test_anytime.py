"""When samples stop: the laws of the rule, and its place in the .snn file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from classifiers import converted, rows

from snnconvert.convert.anytime import AnytimeRule, margins, stopping_times
from snnconvert.convert.errors import UsageError
from snnconvert.convert.spiking_model import load


def test_the_margin_is_the_lead_of_the_largest_value(rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 5, 4))
    ordered = np.sort(values, axis=2)
    np.testing.assert_array_equal(margins(values), ordered[..., -1] - ordered[..., -2])
    assert margins(np.array([[[2.0, 2.0]]])).item() == 0


def test_the_margin_of_one_logit_is_its_distance_from_zero() -> None:
    np.testing.assert_array_equal(margins(np.array([[[-2.0], [0.5]]])), [[2.0, 0.5]])


def test_a_margin_of_zero_stops_at_the_first_step(rng: np.random.Generator) -> None:
    values = rng.normal(size=(7, 9, 3))
    assert (AnytimeRule.constant("y", 0.0, 7).stops(values) == 1).all()


def test_an_infinite_margin_runs_to_the_end(rng: np.random.Generator) -> None:
    values = rng.normal(size=(7, 9, 3))
    assert (AnytimeRule.constant("y", np.inf, 7).stops(values) == 7).all()


def test_larger_margins_never_stop_a_sample_earlier(rng: np.random.Generator) -> None:
    values = rng.normal(size=(12, 40, 3))
    stops = [AnytimeRule.constant("y", m, 12).stops(values) for m in np.linspace(0, 4, 30)]
    assert all((earlier <= later).all() for earlier, later in pairwise(stops))
    assert stops[0].mean() < stops[-1].mean()


def test_a_sample_stops_at_the_first_step_that_reaches_its_own_threshold() -> None:
    margin = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.1]])
    assert stopping_times(margin, np.array([1.0, 0.5, 0.2])).tolist() == [3, 2]
    assert stopping_times(margin, np.array([0.9, 0.5, 0.2])).tolist() == [1, 2]


@pytest.mark.parametrize("bad", [[], [[1.0]], [-0.1], [np.nan]])
def test_thresholds_must_be_one_number_a_step(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="thresholds of a margin are one number a step"):
        AnytimeRule("y", np.array(bad))


def test_the_rule_is_saved_with_the_network(tmp_path: Path) -> None:
    snn = converted(8, anytime=0.1)
    snn.save(tmp_path / "net.snn")
    loaded, rule = load(tmp_path / "net.snn").anytime, snn.anytime
    assert loaded is not None and rule is not None
    np.testing.assert_array_equal(loaded.thresholds, rule.thresholds)
    for name in ("output", "tolerance", "factor", "rows", "fitted", "held_out", "mean_timesteps"):
        assert getattr(loaded, name) == getattr(rule, name)
    x = rows(30)
    assert load(tmp_path / "net.snn").evaluate(x).anytime == snn.evaluate(x).anytime


def test_a_network_without_a_rule_says_where_to_get_one() -> None:
    with pytest.raises(UsageError, match="no rule by which samples may stop") as caught:
        converted(4).evaluate(rows(5), anytime=True)
    assert "--anytime" in caught.value.hint
    with pytest.raises(UsageError, match=r"anytime must be True, False or a rule, not 0\.5"):
        converted(4, anytime=0.1).evaluate(rows(5), anytime=0.5)


def test_a_rule_for_another_run_is_refused_where_it_was_asked_for() -> None:
    snn = converted(8)
    rule = AnytimeRule.constant("y", 1.0, 8)
    text = "the anytime rule is for 8 timesteps, the run has 4"
    with pytest.raises(UsageError, match=text):
        snn.evaluate(rows(5), timesteps=4, anytime=rule)
    with pytest.raises(UsageError, match="watches output 'z', the report is about 'y'"):
        snn.evaluate(rows(5), anytime=AnytimeRule.constant("z", 1.0, 8))


def test_a_networks_own_rule_that_does_not_fit_is_left_out_and_said() -> None:
    snn = converted(8, anytime=0.1)
    evaluation = snn.evaluate(rows(20), timesteps=4)
    assert evaluation.anytime is None
    assert any(
        n.startswith("no anytime readout: the anytime rule is for 8") for n in evaluation.notes
    )
    assert snn.evaluate(rows(20), anytime=False).anytime is None


def test_numbers_have_no_answer_that_is_safe() -> None:
    snn = converted(8, anytime=0.1)
    values = np.zeros((20, 4))
    with pytest.raises(UsageError, match=r"output 'y' is numbers, not classes \(metric mae\)"):
        snn.evaluate(rows(20), values, metric="mae", anytime=True)
    assert snn.evaluate(rows(20), values, metric="mae").anytime is None
