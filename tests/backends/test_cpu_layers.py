"""Layers that compute with spikes as bits: taps, integers, the choice of kernels, compiled code."""

import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_choice import METHODS, always
from networks import Case, assert_same_run, cases

from snnconvert.backends.base import prepare
from snnconvert.backends.cpu import CpuBackend, CpuSimulation
from snnconvert.backends.cpu.arena import LEAST, LINE, Arena
from snnconvert.backends.cpu.calls import Calls, Workspace, _together, _waiting, split
from snnconvert.backends.cpu.choose import cheapest, density
from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.fixed_point import fixed_point
from snnconvert.backends.cpu.kernels import native
from snnconvert.backends.cpu.kernels.emitter import LONG, Emitter
from snnconvert.backends.cpu.kernels.index import events_of
from snnconvert.backends.cpu.kernels.layer import Method
from snnconvert.backends.cpu.kernels.sequence import OPEN, sequence_kernel
from snnconvert.backends.cpu.layout import stored_shape
from snnconvert.backends.cpu.sent import to_bits, to_frames
from snnconvert.backends.cpu.taps import Taps, _distinct, as_rows, channels_of, taps_of
from snnconvert.backends.kernel_cache import cache_folder
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    FloatArray,
    Matrix,
    apply_chain,
    chain_output_shape,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Reset

many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def applied(taps: Taps, x: FloatArray, outputs: int) -> FloatArray:
    """Map (positions, channels) by the taps, one after the other."""
    out = np.zeros((len(taps.starts) - 1, outputs))
    for position in range(len(out)):
        for tap in range(taps.starts[position], taps.starts[position + 1]):
            weights, arrived = taps.weights[taps.blocks[tap]], x[taps.sources[tap]]
            if not taps.diagonal:
                out[position] += arrived @ weights
                continue
            for channel in np.flatnonzero(weights):
                out[position, channel] += weights[channel] * arrived[channel + taps.shift]
    return out


@many
@given(cases(), st.integers(0, 2**32 - 1))
def test_taps_are_the_chain(case: Case, seed: int) -> None:
    for connection in case.network.connections:
        chain, source = connection.operators, case.network[connection.source].shape
        target = chain_output_shape(chain, source)
        taps = taps_of(chain, source)
        assert taps is not None
        x = np.random.default_rng(seed).standard_normal((1, *source))
        by_position = x.reshape(channels_of(source), -1).T
        expected = apply_chain(chain, x)[0].reshape(channels_of(target), -1).T
        forms = [taps, as_rows(taps, channels_of(source))] if taps.diagonal else [taps]
        for form in forms:
            assert form is not None
            out = applied(form, by_position, channels_of(target))
            np.testing.assert_allclose(out, expected, atol=1e-9)


def test_a_convolution_has_a_block_for_each_place_in_its_kernel() -> None:
    weight = np.arange(2 * 3 * 9, dtype=float).reshape(2, 3, 3, 3)
    taps = taps_of((Convolution((3, 9, 9), weight, (2, 2), ((1, 1),) * 2, (1, 1)),), (3, 9, 9))
    assert taps is not None
    assert taps.weights.shape == (9, 3, 2)
    assert (len(taps.starts) - 1, len(taps.sources)) == (25, 13 * 13)


def test_a_depthwise_convolution_has_one_weight_a_channel() -> None:
    weight = np.ones((4, 1, 3, 3))
    taps = taps_of((Convolution((4, 6, 6), weight, (1, 1), ((1, 1),) * 2, (1, 1), 4),), (4, 6, 6))
    assert taps is not None
    assert taps.diagonal
    assert taps.weights.shape == (9, 4)


def test_taps_that_are_too_many_are_left_to_dense_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snnconvert.backends.cpu.taps.MOST_ENTRIES", 10)
    weight = np.ones((4, 2, 3, 3))
    grouped = Convolution((4, 6, 6), weight, (1, 1), ((1, 1),) * 2, (1, 1), 2)
    assert taps_of((grouped,), (4, 6, 6)) is None


