"""Layers computed by products of tiles (AMX): slots, digits, and every shape that a tile meets."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from kernel_choice import always, needs_tiles
from networks import assert_same_run

from snnconvert.backends.base import prepare
from snnconvert.backends.cpu import CpuSimulation
from snnconvert.backends.cpu.arena import Arena
from snnconvert.backends.cpu.choose import cheapest
from snnconvert.backends.cpu.event_layer import Arriving, EventLayer
from snnconvert.backends.cpu.fixed_point import fixed_point, padded
from snnconvert.backends.cpu.kernels import native
from snnconvert.backends.cpu.kernels.layer import Form
from snnconvert.backends.cpu.slots import chunks_of, fit_tiles, slots_of
from snnconvert.backends.cpu.tables import make_table
from snnconvert.backends.cpu.taps import Taps, taps_of
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import Convolution, Dense, Matrix, Reshape
from snnconvert.convert.network import Connection, Input, Network, Population, Readout, Reset

SIZE = 3
"""Of the images: two of three positions in a row are at a border."""


def population(name: str, channels: int, **options: Any) -> Population:
    one = np.ones(())
    values = {"threshold": one, "bias": np.asarray(0.25), "v_init": np.asarray(0.5), **options}
    return Population(name, (channels, SIZE, SIZE), amplitude=one, scale=one, **values)


def convolution(weight: Any, stride: int = 1) -> Convolution:
    pad = weight.shape[-1] // 2
    shape = (weight.shape[1], SIZE, SIZE)
    return Convolution(shape, weight, (stride, stride), ((pad, pad), (pad, pad)), (1, 1))


def taps(operator: Convolution) -> Taps:
    found = taps_of((operator,), operator.input_shape)
    assert found is not None
    return found


def test_slots_are_where_a_block_reads_and_silent_beyond_the_border() -> None:
    rows = taps(convolution(np.ones((4, 20, 3, 3))))
    slots = slots_of(rows, 1000)
    assert slots.shape == (9, 10)  # slots of 32 inputs in chunks of two
    np.testing.assert_array_equal(slots[4, :9], 1000 * np.arange(9))
    corner = [-1, -1, -1, -1, 0, 1000, -1, 3000, 4000, -1]
    assert sorted(slots[0]) == sorted(corner)
    assert (slots[:, 9] == -1).all()


def test_wide_sources_have_several_slots_a_tap() -> None:
    slots = slots_of(taps(convolution(np.ones((4, 130, 1, 1)))), 1000)
    np.testing.assert_array_equal(slots[:2], [[0, 8, 16], [1000, 1008, 1016]])


@pytest.mark.parametrize(
    ("blocks", "inputs", "chunks"), [(9, 16, 3), (9, 20, 5), (9, 48, 9), (1, 130, 3), (9, 512, 72)]
)
def test_chunks(blocks: int, inputs: int, chunks: int) -> None:
    assert chunks_of(blocks, inputs) == chunks


def test_layers_that_share_or_lack_blocks_do_not_fit() -> None:
    assert fit_tiles(taps(convolution(np.ones((4, 20, 3, 3)))))
    starts, blocks = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    weights = np.ones((2, 16, 16))
    assert fit_tiles(Taps(starts, np.arange(4), blocks, weights))
    assert not fit_tiles(Taps(starts, np.arange(4), np.array([0, 0, 1, 1]), weights))
    many = np.ones((9, 16, 16))
    assert not fit_tiles(Taps(starts, np.arange(4), np.array([0, 1, 7, 8]), many))


@given(
    st.integers(1, 3),
    st.integers(1, 140),
    st.integers(1, 70),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_digits_and_their_places_give_the_weights(
    blocks: int, inputs: int, outputs: int, digits: int, seed: int
) -> None:
    """The smallest and the largest weights too."""
    most = 127 * (256**digits - 1) // 255
    most = min(most, 2**31 - 1)
    rng = np.random.default_rng(seed)
    weights = rng.integers(-most, most + 1, (blocks, inputs, outputs)).astype(np.int32)
    weights.flat[0], weights.flat[-1] = -most, most
    vectors = padded(outputs) // 16
    form = Form("tiles", 16, vectors, 1, 1, weight_bytes=digits)
    table = make_table(weights, form, Arena())
    assert table.ctypes.data % 64 == 0
    by_digit = table.astype(np.int64)[0].transpose(1, 2, 3, 5, 0, 4)
    by_digit = by_digit.reshape(digits, -1, 16 * vectors)
    total = sum(digit << (8 * place) for place, digit in enumerate(by_digit))
    of_block = {2: 16, 4: 32}.get(padded(inputs) // 8, -(-padded(inputs) // 64) * 64)
    found = total[: blocks * of_block].reshape(blocks, of_block, -1)[:, :inputs, :outputs]
    np.testing.assert_array_equal(found.astype(np.int32), weights)
    assert np.count_nonzero(table) <= digits * weights.size


def fed(
    inputs: int, others: int, channels: int, largest: int, kernel: int, reset: Reset, delay: int
) -> Network:
    """A layer fed by a convolution, by another of a second source, and by a shortcut."""
    rng = np.random.default_rng(inputs + channels)
    unit = 2.0 ** -np.ceil(np.log2(largest * np.sqrt(inputs * kernel)))
    weight = rng.integers(-largest, largest + 1, (channels, inputs, kernel, kernel)) * unit
    more = rng.integers(-largest, largest + 1, (channels, others, 1, 1)) * unit
    positions = SIZE * SIZE
    same = np.arange(min(inputs, channels) * positions)
    ones = np.full(len(same), largest * unit)
    shape = (channels * positions, inputs * positions)
    shortcut = Matrix(
        (inputs, SIZE, SIZE), sp.csr_array((ones, (same, same)), shape), (channels, SIZE, SIZE)
    )
    biases = [rng.integers(0, 40, (n, SIZE, SIZE)) / 64 for n in (inputs, others)]
    thresholds = rng.choice([0.5, 1.0, 2.0], (channels, 1, 1))
    layer = population("p", channels, threshold=thresholds)
    flat = (channels * positions,)
    dense = Dense(flat, rng.integers(-largest, largest + 1, (10, *flat)) * unit)
    return Network(
        "n",
        (
            Input("x", (1,), bound=1.0),
            population("a", inputs, bias=biases[0]),
            population("b", others, bias=biases[1]),
            replace(layer, reset=reset),
            Readout("y", (10,), np.zeros(()), np.ones(())),
        ),
        (
            *(Connection("x", name, spread(n)) for name, n in (("a", inputs), ("b", others))),
            Connection("a", "p", (convolution(weight),), delay),
            Connection("b", "p", (convolution(more),)),
            Connection("a", "p", (shortcut,), 1),
            Connection("p", "y", (Reshape(layer.shape, flat), dense)),
        ),
    )


def spread(channels: int) -> tuple[Dense, Reshape]:
    """Bring one value to a population's neurons, more to the later ones."""
    size = channels * SIZE * SIZE
    return (
        Dense((1,), np.arange(size)[:, None] / (2 * size)),
        Reshape((size,), (channels, SIZE, SIZE)),
    )


