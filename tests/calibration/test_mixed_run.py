"""Layers replaced by the ANN's: all of them are the ANN, none of them the run."""

from dataclasses import replace

import numpy as np
import pytest
from classifiers import converted, rows

from snnconvert.backends.base import get_backend
from snnconvert.calibration.mixed_run import CAUSES, MixedNetwork, mixed_run, own_errors
from snnconvert.calibration.schedules import parse_schedule
from snnconvert.convert.network import Network, Population
from snnconvert.convert.spiking_model import SpikingModel


def mixed_of(snn: SpikingModel, network: Network | None = None) -> MixedNetwork:
    holdoff = parse_schedule(snn.schedule, snn.timesteps)
    return MixedNetwork.of(network or snn.network, snn.graph, snn.timesteps, holdoff)


def with_threshold(network: Network, name: str, times: float) -> Network:
    p = network[name]
    assert isinstance(p, Population)
    grown = {key: getattr(p, key) * times for key in ("threshold", "amplitude", "scale", "v_init")}
    return network.replace_nodes([replace(p, **grown)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "full"},
        {"schedule": 2},
        {"reset": "zero"},
        {"neuron": "signed"},
        {"neuron": "graded:3"},
        {"readout": "count"},
    ],
    ids=str,
)
def test_with_all_layers_replaced_the_run_is_the_ann(options: dict[str, object]) -> None:
    # "weights" would refit those of the outputs to spikes, which here are the ANN's values.
    snn = converted(8, corrections=("thresholds", "bias", "potentials"), **options)
    mixed, x = mixed_of(snn), {"x": rows(20)}
    outputs = mixed_run(mixed, x, mixed.layers).outputs["y"]
    (ann,) = snn.ann.run(x).values()
    if snn.readout == "count":
        ann = np.maximum(ann, 0)  # spikes of an output population have no sign
    np.testing.assert_allclose(outputs, ann, rtol=0, atol=1e-5 * np.abs(ann).max())


@pytest.mark.parametrize(
    "options",
    [{}, {"schedule": "full"}, {"neuron": "signed"}, {"reset": "zero"}, {"weight_bits": 5}],
    ids=str,
)
def test_with_none_replaced_it_is_the_run(options: dict[str, object]) -> None:
    snn = converted(8, **options)
    x = {"x": rows(20)}
    result = mixed_run(mixed_of(snn), x, ())
    ran = get_backend("cpu").emit(snn).run(x, 8)
    # A replay has no exact grids: a few ties in float32 fall on the other side.
    for p in snn.network.populations:
        assert (result.counts[p.name] != ran.spike_counts[p.name]).mean() < 0.01
    scale = np.abs(ran.outputs["y"][-1]).max()
    assert np.abs(result.outputs["y"] - ran.outputs["y"][-1]).mean() < 0.01 * scale


def test_a_replaced_layer_computes_from_what_reaches_it() -> None:
    snn = converted(8)
    mixed, x = mixed_of(snn), {"x": rows(12)}
    first, second, _ = mixed.layers
    result = mixed_run(mixed, x, (second,))
    spikes = mixed_run(mixed, x, ())
    np.testing.assert_array_equal(result.counts[first], spikes.counts[first])
    decoded = result.counts[first] * mixed.population(first).amplitude / 8
    names = [str(mixed.population(n).tensor) for n in (first, second)]
    known = {names[0]: decoded}
    wanted = snn.graph.evaluate(x, [names[1]], known=known, dtype=np.float64)[names[1]]
    np.testing.assert_allclose(result.values[second], wanted, atol=1e-9)
    assert second not in result.counts


def test_the_first_layer_of_a_full_schedule_has_no_timing_error() -> None:
    snn = converted(8, schedule="full", corrections="none")
    mixed = mixed_of(snn)
    result = mixed_run(mixed, {"x": rows(30)}, ())
    for name in mixed.layers:
        own = own_errors(mixed, result, name)
        # The counts are the rounded values; float32 may turn one in a thousand.
        assert own.parts["timing"] < 0.02 < own.parts["rounding"]
        assert own.parts["weight_bits"] == 0


def test_a_low_threshold_clips_and_a_high_one_silences() -> None:
    snn = converted(16, corrections="none")
    name = snn.network.populations[1].name
    low = mixed_of(snn, with_threshold(snn.network, name, 0.2))
    own = own_errors(low, mixed_run(low, {"x": rows(30)}, ()), name)
    assert max(CAUSES, key=own.parts.__getitem__) == "clipping"
    high = mixed_of(snn, with_threshold(snn.network, name, 200.0))
    own = own_errors(high, mixed_run(high, {"x": rows(30)}, ()), name)
    assert own.silent == pytest.approx(1.0)
    assert own.parts["clipping"] == 0


def test_few_bits_are_an_error_of_their_own() -> None:
    shares = []
    for bits in (3, 6, 12):
        mixed = mixed_of(converted(8, weight_bits=bits, corrections="none"))
        result = mixed_run(mixed, {"x": rows(30)}, ())
        shares.append(own_errors(mixed, result, mixed.layers[1]).parts["weight_bits"])
    assert shares[0] > shares[1] > shares[2] > 0
    assert shares[0] > 0.1 and shares[2] < 0.01


def test_parts_of_the_rows_join_to_the_whole() -> None:
    mixed = mixed_of(converted(8))
    x = rows(10)
    whole = mixed_run(mixed, {"x": x}, ())
    parts = [mixed_run(mixed, {"x": x[k : k + 4]}, ()) for k in (0, 4, 8)]
    joined = parts[0].joined(parts[1:], {"x": x})
    np.testing.assert_allclose(joined.outputs["y"], whole.outputs["y"], atol=1e-6)
    for name in mixed.layers:
        np.testing.assert_array_equal(joined.counts[name], whole.counts[name])
        np.testing.assert_array_equal(joined.values[name], whole.values[name])