def population(channels: int, **options: Any) -> Population:
    one = np.ones(())
    values = {"threshold": one, "bias": np.asarray(0.25), "v_init": np.asarray(0.5), **options}
    return Population("p", (channels,), amplitude=one, scale=one, **values)


def one_block(weights: FloatArray) -> Taps:
    first = np.zeros(1, np.int64)
    return Taps(np.array([0, 1]), first, first, weights[None])


def test_integers_are_units_of_a_power_of_two() -> None:
    weights = np.array([[0.5, -0.125], [1.5, 0.0]])
    numbers = fixed_point(population(2), [one_block(weights)])
    assert numbers is not None
    assert numbers.unit == 0.125
    np.testing.assert_array_equal(numbers.weights[0][0], [[4, -1], [12, 0]])
    assert (numbers.bias[0, :2] == 2).all()
    assert (numbers.threshold[0, :2] == 8).all()
    assert (numbers.v_init[0, :2] == 4).all()
    assert numbers.narrow
    assert numbers.longest == (2**31 - 2 - 8) // 18


WIDTHS = [
    (2**7 - 1, True, 1, 0),
    (2**7, True, 2, 0),
    (2**14, True, 2, 0),
    (2**15 - 1, False, 2, 0),
    (2**15, False, 4, 0),
]


@pytest.mark.parametrize(("largest", "narrow", "weight_bytes", "together"), WIDTHS)
def test_sums_and_weights_of_few_bits_are_seen(
    largest: int, narrow: bool, weight_bytes: int, together: int
) -> None:
    nothing = np.zeros(())
    node = population(1, threshold=np.ones(()), bias=nothing, v_init=nothing)
    numbers = fixed_point(node, [one_block(np.array([[float(largest)], [1.0]]))])
    assert numbers is not None
    assert (numbers.unit, numbers.narrow) == (1.0, narrow)
    assert (numbers.weight_bytes, numbers.rows_together) == (weight_bytes, together)


def test_rows_that_are_summed_in_16_bits_are_as_many_as_fit() -> None:
    taps = one_block(np.concatenate([np.full((600, 1), 100.0), [[1.0]]]))
    numbers = fixed_point(population(1), [taps])
    assert numbers is not None
    assert (numbers.narrow, numbers.weight_bytes, numbers.rows_together) == (False, 2, 81)


def test_numbers_beyond_32_bits_are_left_to_dense_operators() -> None:
    assert fixed_point(population(1), [one_block(np.array([[2.0**20 + 2.0**-20]]))]) is None


def test_a_run_too_long_for_32_bits_is_left_to_dense_operators() -> None:
    """Voltages may fall by the whole sum in every step."""
    weight = np.full((1, 4), -1.0 - 2.0**-20)
    one = np.ones(())
    first = replace(population(4), name="a", bias=np.asarray(1.0))
    second = replace(population(1), name="b", shape=(1,))
    readout = Readout("y", (1,), np.zeros(()), one)
    network = Network(
        "n",
        (first, second, readout),
        (Connection("a", "b", (Dense((4,), weight),)), Connection("b", "y")),
    )
    simulation = CpuBackend().emit(network)
    assert simulation.program.layers_for(256).keys() == {"a", "b", "y"}
    assert simulation.program.layers_for(4000).keys() == {"a", "y"}


def test_a_readout_is_never_too_long_for_32_bits() -> None:
    """Its sums are those of single steps; they are added up in float64."""
    taps = one_block(np.full((4, 1), -1.0 - 2.0**-20))
    numbers = fixed_point(Readout("y", (1,), np.zeros(()), np.ones(())), [taps])
    assert numbers is not None
    assert numbers.longest > 2**40
    too_much = one_block(np.full((2**11 + 1, 1), 1.0 + 2.0**-20))
    numbers = fixed_point(Readout("y", (1,), np.zeros(()), np.ones(())), [too_much])
    assert numbers is not None
    assert numbers.longest == 0


