"""How many samples and steps are compared with the reference."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluations import small_network

from snnconvert.backends.base import RunResult
from snnconvert.backends.cpu import parity
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import ParityError
from snnconvert.convert.network import Network

CHUNK = 64


def compared(network: Network, x: Any, steps: int, *, chunk: int = CHUNK) -> dict[str, Any]:
    simulation = ReferenceSimulation(network)
    return parity.compare_with_reference(simulation, x, steps, exact=True, chunk=chunk)


def allow(monkeypatch: pytest.MonkeyPatch, network: Network, steps: float) -> None:
    """Let so many steps of one sample be compared, whatever happens in them."""
    monkeypatch.setattr(parity, "PARITY_UPDATES", int(steps * network.neurons))


@pytest.mark.parametrize(
    ("allowed", "samples"), [(100.0, 3), (3.0, 3), (2.9, 2), (1.9, 1), (0.1, 1)]
)
def test_few_samples_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, allowed: float, samples: int
) -> None:
    network, x = small_network()
    allow(monkeypatch, network, allowed * 10)
    found = compared(network, x, 10)
    assert (found["samples"], found["differing_spikes"]) == (samples, 0)


def test_no_more_samples_than_there_are() -> None:
    network, x = small_network()
    one = {name: np.asarray(a[:1]) for name, a in x.items()}
    assert compared(network, one, 5)["samples"] == 1


def first_spikes(network: Network, x: Any, steps: int) -> dict[str, int]:
    one = {name: np.asarray(a[:1]) for name, a in x.items()}
    spikes = ReferenceSimulation(network).run(one, steps, record=("*",)).spikes
    return {name: int(np.flatnonzero(s.reshape(steps, -1).any(1))[0]) for name, s in spikes.items()}


def test_first_steps_until_every_population_has_spiked(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network()
    late = network.populations[-1]
    network = network.replace_nodes([replace(late, start=7)])
    allow(monkeypatch, network, 0)
    last = max(first_spikes(network, x, 40).values())
    assert 7 <= last < 39
    found = compared(network, x, 40)
    assert (found["samples"], found["timesteps"]) == (1, last + 1)
    assert found["spikes"] > 0
    allow(monkeypatch, network, last + 5)
    assert compared(network, x, 40)["timesteps"] == last + 5


def test_a_chunk_has_handed_its_states_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network()
    allow(monkeypatch, network, 0)
    assert compared(network, x, 40, chunk=30)["timesteps"] == 31
    assert compared(network, x, 40, chunk=40)["timesteps"] < 30


def test_all_steps_of_a_population_that_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network()
    dead = replace(network.populations[0], start=50)
    network = network.replace_nodes([dead])
    allow(monkeypatch, network, 0)
    assert compared(network, x, 40)["timesteps"] == 40


def test_a_readout_that_begins_late_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network()
    network = network.replace_nodes([replace(r, start=25) for r in network.readouts])
    allow(monkeypatch, network, 0)
    assert compared(network, x, 15)["timesteps"] == 26


def test_differences_in_the_first_steps_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small_network()
    allow(monkeypatch, network, 0)
    other = [replace(p, threshold=p.threshold / 2) for p in network.populations[-1:]]
    simulation = ReferenceSimulation(network.replace_nodes(other))
    simulation.executable = network
    with pytest.raises(ParityError, match="differs from the reference"):
        parity.compare_with_reference(simulation, x, 40, exact=True, chunk=CHUNK)


def test_results_without_recorded_spikes_are_compared_too() -> None:
    """Reports are made of such runs."""
    network, x = small_network()

    class Quicker(ReferenceSimulation):
        def run(self, x: Any, timesteps: int, **options: Any) -> RunResult:
            result = super().run(x, timesteps, **options)
            if not options.get("record"):
                next(iter(result.spike_counts.values()))[0, 0] += 1
            return result

    with pytest.raises(ParityError, match="where no spikes are recorded"):
        parity.compare_with_reference(Quicker(network), x, 10, exact=True, chunk=CHUNK)
