"""Delays, gates and the mean, each alone in a small network."""

from typing import Any

import numpy as np
import pytest

from snnconvert.backends.base import decode
from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.processes import (
    GatedCurrent,
    MeanReadout,
    PresentSample,
    StepDelay,
    step_index,
)
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Input, Readout


def count(time: float) -> float:
    """Return 1, 2, 3, ... in successive steps of 1 ms."""
    return round(time * 1000)


def through(node: Any, *, synapse: Any = None, steps: int = 8, resets: int = 0) -> FloatArray:
    """Return what comes out of a node (None: passthrough) that receives 1, 2, 3, ..."""
    with nengo.Network() as network:
        source = nengo.Node(count)
        target = nengo.Node(node, size_in=1, size_out=1)
        nengo.Connection(source, target, synapse=synapse)
        probe = nengo.Probe(target)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        for _ in range(resets):
            simulator.run_steps(3)
            simulator.reset()
        simulator.run_steps(steps)
        return np.asarray(simulator.data[probe][:, 0].copy())


@pytest.mark.parametrize("resets", [0, 1])
@pytest.mark.parametrize("delay", [1, 2, 3, 7])
def test_a_delay_by_whole_steps(delay: int, resets: int) -> None:
    came = through(lambda time, x: x, synapse=StepDelay(delay), resets=resets)
    np.testing.assert_array_equal(came, np.maximum(np.arange(1, 9) - delay, 0))


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_a_restart_forgets_what_is_on_its_way(delay: int) -> None:
    came = through(lambda time, x: x, synapse=StepDelay(delay, restart_every=4))
    expected = [t - delay if (t - 1) % 4 >= delay else 0 for t in range(1, 9)]
    np.testing.assert_array_equal(came, expected)


def test_one_step_equals_nengos_synapse_0() -> None:
    one = through(lambda time, x: x, synapse=StepDelay(1))
    np.testing.assert_array_equal(one, through(lambda time, x: x, synapse=0))


@pytest.mark.parametrize("resets", [0, 1])
def test_the_mean_since_the_window_opened(resets: int) -> None:
    """The sum is that of all steps, as in the reference; it is divided by those of the window."""
    scale = np.array([2000.0])  # 2 in ANN units; currents are spikes a second
    readout = Readout("y", (1,), np.zeros(1), scale, start=2)
    expected = [0.0, 0.0, *(2 * np.cumsum(np.arange(1, 9))[2:] / np.arange(1, 7))]
    np.testing.assert_allclose(through(MeanReadout(readout), resets=resets), expected)


@pytest.mark.parametrize("resets", [0, 1])
@pytest.mark.parametrize("discard", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("rising", [False, True])
def test_it_decodes_as_every_backend(rising: bool, discard: float, resets: int) -> None:
    scale = np.array([0.3])
    readout = Readout("y", (1,), np.zeros(1), scale, start=1, discard=discard, rising=rising)
    sums = np.cumsum(np.arange(1, 9))[1:] / 1000
    # 1, 2, 3, ... Hz are no whole spikes: equal up to rounding here, exactly in whole networks
    expected = np.concatenate([[0.0], decode(readout, sums[:, None, None])[:, 0, 0]])
    np.testing.assert_allclose(through(MeanReadout(readout), resets=resets), expected)
    again = through(MeanReadout(readout, restart_every=4), resets=resets)
    later = decode(readout, np.cumsum(np.arange(5, 9))[1:, None, None] / 1000)[:, 0, 0]
    np.testing.assert_allclose(again, np.concatenate([expected[:4], [0.0], later]))


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, None, [3, 3, 3, 3]), (1, 3, [0, 3, 3, 0]), (2, None, [0, 0, 3, 3]), (1, 1, [0] * 4)],
)
def test_a_gated_current(start: int, stop: int | None, expected: list[int]) -> None:
    process = GatedCurrent(np.array([3.0]), start, stop)
    np.testing.assert_array_equal(process.run_steps(4)[:, 0], expected)


def test_a_window_of_the_input_gates_what_others_send() -> None:
    present = PresentSample(Input("x", (1,), start=1, stop=4, grid=0.5), dt=0.001)
    present.sample = np.array([10.2])
    np.testing.assert_array_equal(through(present), [0, 12, 13, 14, 0, 0, 0, 0])


def test_what_others_send_is_rounded_to_the_grid() -> None:
    present = PresentSample(Input("x", (1,), grid=4.0), dt=0.001)
    np.testing.assert_array_equal(through(present), [0, 0, 4, 4, 4, 8, 8, 8])  # halves to even


def test_frames_of_events() -> None:
    present = PresentSample(Input("x", (1,), encoding="events", start=2, grid=1.0), dt=0.001)
    present.sample = np.array([[1.0], [0.0], [2.0]])
    # 1, 2, ... Hz are less than half an event of height 1/dt: rounded to none
    np.testing.assert_array_equal(through(present), [0, 0, 1000, 0, 2000, 0, 0, 0])
    with nengo.Network() as network:
        eye = nengo.Node(lambda time: 3000.0 * (step_index(time, 1000) == 3))
        node = nengo.Node(present)
        nengo.Connection(eye, node, synapse=None)
        probe = nengo.Probe(node)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(6)
        np.testing.assert_array_equal(simulator.data[probe][:, 0], [0, 0, 1000, 3000, 2000, 0])


@pytest.mark.parametrize("dt", [0.001, 0.002, 1 / 3, 1 / 7, 1.0, 0.0001])
def test_steps_are_counted_exactly_for_long(dt: float) -> None:
    steps = np.arange(200_000)
    times = (steps + 1) * dt
    assert [step_index(t, round(1 / dt)) for t in times[-1000:]] == list(steps[-1000:])