def layer_of(channels: int, inputs: int) -> EventLayer:
    weights = np.random.default_rng(3).integers(-3000, 3000, (inputs, channels)) * 2.0**-12
    taps = one_block(weights)
    node = population(channels)
    numbers = fixed_point(node, [taps])
    assert numbers is not None
    return EventLayer(node, [taps], numbers, Arena())


def arriving(inputs: int, share: float) -> Arriving:
    spikes = np.random.default_rng(5).random((1, 1, 32, inputs)) < share
    return Arriving(0, np.packbits(spikes, axis=-1, bitorder="little"), 0)


@pytest.mark.usefixtures("without_tiles")
def test_quiet_wide_layers_take_events_and_busy_narrow_ones_patterns() -> None:
    assert cheapest(layer_of(512, 1024), [arriving(1024, 0.02)], 32, 32) == "events"
    assert cheapest(layer_of(16, 16), [arriving(16, 0.2)], 32, 32) == "patterns"
    assert cheapest(layer_of(32, 512), [arriving(512, 0.3)], 32, 32) == "short_patterns"
    assert density(arriving(1024, 0.25), 32) == pytest.approx(0.25, abs=0.01)


@pytest.mark.usefixtures("without_tiles")
def test_the_choice_is_made_once_from_the_spikes_of_the_run() -> None:
    layer = layer_of(16, 16)
    simulation = CpuBackend().emit(Network("n", (population(16),), ()))
    assert simulation.program.method(layer, [arriving(16, 0.2)], 32, 32) == "patterns"
    assert simulation.program.method(layer, [arriving(16, 0.0)], 32, 32) == "patterns"


FORMS: list[tuple[Method, int, int, int, int, str]] = [
    ("patterns", 33, 48, 3, 32, "patterns_16x3x1_2x6_narrow"),
    ("patterns", 130, 64, 3, 32, "patterns_32x2x1_2x0_narrow"),
    ("patterns", 16, 130, 2**14, 32, "patterns_16x3x3_2x2_wide"),
    ("short_patterns", 33, 48, 3, 32, "short_patterns_16x3x1_2x6_narrow"),
    ("short_patterns", 130, 64, 3, 32, "short_patterns_32x2x1_2x0_narrow"),
    ("short_patterns", 16, 130, 2**14, 32, "short_patterns_16x3x3_2x2_wide"),
    ("short_patterns", 64, 32, 2**14, 64, "short_patterns_16x2x1_2x8_wide"),
    ("events", 130, 256, 3, 64, "events_32x8x1_1x0_narrow_rows8"),
    ("events", 130, 256, 3, 32, "events_32x4x2_1x0_narrow_rows8"),
    ("events", 130, 48, 3, 16, "events_16x3x1_1x0_narrow_rows8"),
    ("events", 9, 96, 255, 32, "events_32x3x1_1x0_narrow"),
    ("events", 130, 128, 200, 64, "events_32x4x1_1x0_wide_rows16_by40"),
    ("events", 330, 96, 31, 16, "events_32x1x3_1x0_wide_rows8_by264"),
    ("events", 130, 80, 2**14, 32, "events_16x1x5_1x0_wide_rows16"),
    ("events", 130, 80, 2**14, 64, "events_16x5x1_1x0_wide_rows16"),
    ("events", 20, 272, 2**16, 32, "events_16x1x17_1x0_wide"),
]