LAYERS = [
    # inputs, of the second source, channels, largest weight, kernel, digits
    (16, 16, 16, 30, 3, 1),
    (16, 48, 32, 2**13, 3, 3),
    (32, 130, 48, 2**20, 3, 3),
    (33, 16, 130, 2**25, 1, 3),
    (64, 32, 64, 30, 3, 1),
    (70, 64, 80, 2**15, 3, 2),
    (5, 3, 7, 127, 3, 2),
    (16, 16, 16, 2**25, 1, 4),
]


@needs_tiles
@pytest.mark.parametrize(("inputs", "others", "channels", "largest", "kernel", "digits"), LAYERS)
@pytest.mark.parametrize(("timesteps", "chunk"), [(70, 40), (33, 64), (16, 16), (17, 7)])
def test_layers_of_tiles_equal_the_reference(
    inputs: int,
    others: int,
    channels: int,
    largest: int,
    kernel: int,
    digits: int,
    timesteps: int,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slots of every size, one to four digits, one or two tiles of steps, delays, threads."""
    monkeypatch.setattr("snnconvert.backends.cpu.program.cheapest", always("tiles"))
    reset: Reset = "zero" if chunk == 64 else "subtract"
    network = fed(inputs, others, channels, largest, kernel, reset, delay=chunk % 4)
    simulation = CpuSimulation(prepare(network), threads=2)
    simulation.plan = replace(simulation.plan, chunk=chunk)
    layer = simulation.program.layers["p"]
    assert isinstance(layer, EventLayer)
    assert layer.numbers.digits == min(digits, 3)
    # Four only where weights differ by more than a grid of 24 bits allows: asked for, they work.
    layer.numbers = replace(layer.numbers, digits=digits)
    x = np.array([[-1.0], [0.25], [1.0]])
    result = simulation.run(x, timesteps, record=("*",))
    assert [simulation.program.how(name) for name in ("p", "y")] == ["tiles", "tiles"]
    reference = ReferenceSimulation(simulation.executable).run(x, timesteps, record=("*",))
    assert_same_run(result, reference)
    assert 0.01 < result.spikes["p"].mean() < 0.99
    assert len({counts.tobytes() for counts in result.spike_counts["p"]}) == 3
    for order in (slice(None), slice(None, None, -1)):  # prepared, and repeated
        again = simulation.run(x[order], timesteps)
        np.testing.assert_array_equal(again.logits, reference.logits[:, order])
        counts = reference.spike_counts["p"][order]
        np.testing.assert_array_equal(again.spike_counts["p"], counts)


def arriving(inputs: int, share: float) -> Arriving:
    spikes = np.random.default_rng(5).random((1, SIZE * SIZE, 32, inputs)) < share
    return Arriving(0, np.packbits(spikes, axis=-1, bitorder="little"), 0)


def test_tiles_are_for_layers_neither_narrow_nor_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(channels: int, share: float) -> str:
        rng = np.random.default_rng(3)
        weight = rng.integers(-3000, 3000, (channels, channels, 3, 3)) * 2.0**-12
        node, rows = population("p", channels), taps(convolution(weight))
        numbers = fixed_point(node, [rows])
        assert numbers is not None
        layer = EventLayer(node, [rows], numbers, Arena())
        return cheapest(layer, [arriving(channels, share)], 32, 32)

    monkeypatch.setattr(native.processor(), "tiles", True)
    assert chosen(64, 0.2) == "tiles"
    assert chosen(64, 0.001) == "events"
    assert chosen(16, 0.2) == "patterns"
    monkeypatch.setattr(native.processor(), "tiles", False)
    assert chosen(64, 0.2) != "tiles"


def test_tiles_need_a_system_that_saves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Refusing:
        def syscall(self, *numbers: int) -> int:
            asked.append(numbers)
            return -1

    monkeypatch.setattr("ctypes.CDLL", lambda _: Refusing())
    monkeypatch.setattr("sys.platform", "linux")
    assert not native._tiles_allowed()
    assert asked == [(158, 0x1023, 18)]
    monkeypatch.setattr("sys.platform", "darwin")
    assert not native._tiles_allowed()
    assert len(asked) == 1
