"""What a Network refuses, and what it tells."""

from dataclasses import replace

import numpy as np
import pytest

from snnconvert.convert.linear import Dense, Reshape
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
    with_reset,
)

ONE = np.ones(())


def population(name: str, *shape: int) -> Population:
    return Population(name, shape, ONE, ONE, ONE, ONE, ONE / 2)


NODES: tuple[NetworkNode, ...] = (
    Input("x", (4,)),
    population("p", 2, 2),
    Relay("r", (2, 2)),
    population("q", 2, 2),
    Readout("y", (4,), ONE, ONE, start=3),
)
WIRES = (
    Connection("x", "p", (Reshape((4,), (2, 2)),)),
    Connection("p", "r"),
    Connection("p", "q", delay=2),
    Connection("r", "q"),
    Connection("q", "y", (Reshape((2, 2), (4,)),)),
)


def network(*extra: Connection, nodes: tuple[NetworkNode, ...] = NODES) -> Network:
    return Network("small", nodes, (*WIRES, *extra))


def test_two_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="network 'small': node names are not unique"):
        network(nodes=(*NODES, population("p", 3)))


@pytest.mark.parametrize(("source", "target"), [("p", "missing"), ("missing", "p")])
def test_a_connection_to_no_node_is_refused(source: str, target: str) -> None:
    text = f"network 'small': connection {source} -> {target} names 'missing', which is no node"
    with pytest.raises(ValueError, match=text):
        network(Connection(source, target))


@pytest.mark.parametrize(("source", "target"), [("q", "p"), ("p", "p"), ("p", "x")])
def test_a_connection_against_the_order_is_refused(source: str, target: str) -> None:
    text = f"connection {source} -> {target} does not follow the order of the nodes"
    with pytest.raises(ValueError, match=text):
        network(Connection(source, target))


def test_a_connection_that_brings_another_shape_is_refused() -> None:
    text = r"network 'small': connection p -> y brings shape \(2, 2\), the target has \(4,\)"
    with pytest.raises(ValueError, match=text):
        network(Connection("p", "y"))


def test_an_operator_for_another_shape_is_refused() -> None:
    text = r"network 'small': connection p -> y has a Dense for shape \(4,\) where \(2, 2\) arrives"
    with pytest.raises(ValueError, match=text):
        network(Connection("p", "y", (Dense((4,), np.eye(4)),)))


def test_nodes_are_found_by_name_and_kind() -> None:
    small = network()
    assert small["q"] is NODES[3]
    assert small.inputs == (NODES[0],)
    assert small.populations == (NODES[1], NODES[3])
    assert small.relays == (NODES[2],)
    assert small.readouts == (NODES[4],)
    assert small.neurons == 8
    with pytest.raises(KeyError):
        small["nothing"]


def test_connections_are_found_by_their_ends() -> None:
    small = network()
    assert small.incoming("q") == (WIRES[2], WIRES[3])
    assert small.outgoing("p") == (WIRES[1], WIRES[2])
    assert small.incoming("x") == ()
    assert small.outgoing("y") == ()


def test_nodes_are_replaced_by_name() -> None:
    small = network()
    changed = small.replace_nodes([replace(small.populations[1], stop=7)])
    assert [n.name for n in changed.nodes] == [n.name for n in small.nodes]
    assert (changed.populations[1].stop, small.populations[1].stop) == (7, None)
    assert changed.incoming("q") == small.incoming("q")


def test_latency_is_that_of_the_last_readout() -> None:
    assert network().latency(10) == 13
    early = Readout("z", (4,), ONE, ONE, start=1)
    assert network(nodes=(*NODES, early)).latency(10) == 13
    assert Network("silent", NODES[:4], WIRES[:4]).latency(10) == 10


def test_the_reset_of_all_populations_is_set() -> None:
    small = network()
    assert small.reset == "subtract"
    hard = with_reset(small, "zero")
    assert hard.reset == "zero"
    assert {p.reset for p in hard.populations} == {"zero"}
    assert Network("empty", NODES[:1], ()).reset == "subtract"