@pytest.mark.parametrize(("method", "inputs", "channels", "largest", "registers", "form"), FORMS)
@pytest.mark.parametrize(("reset", "shift"), [("subtract", -8), ("zero", 16)])
def test_wide_layers_equal_the_reference(
    method: Method,
    inputs: int,
    channels: int,
    largest: int,
    registers: int,
    form: str,
    reset: Reset,
    shift: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several vectors and blocks of channels, every width of number, chunks, delays, threads.

    Blocks are those for registers of any width: kernels run on all processors.
    """
    monkeypatch.setattr(native.processor(), "register_bytes", registers)
    monkeypatch.setattr("snnconvert.backends.cpu.program.cheapest", always(method))
    rng = np.random.default_rng(largest)
    unit = 2.0 ** -np.ceil(np.log2(largest * np.sqrt(inputs)))
    weight = rng.integers(-largest, largest + 1, (channels, inputs, 3, 3)) * unit
    rows, columns = (np.arange(4)[:, None] + 4 * np.arange(channels) + 4 * k for k in (0, shift))
    inside = (columns >= 0) & (columns < 4 * inputs)
    ones = np.full(int(inside.sum()), largest * unit)
    shape = (4 * channels, 4 * inputs)
    moved = Matrix(
        (inputs, 2, 2),
        sp.csr_array((ones, (rows[inside], columns[inside])), shape),
        (channels, 2, 2),
    )
    bias = rng.integers(0, 40, (inputs, 2, 2)) / 64
    source = replace(population(inputs, bias=bias), name="a", shape=(inputs, 2, 2))
    thresholds = rng.choice([0.5, 1.0, 2.0], (channels, 1, 1))
    layer = replace(population(channels, threshold=thresholds), shape=(channels, 2, 2), reset=reset)
    convolution = Convolution(source.shape, weight, (1, 1), ((1, 1), (1, 1)), (1, 1))
    network = Network(
        "n",
        (Input("x", (1,), bound=1.0), source, layer),
        (Connection("a", "p", (convolution,), 2), Connection("a", "p", (moved,), 1)),
    )
    simulation = CpuSimulation(prepare(network), threads=3)
    simulation.plan = replace(simulation.plan, chunk=6)
    compiled = simulation.program.layers["p"]
    assert isinstance(compiled, EventLayer)
    assert [taps.diagonal for taps in compiled.feeds] == [False, True]
    assert compiled.form(method, 6).name.startswith(form)
    result = simulation.run(np.zeros((2, 1)), 17, record=("*",))
    reference = ReferenceSimulation(simulation.executable)
    assert_same_run(result, reference.run(np.zeros((2, 1)), 17, record=("*",)))
    assert 0.01 < result.spikes["p"].mean() < 0.99


def test_nothing_is_chosen_before_spikes_may_arrive() -> None:
    """Behind a delay the bias alone flows first: it says nothing about what is cheapest."""
    dense = Dense((16,), np.full((16, 16), 2.0**-6))
    first, second = (replace(population(16), name=name) for name in "ab")
    nodes = (Input("x", (1,), bound=1.0), first, second)
    simulation = CpuBackend().emit(Network("n", nodes, (Connection("a", "b", (dense,), 3),)))
    simulation.run(np.zeros((1, 1)), 3)
    assert simulation.program.how("b") == "integers"


def test_nothing_is_chosen_before_rows_arrive() -> None:
    """A shortcut that comes first says nothing about what the rows behind it cost."""
    dense = Dense((16,), np.full((16, 16), 2.0**-6))
    first, second = (replace(population(16), name=name) for name in "ab")
    nodes = (Input("x", (1,), bound=1.0), first, second)
    both = (Connection("a", "b", (dense,), 3), Connection("a", "b"))
    simulation = CpuBackend().emit(Network("n", nodes, both))
    simulation.run(np.zeros((1, 1)), 3)
    assert simulation.program.how("b") == "integers"
    simulation.run(np.zeros((1, 1)), 6)
    assert simulation.program.how("b") != "integers"
    alone = CpuBackend().emit(Network("n", nodes, both[1:]))
    alone.run(np.zeros((1, 1)), 3)
    assert alone.program.how("b") != "integers"


def test_spikes_in_other_steps_do_not_count() -> None:
    """The memory of steps in which a source sends nothing is never written."""
    bits = np.full((1, 1, 8, 2), 0xFF, np.uint8)
    bits[:, :, 2:5] = 0b11
    assert density(Arriving(0, bits, 2), 3) == 0.25


@pytest.mark.usefixtures("without_tiles")
def test_tables_of_feeds_that_bring_nothing_yet_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnconvert.backends.cpu.choose.MOST_TABLE", 2**18)
    node, taps = population(16), [one_block(np.ones((n, 16))) for n in (16, 1024)]
    numbers = fixed_point(node, taps)
    assert numbers is not None
    layer = EventLayer(node, taps, numbers, Arena())
    assert cheapest(layer, [arriving(16, 0.9)], 32, 32) == "events"
    monkeypatch.setattr("snnconvert.backends.cpu.choose.MOST_TABLE", 2**21)
    assert cheapest(layer, [arriving(16, 0.9)], 32, 32) == "short_patterns"


@pytest.mark.parametrize(("size", "integers"), [(2**16, True), (2**16 + 1, False)])
def test_a_source_of_more_channels_than_16_bits_count_is_left_to_dense_operators(
    size: int, integers: bool
) -> None:
    """The last channel alone has weight: as a number of 16 bits it would be the first's."""
    weight = np.zeros((1, size))
    weight[0, -1] = 0.5
    bias = np.zeros(size)
    bias[-1] = 1.0
    source = replace(population(size, bias=bias), name="a")
    network = Network(
        "n",
        (Input("x", (1,), bound=1.0), source, Readout("y", (1,), np.zeros(()), np.ones(()))),
        (Connection("a", "y", (Dense((size,), weight),)),),
    )
    simulation = CpuBackend().emit(network)
    assert ("y" in simulation.program.layers) is integers
    assert simulation.run(np.zeros((1, 1)), 4).logits[:, 0, 0].tolist() == [0.5, 0.5, 0.5, 0.5]


@given(
    n=st.integers(1, 3),
    steps=st.integers(1, 9),
    shape=st.sampled_from([(5,), (16,), (3, 4), (17, 2), (2, 3, 3), (20, 2, 1), (2, 2, 2, 3)]),
    seed=st.integers(0, 99),
)
def test_bits_hold_the_spikes(n: int, steps: int, shape: tuple[int, ...], seed: int) -> None:
    spikes = np.random.default_rng(seed).random((steps, n, *stored_shape(shape))) < 0.4
    frames = spikes.astype(np.float32)
    bits = to_bits(frames, shape, Workspace(), "p")
    assert bits.shape[:1] + bits.shape[2:3] == (n, steps)
    np.testing.assert_array_equal(to_frames(bits, shape), frames)


@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 9),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_events_are_the_channels_that_spiked(
    rows: int, width: int, threads: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spikes = (rng.random((rows, 2, 8 * width)) < 0.3) & (rng.random((rows, 2, 1)) < 0.8)
    memory, calls = Workspace(), Calls(threads, Workspace())
    ends = events_of(np.packbits(spikes, axis=-1, bitorder="little"), memory, "0", calls)
    with ThreadPoolExecutor(threads) as pool:
        calls.run(pool)
    first = memory.array("events 0", 1, np.uint16).ctypes.data
    places = (ends[: 3 * rows].reshape(rows, 3) - first) // 2
    events = memory.array("events 0", 1, np.uint16)
    for position, edges in enumerate(places):
        for step, (start, stop) in enumerate(itertools.pairwise(edges)):
            np.testing.assert_array_equal(
                events[start:stop], np.flatnonzero(spikes[position, step])
            )


def test_large_tables_begin_at_cache_lines_and_are_zero() -> None:
    arena = Arena()
    arrays = [arena.zeros((LEAST + 7,), np.uint8), arena.zeros((LEAST,), np.int32)]
    arrays.append(arena.zeros((2**21,), np.int16))
    for array in arrays:
        assert array.ctypes.data % LINE == 0
        assert not array.any()
        array += 1  # neither overlaps another nor is read-only
    assert all((array == 1).all() for array in arrays)
    assert arena.zeros((3,), np.int64).tolist() == [0, 0, 0]


def test_positions_are_split_evenly() -> None:
    assert split(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert split(2, 5) == [(0, 1), (1, 2)]
    assert split(7, 1) == [(0, 7)]


def test_an_interruption_waits_for_kernels_in_other_threads() -> None:
    """They hold addresses of arrays that the interrupted frames own, and wait for its part."""
    begun, done, arrivals = threading.Event(), [], np.zeros(1, np.int64)

    def kernel(arguments: npt.NDArray[np.int64]) -> None:
        if arguments[0] == 0:
            begun.wait()
            raise KeyboardInterrupt
        begun.set()
        while not arrivals[0]:
            time.sleep(0.01)
        time.sleep(0.1)
        done.append(int(arguments[0]))

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            _together(kernel, [np.array([i], np.int64) for i in range(2)], arrivals, pool)
        assert done == [1]


def rows_without_weights() -> Network:
    """A population fed by a connection of zeros, and by a shortcut of more than 16 bits."""
    first = replace(population(16, bias=np.full(16, 0.25)), name="a")
    second = population(16, bias=np.full(16, 2.0**-16))
    zeros = Dense((16,), np.zeros((16, 16)))
    return Network(
        "n",
        (Input("x", (1,), bound=1.0), first, second),
        (Connection("a", "p", (zeros,)), Connection("a", "p", ())),
    )


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_zeros_beside_a_shortcut(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnconvert.backends.cpu.program.cheapest", always(method))
    simulation = CpuSimulation(prepare(rows_without_weights()))
    layer = simulation.program.layers["p"]
    assert isinstance(layer, EventLayer) and not layer.numbers.narrow
    x = np.zeros((2, 1))
    reference = ReferenceSimulation(simulation.executable).run(x, 9, record=("*",))
    assert_same_run(simulation.run(x, 9, record=("*",)), reference)
    assert reference.spikes["p"].any()


def test_what_a_pool_refuses_leaves_no_thread_behind() -> None:
    """A thread that was given its part before the pool refused another has ended."""
    begun, done = threading.Event(), []

    class Refusing(ThreadPoolExecutor):
        def submit(self, *given: Any, **named: Any) -> Any:
            if begun.is_set():
                raise RuntimeError("can't start new thread")
            future = super().submit(*given, **named)
            begun.wait()
            return future

    def kernel(arguments: npt.NDArray[np.int64]) -> None:
        begun.set()
        time.sleep(0.1)
        done.append(int(arguments[0]))

    arguments = [np.array([i], np.int64) for i in range(3)]
    with Refusing(2) as pool:
        with pytest.raises(RuntimeError, match="can't start"):
            _together(kernel, arguments, np.zeros(1, np.int64), pool)
        assert done == [1]


def test_no_kernel_begins_once_another_thread_was_interrupted() -> None:
    """What that thread should have written is not there."""
    out, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    addresses = [one.ctypes.data, 1, out.ctypes.data]
    own = np.array([0, 1, *addresses], np.int64)
    table = np.array([(adding("adding").address, own.ctypes.data)], np.int64)
    for arrivals, expected in ((np.array([OPEN], np.int64), 0), (np.zeros(1, np.int64), 1)):
        shared = [table.ctypes.data, 1, arrivals.ctypes.data, 1, *_waiting()]
        sequence_kernel()(np.array(shared, np.int64))
        assert out[0] == expected


def test_a_thread_that_waits_long_sleeps() -> None:
    """In a container the processors' time may be rationed."""
    table, arrivals = np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
    spent: list[float] = []

    def wait() -> None:
        began = time.thread_time()
        shared = [table.ctypes.data, 1, arrivals.ctypes.data, 2, *_waiting()]
        sequence_kernel()(np.array(shared, np.int64))
        spent.append(time.thread_time() - began)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    arrivals[0] += 1
    thread.join()
    assert spent[0] < 0.2


def test_a_simulation_goes_with_its_prepared_runs() -> None:
    simulation = CpuSimulation(prepare(rows_without_weights()), threads=1)
    for _ in range(4):
        simulation.run(np.zeros((2, 1)), 6)
    program = weakref.ref(simulation.program)
    assert simulation.program.settled(6)  # so that the last runs were prepared ones
    del simulation
    assert program() is None


def adding(name: str) -> native.Kernel:
    """The kernel that writes the sum of its inputs to each of its positions."""
    e = Emitter(name)
    first, last, inputs, count, out = (e.argument(i) for i in range(5))
    total = e.variable(LONG(0))
    with e.loop(LONG(0), count) as i:
        e.set(total, e.add(e.get(total), e.load(e.add(inputs, e.multiply(i, LONG(8))), LONG)))
    with e.loop(first, last) as position:
        e.store(e.get(total), e.add(out, e.multiply(position, LONG(8))))
    return native.compile_kernel(name, e.text())


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_call_sees_what_all_threads_wrote_before(threads: int) -> None:
    """Also with more threads than processors, and with fewer positions than threads."""
    kernel, calls = adding("adding"), Calls(threads, Workspace())
    layers = [np.ones(7, np.int64), *(np.zeros(n, np.int64) for n in (7, 3, 11, 1, 4))]
    for source, target in itertools.pairwise(layers):
        addresses = [source.ctypes.data, len(source), target.ctypes.data]
        arguments = np.array([0, 0, *addresses], np.int64)
        calls.add(kernel, arguments, len(target), (source, target))
    with ThreadPoolExecutor(threads) as pool:
        for first in (1, 2, 3):
            layers[0][:] = first
            calls.run(pool)
            expected = first * np.array([1, 7, 7 * 7, 7 * 7 * 3, 7 * 7 * 3 * 11, 7 * 7 * 3 * 11])
            assert [int(layer[0]) for layer in layers] == expected.tolist()
            assert all((layer == layer[0]).all() for layer in layers)


def test_many_at_once_do_not_wait_for_each_other() -> None:
    """Each needs two threads beside its own; the pool they share has three."""
    kernel = adding("adding")
    one, out = np.ones(1, np.int64), np.zeros((8, 3), np.int64)

    def work(row: int) -> None:
        calls = Calls(3, Workspace())
        addresses = [one.ctypes.data, 1, out[row].ctypes.data]
        for _ in range(20):
            calls.add(kernel, np.array([0, 0, *addresses], np.int64), 3, ())
        for _ in range(10):
            calls.run(pool)

    with ThreadPoolExecutor(3) as pool, ThreadPoolExecutor(8) as users:
        list(users.map(work, range(8)))
    assert (out == 1).all()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path


def forty_two(name: str) -> str:
    e = Emitter(name)
    e.store(LONG(42), e.argument(0))
    return e.text()


def called(kernel: native.Kernel) -> int:
    out = np.zeros(1, np.int64)
    kernel(np.array([out.ctypes.data], np.int64))
    return int(out[0])


def test_machine_code_is_kept_and_read_again(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(native.compile_kernel("kept", forty_two("kept"))) == 42
    files = list(own_cache.rglob("kept-*.kernel"))
    assert len(files) == 1

    def never(*_: Any) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(native, "_machine_code", never)
    assert called(native.compile_kernel("kept", forty_two("kept"))) == 42


def test_damaged_machine_code_is_made_again(own_cache: Path) -> None:
    native.compile_kernel("damaged", forty_two("damaged"))
    (path,) = own_cache.rglob("damaged-*.kernel")
    path.write_bytes(path.read_bytes()[:-40])
    assert called(native.compile_kernel("damaged", forty_two("damaged"))) == 42


def test_a_cache_that_cannot_be_written_costs_only_the_compilation(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache / "file"))
    (own_cache / "file").write_text("in the way")
    with pytest.warns(UserWarning, match=r"cannot be kept in .*every process compiles them again"):
        kernel = native.compile_kernel("unkept", forty_two("unkept"))
    assert called(kernel) == 42


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder().parts[-2:] == ("snnconvert", "numba")


@pytest.mark.parametrize("values", [[[2, 1], [2, 1]], [[2, 1], [0, 3], [2, 1]], [[0, 0]]])
def test_equal_blocks_are_kept_once(values: list[list[float]]) -> None:
    rows = np.array(values, np.float64)
    found, which = _distinct(rows)
    np.testing.assert_array_equal(found, np.unique(rows, axis=0))
    np.testing.assert_array_equal(found[which], rows)


def test_a_chain_without_entries_has_no_blocks() -> None:
    found, which = _distinct(np.zeros((0, 3)))
    assert (found.shape, which.shape) == ((0, 3), (0,))
