"""The replay against the reference simulation: the same spikes, layer by layer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.readout import EVEN
from snnconvert.calibration.replay import (
    FITTED,
    HELD_OUT,
    MEMORY,
    Drive,
    Replayed,
    ReplayState,
    Teacher,
    as_it_is,
    channel_mean,
    replay,
    rows_that_fit,
)
from snnconvert.calibration.schedules import apply_schedule
from snnconvert.convert.build_network import build_network
from snnconvert.convert.graph import Relu
from snnconvert.convert.lower import lower
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from tests.graphs import Sketch, samples_for
from tests.networks import Case, cases


def reading_evenly(network: Network) -> Network:
    return network.replace_nodes(EVEN.of(r) for r in network.readouts)


def replayed_in_parts(parts: bool, *given: Any, **named: Any) -> Replayed:
    """A replay in which every row, or two, is worked on alone."""
    with pytest.MonkeyPatch.context() as patch:
        if parts:
            patch.setattr("snnconvert.calibration.replay.AT_ONCE", 1)
            patch.setattr("snnconvert.calibration.replay.PIECE", 2)
            patch.setattr("snnconvert.convert.threads.default_threads", lambda: 2)
        return replay(*given, **named)


@settings(max_examples=60)
@given(cases("dyadic", staged=False), st.booleans())
def test_equals_the_reference_on_numbers_that_are_exact(case: Case, parts: bool) -> None:
    network = reading_evenly(case.network)
    counts = {}

    def note(population: Population, drive: Drive) -> Population:
        counts[population.name] = drive.counts(population)
        return population

    replayed = replayed_in_parts(parts, network, case.samples, case.timesteps, note)
    expected = ReferenceSimulation(network).run(case.samples, case.timesteps)
    assert counts.keys() == expected.spike_counts.keys()
    for name, count in expected.spike_counts.items():
        np.testing.assert_array_equal(counts[name], count, err_msg=name)
    for name, output in expected.outputs.items():
        np.testing.assert_allclose(replayed.outputs[name], output[-1], rtol=1e-12, atol=1e-12)


@settings(max_examples=60)
@given(cases("dyadic", staged=False), st.sampled_from(["1", "half", "full"]), st.booleans())
def test_equals_a_staged_run(case: Case, schedule: str, parts: bool) -> None:
    T = case.timesteps
    network = reading_evenly(case.network)
    network = network.replace_nodes(replace(p, reset="subtract") for p in network.populations)
    holdoff = {"1": 1, "half": T // 2, "full": T}[schedule]
    staged, _ = apply_schedule(network, holdoff, T)
    counts = {}

    def note(population: Population, drive: Drive) -> Population:
        counts[population.name] = drive.counts(population)
        return population

    replayed = replayed_in_parts(parts, network, case.samples, T, note, holdoff=holdoff)
    expected = ReferenceSimulation(staged).run(case.samples, T)
    ends = {p.name: p.start + T for p in staged.populations}
    for name, count in expected.spike_counts.items():
        if ends[name] <= staged.latency(T):  # else no readout waits for it
            np.testing.assert_array_equal(counts[name], count, err_msg=name)
    for name, output in expected.outputs.items():
        np.testing.assert_allclose(replayed.outputs[name], output[-1], rtol=1e-12, atol=1e-12)


@settings(max_examples=30)
@given(cases("dyadic", staged=False))
def test_later_populations_see_the_corrected_ones(case: Case) -> None:
    network = reading_evenly(case.network)

    def halve(population: Population, _: Drive) -> Population:
        return replace(population, threshold=np.asarray(population.threshold / 2))

    replayed = replay(network, case.samples, case.timesteps, halve)
    halved = network.replace_nodes(halve(p, None) for p in network.populations)  # type: ignore[arg-type]
    expected = ReferenceSimulation(halved).run(case.samples, case.timesteps)
    for name, output in expected.outputs.items():
        np.testing.assert_allclose(replayed.outputs[name], output[-1], rtol=1e-12, atol=1e-12)
    for p in replayed.network.populations:
        np.testing.assert_array_equal(p.threshold, np.asarray(halved[p.name].threshold))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "axis", "threshold", "mean"),
    [
        ((3, 2, 2), 0, (3, 1, 1), (3, 1, 1)),
        ((2, 2, 3), 2, (1, 1, 3), (1, 1, 3)),
        ((3, 2, 2), 0, (1, 1, 1), (1, 1, 1)),
        ((3,), 0, (3,), (3,)),
    ],
)
def test_channel_means_vary_where_thresholds_do(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    axis: int,
    threshold: tuple[int, ...],
    mean: tuple[int, ...],
) -> None:
    ones = np.ones(threshold)
    p = Population("p", shape, ones, ones, ones, ones, ones / 2, channel_axis=axis)
    values = rng.standard_normal((5, *shape))
    got = channel_mean(p, values)
    assert got.shape == mean
    others = tuple(a + 1 for a, extent in enumerate(mean) if extent == 1)
    np.testing.assert_allclose(got, values.mean(axis=(0, *others), keepdims=True)[0])


def test_rows_are_limited_by_memory() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.conv(sketch.input((2, 100, 100)), 4, pad=1))
    graph = lower(sketch.graph(sketch.dense(relu)))
    ones = {n.name: np.ones((1, 1, 1)) for n in graph.activations}
    network = build_network(graph, ones)
    assert rows_that_fit(network, 64) == MEMORY // (9 * 40_000 * 64) == 93
    with_floats = MEMORY // (16 * 40_000 * 64)
    assert with_floats == rows_that_fit(network, 64, supplied=True) == 52
    graded = network.replace_nodes(replace(p, neuron="graded:200") for p in network.populations)
    assert rows_that_fit(graded, 64) == with_floats
    events = network.replace_nodes(replace(i, encoding="events") for i in network.inputs)
    assert rows_that_fit(events, 64) == with_floats
    assert rows_that_fit(network, 10**9) == 1


def test_a_teacher_knows_the_activations_of_its_rows() -> None:
    sketch = Sketch()
    relu = sketch.relu(sketch.dense(sketch.input((4,)), 3))
    graph = lower(sketch.graph(sketch.dense(relu, 2)))
    network = build_network(graph, {relu: np.ones(3)})
    rows = samples_for(graph, 7)
    teacher = Teacher.of(network, graph, rows, 8)
    assert teacher.count == 7
    assert teacher.activations.keys() == {relu, graph[relu].inputs[0], graph.outputs[0]}
    assert isinstance(graph[relu].op, Relu)
    np.testing.assert_allclose(
        teacher.activations[relu], graph.evaluate(rows, [relu])[relu], rtol=1e-6
    )


def test_rows_that_make_a_correction_do_not_judge_it() -> None:
    rows = np.arange(7)
    assert sorted([*rows[FITTED], *rows[HELD_OUT]]) == rows.tolist()
    assert not set(rows[FITTED]) & set(rows[HELD_OUT])


def test_a_tie_after_a_number_of_steps_that_is_no_power_of_two() -> None:
    drive = Drive(np.full((1, 1, 1), 2.0, np.float32), np.zeros((1, 1)), 7, 7, whole=True)
    population = Population(
        "n",
        (1,),
        threshold=np.array([0.25]),
        amplitude=np.array([0.25]),
        scale=np.array([0.25]),
        bias=np.array([-0.1875]),
        v_init=np.array([0.0625]),
    )
    assert drive.counts(population).item() == 3  # 7 * -0.1875 + 2 + 0.0625 is three thresholds


def test_means_of_many_payloads_are_beyond_a_byte() -> None:
    """Trains are bytes, what they add up to is not."""
    one = np.ones(1)
    population = Population("p", (1,), one, one, one, np.zeros(1), np.zeros(1), neuron="graded:100")
    readout = Readout("y", (1,), np.zeros(1), np.ones(1))
    network = Network(
        "n", (Input("x", (1,)), population, readout), (Connection("x", "p"), Connection("p", "y"))
    )
    state = ReplayState(network, {"x": np.array([[90.0], [100.0]])}, 8, 0)
    state.visit(network["x"], as_it_is, None)
    state.visit(network["p"], as_it_is, None)
    assert state.trains["p"].dtype == np.int8
    np.testing.assert_array_equal(state.mean_sent("p"), [[90.0], [100.0]])
    rising = np.arange(1, 9) / 36
    np.testing.assert_allclose(state.mean_sent("p", rising), [[90.0], [100.0]], rtol=1e-6)
