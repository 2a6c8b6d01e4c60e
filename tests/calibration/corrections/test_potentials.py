import numpy as np
import pytest

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.corrections.bias import correct_bias
from snnconvert.calibration.corrections.potentials import HIGHEST, correct_potentials
from snnconvert.calibration.replay import Drive, replay
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population
from tests.deep_networks import deep

T = 16
PARAMETERS = ("threshold", "amplitude", "scale", "bias", "v_init")


def corrected(
    graph: Graph, network: Network, samples: dict[str, FloatArray], correct: object
) -> Network:
    found = graph.evaluate(samples, [n.name for n in graph.activations])

    def apply(population: Population, drive: Drive) -> Population:
        assert callable(correct)
        result = correct(population, drive, found[str(population.tensor)], slice(None))
        assert isinstance(result, Population)
        return result

    return replay(network, samples, T, apply).network


def channel_offsets(network: Network, graph: Graph, samples: dict[str, FloatArray]) -> FloatArray:
    """Mean error of each channel of the last population, as a share of its threshold."""
    last = network.populations[-1]
    counts = ReferenceSimulation(network).run(samples, T).spike_counts[last.name]
    activations = graph.evaluate(samples, [last.name])[last.name]
    offset = (last.amplitude * counts / T - activations).mean(axis=(0, 2, 3), keepdims=True)[0]
    return np.asarray(offset / last.threshold)


@pytest.mark.parametrize("correct", [correct_potentials, correct_bias])
def test_the_mean_error_of_each_channel_shrinks(correct: object) -> None:
    graph, network, samples = deep()
    moved = corrected(graph, network, samples, correct)
    before, after = (
        np.abs(channel_offsets(net, graph, samples)).mean() for net in (network, moved)
    )
    assert after < 0.5 * before


@pytest.mark.parametrize(
    ("correct", "moves"), [(correct_potentials, "v_init"), (correct_bias, "bias")]
)
def test_only_its_own_parameter_moves(correct: object, moves: str) -> None:
    graph, network, samples = deep(depth=3)
    changed = 0
    result = corrected(graph, network, samples, correct)
    for before, after in zip(network.populations, result.populations, strict=True):
        changed += int((getattr(after, moves) != getattr(before, moves)).sum())
        for name in set(PARAMETERS) - {moves}:
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert changed > 10


def test_potentials_stay_below_the_threshold() -> None:
    graph, network, samples = deep()
    for after in corrected(graph, network, samples, correct_potentials).populations:
        assert after.v_init.shape == after.threshold.shape
        assert (after.v_init >= 0).all()
        assert (after.v_init <= HIGHEST * after.threshold).all()
