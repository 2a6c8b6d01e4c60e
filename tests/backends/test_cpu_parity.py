"""How many samples are compared with the reference."""

import numpy as np
import pytest
from evaluations import small_network

from snnconvert.backends.cpu import parity
from snnconvert.backends.reference import ReferenceSimulation


@pytest.mark.parametrize(
    ("allowed", "samples"), [(100.0, 3), (3.0, 3), (2.9, 2), (1.9, 1), (0.1, 1)]
)
def test_few_samples_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, allowed: float, samples: int
) -> None:
    network, x = small_network()
    monkeypatch.setattr(parity, "PARITY_UPDATES", int(allowed * network.neurons * 10))
    found = parity.compare_with_reference(ReferenceSimulation(network), x, 10, exact=True)
    assert (found["samples"], found["differing_spikes"]) == (samples, 0)


def test_no_more_samples_than_there_are() -> None:
    network, x = small_network()
    one = {name: np.asarray(a[:1]) for name, a in x.items()}
    found = parity.compare_with_reference(ReferenceSimulation(network), one, 5, exact=True)
    assert found["samples"] == 1
