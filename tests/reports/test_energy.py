"""Energy estimates: constants times counts, each with its source."""

from dataclasses import FrozenInstanceError, replace

import pytest
from evaluations import evaluation

from snnconvert.reports.energy import (
    BASELINE,
    CAVEAT,
    ENERGY_MODELS,
    EnergyModel,
    estimate_energy,
)

OPERATIONS = evaluation().measurement.operations


def test_loihi_is_the_published_figure() -> None:
    """A digits network, T = 64: 1.93 M synops at 23.6 + 3.5 pJ, 0.786 M updates at 81 pJ."""
    estimate = {e.model: e for e in estimate_energy(OPERATIONS)}["SNN on Loihi"]
    assert estimate.joules == pytest.approx(1_934_112 * 27.1e-12 + 786_432 * 81e-12)


def test_45_nm_counts_macs_and_acs() -> None:
    estimates = {e.model: e for e in estimate_energy(OPERATIONS)}
    ann, snn = estimates[BASELINE.name], estimates["SNN, 32-bit float, 45 nm"]
    assert ann.joules == pytest.approx(178_000 * 4.6e-12)
    assert snn.joules == pytest.approx(28_224 * 4.6e-12 + 1_934_112 * 0.9e-12)
    assert ann.ratio == 1.0
    assert snn.ratio == pytest.approx(snn.joules / ann.joules)


def test_eight_bits_cost_the_ann_a_twentieth() -> None:
    estimates = {e.model: e.ratio for e in estimate_energy(OPERATIONS)}
    assert estimates["ANN, 8-bit integers, 45 nm"] == pytest.approx(0.05)


def test_every_model_names_its_source_and_what_it_counts() -> None:
    assert len({model.name for model in ENERGY_MODELS}) == len(ENERGY_MODELS)
    for model in ENERGY_MODELS:
        assert model.source
        assert "J a" in model.what
    assert "not measurements" in CAVEAT
    assert "off-chip traffic" in CAVEAT


def test_constants_can_be_others_but_not_be_changed() -> None:
    mine = EnergyModel("my chip", "1 J a spike", "me", synop=2.0)
    (estimate,) = estimate_energy(OPERATIONS, [mine])
    assert estimate.joules == 2.0 * OPERATIONS.synops
    with pytest.raises(FrozenInstanceError):
        mine.synop = 3.0  # type: ignore[misc]


def test_without_multiply_adds_there_is_no_ratio() -> None:
    assert {e.ratio for e in estimate_energy(replace(OPERATIONS, ann_macs=0.0))} == {None}
