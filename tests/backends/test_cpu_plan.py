"""Number types, and steps and samples at a time."""

import os
from dataclasses import replace

import numpy as np
import pytest

from snnconvert.backends.cpu import plan as planning
from snnconvert.backends.cpu.plan import free_memory, make_plan, number_types
from snnconvert.convert.linear import Chain, Dense, SumPool, Window
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Relay
from snnconvert.convert.snap import Executable, snap

ONE = np.ones(())


def dense(rng: np.random.Generator, rows: int, columns: int) -> Chain:
    return (Dense((columns,), rng.standard_normal((rows, columns))),)


def population(name: str, size: int) -> Population:
    return Population(name, (size,), ONE, ONE, ONE, np.zeros(()), ONE / 2)


def two_layers(rng: np.random.Generator, size: int) -> Executable:
    nodes = (
        Input("x", (size,)),
        population("a", size),
        population("b", size),
        Readout("y", (2,), ONE, ONE),
    )
    wires = (
        Connection("x", "a", dense(rng, size, size)),
        Connection("a", "b", dense(rng, size, size)),
        Connection("b", "y", dense(rng, 2, size)),
    )
    return snap(Network("two", nodes, wires))


def test_sums_of_spikes_are_single_and_analog_values_double(rng: np.random.Generator) -> None:
    nodes = (
        Input("x", (4,)),
        Input("e", (4,), "events"),
        population("current", 4),
        population("events", 4),
        Relay("bypass", (4,)),
        Relay("shared", (4,)),
        population("mixed", 4),
        population("last", 4),
        Readout("y", (4,), ONE, ONE),
    )
    wires = (
        Connection("x", "current", dense(rng, 4, 4)),
        Connection("e", "events", dense(rng, 4, 4)),
        Connection("x", "bypass", dense(rng, 4, 4)),
        Connection("current", "bypass", dense(rng, 4, 4)),
        Connection("current", "shared"),
        Connection("bypass", "mixed", dense(rng, 4, 4)),
        Connection("shared", "mixed", dense(rng, 4, 4)),
        Connection("shared", "last", dense(rng, 4, 4)),
        Connection("last", "y", dense(rng, 4, 4)),
    )
    sums, sends = number_types(snap(Network("types", nodes, wires)))
    double = {name for name, dtype in sums.items() if dtype == np.float64}
    assert double == {"events", "bypass", "mixed"}
    assert {name for name, dtype in sends.items() if dtype == np.float64} == {"x", "e", "bypass"}


def test_a_node_without_a_float32_grid_is_summed_in_float64(rng: np.random.Generator) -> None:
    """A weak and a strong connection meet: 23 bits cannot hold both."""
    weak = replace(dense(rng, 4, 4)[0], weight=np.full((4, 4), 2.0**-20))  # type: ignore[call-arg]
    nodes = (Input("x", (4,)), population("a", 4), population("b", 4))
    wires = (
        Connection("x", "a"),
        Connection("a", "b", dense(rng, 4, 4)),
        Connection("a", "b", (weak,)),
    )
    executable = snap(Network("far apart", nodes, wires))
    assert executable.single == {"a"}
    assert number_types(executable)[0] == {"a": np.float32, "b": np.float64}


def test_memory_decides_the_pieces(rng: np.random.Generator) -> None:
    executable = two_layers(rng, 100)
    plans = [make_plan(executable, 2, memory) for memory in (10**4, 10**5, 10**6, 10**9)]
    work = [plan.threads * plan.chunk * plan.batch for plan in plans]
    assert work == sorted(work)
    assert (plans[0].threads, plans[0].batch) == (1, 1)
    assert plans[0].chunk < planning.LONGEST_CHUNK == plans[-1].chunk
    widest = 4 * 100 * planning.LONGEST_CHUNK * plans[-1].batch
    assert widest <= planning.WORKING_SET


def test_a_working_set_beyond_the_cache_is_one_sample() -> None:
    window = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    shape = (64, 112, 112)
    big = replace(population("a", 1), shape=shape)
    nodes = (Input("x", shape), big, Readout("y", (64, 56, 56), ONE, ONE))
    network = Network("big", nodes, (Connection("x", "a"),
                                     Connection("a", "y", (SumPool(shape, window),))))  # fmt: skip
    plan = make_plan(snap(network), 1, 10**10)
    assert (plan.chunk, plan.batch) == (planning.LONGEST_CHUNK, 1)


def test_memory_is_planned_where_the_system_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_memory() < 2**50
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}[name])
    with pytest.raises(KeyError):
        free_memory()
    monkeypatch.delattr(os, "sysconf")
    assert free_memory() == planning.UNKNOWN_MEMORY
