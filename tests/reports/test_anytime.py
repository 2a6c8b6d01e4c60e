"""What stopping early reaches and costs, against full runs and counts by hand."""

import numpy as np
import pytest
from evaluations import judge, small_evaluation, small_network

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.reports.anytime import AnytimeResult, operations_until
from snnconvert.reports.evaluation import Measurement

T = 12


def stopped(margin: float, **options: object) -> tuple[Measurement, AnytimeResult]:
    measured, _ = small_evaluation(anytime=AnytimeRule.constant("logits", margin, T), **options)
    assert measured.anytime is not None
    return measured, measured.anytime


def test_an_infinite_margin_equals_the_full_run() -> None:
    measured, result = stopped(np.inf)
    final = measured.accuracy[-1]
    assert (result.value, result.ci95, result.agreement) == (
        final.value,
        final.ci95,
        final.agreement,
    )
    assert (result.changed, result.mean_timesteps) == (0, T)
    assert result.histogram == (*[0] * (T - 1), 10)
    assert result.operations == measured.operations


def test_a_margin_of_zero_is_the_run_of_one_step() -> None:
    measured, result = stopped(0.0)
    one, _ = small_evaluation(timesteps=1)
    assert result.value == measured.accuracy[0].value
    assert (result.mean_timesteps, result.fixed_timesteps) == (1, 1)
    assert result.histogram == (10, *[0] * (T - 1))
    assert result.operations == one.operations


def test_the_mean_rises_with_the_margin() -> None:
    results = [stopped(m)[1] for m in (0.0, 0.2, 0.5, 1.0, 3.0, np.inf)]
    means = [r.mean_timesteps for r in results]
    spikes = [r.operations.spikes for r in results]
    assert means == sorted(means) and means[0] < means[2] < means[-1]
    assert spikes == sorted(spikes)


def test_operations_are_those_until_each_stop() -> None:
    """Spikes of a full run, each sample's train cut at its stop."""
    network, samples = small_network()
    simulation = ReferenceSimulation(network)
    stops = np.array([3, 12, 1, 5, 5, 12, 2, 3, 7, 1])
    counted = operations_until(stops, simulation, samples, latency=0, batch_size=4, ann_macs=4000.0)
    trains = simulation.run(samples, T, record=("*",)).spikes
    until = [sum(int(t[:stop, i].sum()) for t in trains.values()) for i, stop in enumerate(stops)]
    assert counted.spikes == pytest.approx(np.mean(until))
    assert counted.neuron_updates == pytest.approx(network.neurons * stops.mean())
    assert counted.steps == 12
    assert sum(counted.synops_by_source.values()) == pytest.approx(counted.synops)


def test_batches_change_nothing() -> None:
    assert stopped(0.5, batch_size=3)[1] == stopped(0.5)[1]


def test_the_answers_are_those_at_the_stops() -> None:
    network, samples = small_network()
    outputs = ReferenceSimulation(network).run(samples, T).outputs["logits"]
    rule = AnytimeRule.constant("logits", 0.5, T)
    stops = rule.stops(outputs)
    answers = outputs[stops - 1, np.arange(10)].argmax(axis=1)
    labels = np.arange(10) % 5
    _, result = stopped(0.5)
    assert result.value == (answers == labels).mean()
    assert result.changed == (answers != outputs[-1].argmax(axis=1)).mean()
    assert result.histogram == tuple(np.bincount(stops, minlength=T + 1)[1:])


def test_without_labels_the_value_is_the_agreement() -> None:
    measured, result = stopped(0.5, labels=None)
    assert result.value == result.agreement
    assert measured.metric.name == "agreement"


def test_the_fixed_timestep_is_the_first_that_is_as_good() -> None:
    measured, result = stopped(0.5)
    assert result.value is not None
    values = [row.value or 0.0 for row in measured.accuracy]
    good = [t + 1 for t, value in enumerate(values) if value >= result.value]
    assert result.fixed_timesteps == (good[0] if good else None)


def test_energy_is_that_of_the_operations() -> None:
    _, result = stopped(0.0)
    named = {e.model: e.joules for e in result.energy}
    assert named["SNN on Loihi"] > 0
    assert named["ANN, 32-bit float, 45 nm"] == pytest.approx(4.6e-12 * 4000)


def test_judges_of_many_decisions_are_refused_by_name() -> None:
    from snnconvert.reports.anytime import why_not_anytime

    assert why_not_anytime(judge(np.eye(5), np.arange(5))) == ""
    assert "numbers, not classes (metric mae)" in why_not_anytime(
        judge(np.eye(5), np.random.default_rng(0).normal(size=(5, 5)))
    )
