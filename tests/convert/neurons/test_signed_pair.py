"""Why there is no signed neuron made of two plain ones: docs/neurons.md, "Two populations".

An *anti* population that listens to the negated input and to the spikes of the first one, and whose
spikes count negatively, is the obvious way to take spikes back with plain neurons. These
experiments show where it goes wrong; the signed neuron gets the same input.
"""

from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import FloatArray, Scale
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

ONES = np.ones(())


def population(name: str, neuron: str = "if") -> Population:
    return Population(
        name,
        (1,),
        threshold=ONES,
        amplitude=ONES,
        scale=ONES,
        bias=np.zeros(()),
        v_init=np.zeros(()),
        neuron=neuron,
    )


def times(factor: float) -> tuple[Scale]:
    return (Scale((1,), np.asarray(factor)),)


def units(number: int) -> Network:
    """One plain neuron and correctors of alternating sign, each of the sum of those before it."""
    nodes = [population(f"p{k}") for k in range(number)]
    connections = []
    for k, unit in enumerate(nodes):
        sign = (-1.0) ** k
        connections.append(Connection("x", unit.name, times(sign)))
        for j in range(k):
            connections.append(Connection(nodes[j].name, unit.name, times(-sign * (-1.0) ** j)))
        connections.append(Connection(unit.name, "y", times(sign)))
    readout = Readout("y", (1,), np.zeros(()), ONES)
    return Network("units", (Input("x", (1,), "events"), *nodes, readout), tuple(connections))


def sent(network: Network, currents: FloatArray) -> int:
    """The sum of all spikes at the end, once nothing more arrives."""
    rest = np.concatenate([currents, np.zeros(2 * int(np.abs(currents).sum()) + 1)])
    output = ReferenceSimulation(network).run(rest[None, :, None], len(rest)).logits
    return round(float(output[-1, 0, 0]) * len(rest))


def signed() -> Network:
    one = units(1)
    return one.replace_nodes(replace(p, neuron="signed") for p in one.populations)


@pytest.mark.parametrize("charge", [-5.0, -1.0, 0.0, 3.0])
def test_a_pair_is_linear_where_the_relu_is_zero(charge: float) -> None:
    """The anti neuron cannot know that there is nothing to take back."""
    currents = np.array([charge])
    assert sent(signed(), currents) == max(charge, 0.0)
    assert sent(units(2), currents) == charge


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_corrector_follows_one_turn_of_the_input(number: int) -> None:
    """Charge that rises and falls n times needs n units; what comes after is lost."""
    ramps = np.concatenate([np.full(4, (-1.0) ** turn) for turn in range(6)])
    for turns in range(1, 7):
        given = ramps[: 4 * turns]
        answers = sent(signed(), given), sent(units(number), given)
        truth = 4 if turns % 2 else 0
        followed = min(turns, number)
        assert answers == (truth, 4 if followed % 2 else 0)


def test_correctors_answer_what_is_under_way() -> None:
    """A third unit sees charge that the first is still answering, and answers it again."""
    assert sent(units(3), np.array([4.0])) == 6
    assert sent(signed(), np.array([4.0])) == 4
