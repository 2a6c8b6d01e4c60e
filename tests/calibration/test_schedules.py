"""Windows and delays by hand on small networks, and the law that staging keeps on random ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.calibration.schedules import apply_schedule, parse_schedule
from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)
from tests.networks import Case, cases


def population(name: str) -> Population:
    one = np.array(1.0)
    return Population(name, (2,), one, one, one, np.array(0.25), np.array(0.5))


def readout(name: str = "out") -> Readout:
    return Readout(name, (2,), np.array(0.5), np.array(1.0), discard=0.25, rising=True)


def network(nodes: list[NetworkNode], edges: list[tuple[str, str]]) -> Network:
    return Network("net", tuple(nodes), tuple(Connection(s, t) for s, t in edges))


def residual() -> Network:
    """X -> a -> b -> c with a skip from a to c, read out from a and c."""
    return network(
        [Input("x", (2,)), *map(population, "abc"), readout()],
        [("x", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", "out"), ("a", "out")],
    )


def read(net: Network) -> list[str]:
    """The populations that a readout depends on: a run ends before others have fired."""
    needed = {r.name for r in net.readouts}
    for node in reversed(net.nodes):
        if node.name in needed:
            needed.update(c.source for c in net.incoming(node.name))
    return [p.name for p in net.populations if p.name in needed]


def windows(net: Network) -> dict[str, tuple[int, int | None, int, int | None]]:
    return {p.name: (p.start, p.stop, p.bias_start, p.bias_stop) for p in net.populations}


def delays(net: Network) -> dict[str, int]:
    return {f"{c.source}-{c.target}": c.delay for c in net.connections}


def test_none_changes_nothing() -> None:
    net = residual()
    assert apply_schedule(net, "none", 8) == (net, ())
    assert apply_schedule(net, 0, 8) == (net, ())


def test_a_short_hold_off_aligns_every_path() -> None:
    staged, _ = apply_schedule(residual(), 3, 8)
    assert windows(staged) == {"a": (0, 8, 0, 8), "b": (3, 11, 0, 8), "c": (6, 14, 3, 11)}
    assert delays(staged) == {"x-a": 0, "a-b": 0, "b-c": 0, "a-c": 3, "c-out": 0, "a-out": 6}
    assert staged.inputs[0].stop == 8
    out = staged.readouts[0]
    assert (out.start, out.discard, out.rising) == (6, 0.0, False)
    assert (out.bias_start, out.bias_stop) == (6, 14)
    assert staged.timesteps == 8
    assert staged.latency(8) == 14


def test_full_needs_no_delay_into_populations() -> None:
    for schedule in ("full", 8):
        staged, notes = apply_schedule(residual(), schedule, 8)
        assert windows(staged) == {"a": (0, 8, 0, 8), "b": (8, 16, 0, 8), "c": (16, 24, 8, 16)}
        assert delays(staged) == {"x-a": 0, "a-b": 0, "b-c": 0, "a-c": 0, "c-out": 0, "a-out": 16}
        assert notes == ()


def test_a_relay_waits_for_its_last_source_and_adds_no_hold_off() -> None:
    net = network(
        [Input("x", (2,)), population("a"), population("b"), Relay("r", (2,)),
         population("c"), readout()],
        [("x", "a"), ("a", "b"), ("a", "r"), ("b", "r"), ("r", "c"), ("r", "out"), ("a", "c")],
    )  # fmt: skip
    staged, _ = apply_schedule(net, 4, 8)
    assert windows(staged)["c"] == (8, 16, 4, 12)
    assert delays(staged) == {
        "x-a": 0, "a-b": 0, "a-r": 4, "b-r": 0, "r-c": 0, "r-out": 0, "a-c": 4,
    }  # fmt: skip
    assert staged.readouts[0].start == 4
    assert delays(apply_schedule(net, "full", 8)[0])["a-r"] == 8


def test_analog_currents_alone_need_no_hold_off_but_join_others_in_time() -> None:
    net = network(
        [Input("x", (2,)), Relay("r", (2,)), population("a"), population("b"), readout()],
        [("x", "r"), ("r", "a"), ("a", "b"), ("x", "b"), ("b", "out"), ("x", "out")],
    )
    staged, _ = apply_schedule(net, 3, 8)
    assert windows(staged) == {"a": (0, 8, 0, 8), "b": (3, 11, 0, 8)}
    assert delays(staged) == {"x-r": 0, "r-a": 0, "a-b": 0, "x-b": 0, "b-out": 0, "x-out": 3}


def test_events_are_no_constant_current() -> None:
    net = network(
        [Input("x", (2,), encoding="events"), population("a"), readout()],
        [("x", "a"), ("a", "out")],
    )
    assert windows(apply_schedule(net, "full", 8)[0]) == {"a": (8, 16, 0, 8)}


@pytest.mark.parametrize("holdoff", [1, 4, 11])
def test_a_short_hold_off_of_a_long_run_is_warned_of(holdoff: int) -> None:
    assert apply_schedule(residual(), holdoff, 16)[1] == (
        f"a hold-off of {holdoff} steps loses accuracy at 16 timesteps: plain neurons need at "
        "least 12; use --schedule none or full",
    )


@pytest.mark.parametrize(("holdoff", "timesteps"), [(12, 16), (20, 16), (3, 15)])
def test_no_warning_where_the_hold_off_helps(holdoff: int, timesteps: int) -> None:
    assert apply_schedule(residual(), holdoff, timesteps)[1] == ()


def test_reset_to_zero_is_warned_of() -> None:
    net = residual()
    net = net.replace_nodes(replace(p, reset="zero") for p in net.populations)
    assert "reset by subtraction only" in apply_schedule(net, "full", 8)[1][0]


@pytest.mark.parametrize(
    ("schedule", "holdoff"), [("none", 0), ("full", 8), ("5", 5), (5, 5), ("0", 0), (" 3 ", 3)]
)
def test_what_a_schedule_may_be(schedule: str | int, holdoff: int) -> None:
    assert parse_schedule(schedule, 8) == holdoff


@pytest.mark.parametrize(
    ("schedule", "hint"),
    [
        ("ful", "did you mean 'full'?"),
        (-1, "use none, full, auto or a number of steps"),
        ("1.5", "use none, full, auto or a number of steps"),
        ("", "use none, full, auto or a number of steps"),
    ],
)
def test_what_it_may_not_be(schedule: str | int, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_schedule(residual(), schedule, 8)
    assert caught.value.message == f"unknown schedule {str(schedule)!r}"
    assert caught.value.hint == hint


@settings(max_examples=150)
@given(cases("dyadic", staged=False, resets=("subtract",)), st.integers(0, 3))
def test_a_fully_staged_network_is_the_quantised_one_bit_for_bit(case: Case, extra: int) -> None:
    timesteps = case.timesteps
    expected = quantised_forward(case.network, case.samples, timesteps)
    for schedule in ("full", timesteps + extra):
        staged, _ = apply_schedule(case.network, schedule, timesteps)
        result = ReferenceSimulation(staged).run(case.samples, timesteps)
        for name in read(case.network):
            np.testing.assert_array_equal(result.spike_counts[name], expected[name], err_msg=name)
        for name, decoded in result.outputs.items():
            np.testing.assert_array_equal(decoded[-1], expected[name], err_msg=name)
        assert result.latency == max(r.start for r in staged.readouts)


@settings(max_examples=50)
@given(cases("dyadic", staged=False, resets=("subtract",)), st.integers(1, 6))
def test_all_charge_of_a_sample_reaches_a_neuron_under_any_schedule(
    case: Case, holdoff: int
) -> None:
    """Readouts integrate all spikes sent: their last value follows from the counts alone."""
    staged, _ = apply_schedule(case.network, holdoff, case.timesteps)
    simulation = ReferenceSimulation(staged)
    result = simulation.run(case.samples, case.timesteps)
    longer = replace(
        staged,
        nodes=tuple(
            replace(n, start=n.start + 5) if isinstance(n, Readout) else n for n in staged.nodes
        ),
    )
    later = ReferenceSimulation(longer).run(case.samples, case.timesteps)
    for name in read(case.network):
        np.testing.assert_array_equal(later.spike_counts[name], result.spike_counts[name])
    for name, decoded in result.outputs.items():
        np.testing.assert_array_equal(later.outputs[name][-1], decoded[-1])
