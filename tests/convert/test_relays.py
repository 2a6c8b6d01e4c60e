"""Inlining a relay keeps every spike, and happens where it pays."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from networks import Case, assert_same_run, cases

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import Chain, Dense, Scale
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay
from snnconvert.convert.relays import inline_relays

property_test = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
ONE, ZERO = np.ones(()), np.zeros(())


def population(name: str, size: int) -> Population:
    return Population(name, (size,), ONE, ONE, ONE, ZERO, ONE / 2)


def dense(rows: int, columns: int) -> Chain:
    return (Dense((columns,), np.ones((rows, columns)) / columns),)


def shared(width: int, targets: int, delays: tuple[int, int] = (0, 0)) -> Network:
    """One population of 8, a relay of `width`, and populations of 4 that read the relay."""
    readers = [population(f"p{i}", 4) for i in range(targets)]
    return Network(
        "shared",
        (
            Input("x", (8,)),
            population("source", 8),
            Relay("relay", (width,)),
            *readers,
            Readout("y", (4,), ZERO, ONE),
        ),
        (
            Connection("x", "source"),
            Connection("source", "relay", dense(width, 8), delays[0]),
            *(Connection("relay", p.name, dense(4, width), delays[1]) for p in readers),
            *(Connection(p.name, "y") for p in readers),
        ),
    )


@property_test
@given(cases("dyadic"))
def test_inlining_keeps_every_spike(case: Case) -> None:
    inlined = inline_relays(case.network, everything=True)
    assert not inlined.relays
    assert [n.name for n in inlined.nodes] == [
        n.name for n in case.network.nodes if not isinstance(n, Relay)
    ]
    before = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    after = ReferenceSimulation(inlined).run(case.samples, case.timesteps, record=("*",))
    assert_same_run(after, before)


@property_test
@given(cases("dyadic"))
def test_inlining_what_pays_keeps_every_spike(case: Case) -> None:
    before = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    after = ReferenceSimulation(inline_relays(case.network))
    assert_same_run(after.run(case.samples, case.timesteps, record=("*",)), before)


def test_a_narrow_relay_stays() -> None:
    """A bottleneck of 1: joined, its two factors would be one big matrix."""
    assert [r.name for r in inline_relays(shared(1, 3)).relays] == ["relay"]
    assert not inline_relays(shared(1, 3), everything=True).relays


def test_a_relay_that_only_copies_goes() -> None:
    network = shared(8, 2)
    copies = tuple(
        replace(c, operators=()) if c.target == "relay" else c for c in network.connections
    )
    inlined = inline_relays(replace(network, connections=copies))
    assert not inlined.relays
    assert [(c.source, c.target) for c in inlined.connections] == [
        ("x", "source"),
        ("p0", "y"),
        ("p1", "y"),
        ("source", "p0"),
        ("source", "p1"),
    ]


def test_delays_add_up() -> None:
    inlined = inline_relays(shared(8, 1, delays=(2, 3)), everything=True)
    (joined,) = inlined.incoming("p0")
    assert joined.delay == 5


def test_every_source_reaches_every_target() -> None:
    network = Network(
        "two by two",
        (
            Input("x", (3,)),
            Input("e", (3,), "events"),
            Relay("sum", (3,)),
            population("p", 3),
            Readout("y", (3,), ZERO, ONE),
        ),
        (
            Connection("x", "sum", (Scale((3,), ONE / 4),)),
            Connection("e", "sum"),
            Connection("sum", "p", (Scale((3,), ONE * 2),)),
            Connection("sum", "y"),
        ),
    )
    inlined = inline_relays(network, everything=True)
    assert {(c.source, c.target) for c in inlined.connections} == {
        ("x", "p"),
        ("x", "y"),
        ("e", "p"),
        ("e", "y"),
    }
    (merged,) = next(c for c in inlined.incoming("p") if c.source == "x").operators
    assert isinstance(merged, Scale)
    assert merged.factor == 0.5


def test_relays_behind_relays_are_inlined_too() -> None:
    network = Network(
        "chain",
        (Input("x", (2,)), Relay("a", (2,)), Relay("b", (2,)), Readout("y", (2,), ZERO, ONE)),
        (Connection("x", "a"), Connection("a", "b", delay=1), Connection("b", "y", delay=1)),
    )
    inlined = inline_relays(network)
    assert [(c.source, c.target, c.delay) for c in inlined.connections] == [("x", "y", 2)]


def test_a_network_without_relays_is_returned_as_it_is() -> None:
    network = inline_relays(shared(8, 1), everything=True)
    assert inline_relays(network) is network
