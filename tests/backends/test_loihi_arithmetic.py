"""Every piece of the engine's arithmetic, against nengo-loihi's own code."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from snnconvert.backends.loihi.engine import channels_last, compile_rows
from snnconvert.backends.loihi.kernels import CURRENT_LIMIT, WORD, deliver, empty_rows, fire
from snnconvert.backends.loihi.scales import (
    BIAS_MAX,
    THRESHOLD_MAX,
    VOLTAGE_MAX,
    bias_to_integers,
)

pytest.importorskip("nengo_loihi")

from snnconvert.backends.loihi.nengo_modules import nengo_loihi

discretize = nengo_loihi.builder.discretize
STEPS, NEURONS = 40, 300


def test_the_limits_are_nengo_loihis() -> None:
    assert BIAS_MAX == discretize.BIAS_MAX
    assert THRESHOLD_MAX == discretize.VTH_MAX
    assert CURRENT_LIMIT == 2**discretize.Q_BITS
    block = nengo_loihi.block
    from snnconvert.backends.loihi.cores import LIMITS

    assert LIMITS.compartments == block.MAX_COMPARTMENTS
    assert LIMITS.input_axons == block.MAX_IN_AXONS
    assert LIMITS.output_axons == block.MAX_OUT_AXONS
    assert LIMITS.synapse_bits == block.MAX_SYNAPSE_BITS


def test_bias_rounding_is_nengo_loihis(rng: np.random.Generator) -> None:
    bias = np.concatenate(
        [rng.uniform(-BIAS_MAX, BIAS_MAX, 5000), rng.normal(0, 3000, 5000), np.arange(-4200, 4200)]
    )
    mantissa, exponent = discretize.bias_to_manexp(np.round(bias))
    np.testing.assert_array_equal(bias_to_integers(bias), mantissa * 2**exponent)


def test_currents_beyond_the_bias_registers_are_clipped() -> None:
    np.testing.assert_array_equal(bias_to_integers(np.array([1e9, -1e9])), [BIAS_MAX, -BIAS_MAX])


def test_memory_of_weights_is_nengo_loihis() -> None:
    from snnconvert.backends.loihi.cores import INDEX_BITS, index_bits, memory_bits

    for code, bits in enumerate(INDEX_BITS):
        config = nengo_loihi.block.SynapseConfig(
            n_synapses=63, weight_bits=7, idx_bits=code, compression=0
        )
        for weights in (0, 1, 63, 64, 65, 1000):
            assert memory_bits(weights, bits) == config.bits_per_axon(weights)
    for largest in (0, 1, 63, 64, 255, 256, 1023):
        synapse = nengo_loihi.block.Synapse(1)
        synapse.indices = [np.array([[largest]])]
        assert index_bits(largest) == INDEX_BITS[synapse.idx_bits()]


def emulator_compartments(layer: dict[str, np.ndarray]) -> Any:
    """Return nengo-loihi's state of one block with the given integer parameters."""
    block = nengo_loihi.block.LoihiBlock(NEURONS)
    compartment = block.compartment
    compartment.configure_relu(vth=1.0, dt=1.0)
    for name, dtype in (("decay_u", 4095), ("decay_v", 0)):
        setattr(compartment, name, np.full(NEURONS, dtype, np.int32))
    compartment.vth, compartment.bias = layer["threshold"], layer["bias"]
    compartment.vmin, compartment.vmax = int(layer["lowest"][0]), int(layer["highest"][0])
    compartment.scale_u = compartment.scale_v = False
    model = SimpleNamespace(blocks=[block], inputs=[], probes=[], dt=0.001)
    return nengo_loihi.emulator.EmulatorInterface(model, seed=0).compartment


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Overflow in q0:UserWarning")
@pytest.mark.parametrize("spread", [1e3, 1e5, 1.5e6, 8e6])
def test_integration_wraps_clips_and_resets_as_the_emulator_does(
    rng: np.random.Generator, spread: float
) -> None:
    layer = {
        "threshold": (rng.integers(1, 5000, NEURONS) * 64).astype(np.int32),
        "bias": bias_to_integers(rng.normal(0, spread / 10, NEURONS)),
        "lowest": np.full(NEURONS, -(2**22) + 1, np.int32),
        "highest": np.full(NEURONS, VOLTAGE_MAX, np.int32),
    }
    layer["threshold"][:20] = THRESHOLD_MAX  # as a readout's: these also reach the ceiling
    current = rng.normal(0, spread, (STEPS, NEURONS)).astype(np.int32)
    current[:, :10] = abs(current[:, :10])
    theirs = emulator_compartments(layer)
    expected_spikes, expected_voltages = [], []
    for row in current:
        theirs.input[0] = row
        theirs.update(np.random.RandomState(0))
        expected_spikes.append(theirs.spiked.copy())
        expected_voltages.append(theirs.voltage.copy())
    neurons, first = np.empty(STEPS * NEURONS + WORD, np.int32), np.zeros(STEPS + 1, np.int64)
    voltages, tally = np.empty((STEPS, NEURONS), np.int32), np.zeros(3, np.int64)
    fire(
        current, layer["bias"], layer["threshold"], layer["lowest"], layer["highest"],
        neurons, first, voltages, tally,
    )  # fmt: skip
    spikes = np.zeros((STEPS, NEURONS), bool)
    for t in range(STEPS):
        spikes[t, neurons[first[t] : first[t + 1]]] = True
    np.testing.assert_array_equal(spikes, expected_spikes)
    np.testing.assert_array_equal(voltages, expected_voltages)
    wraps = (current < -CURRENT_LIMIT) | (current >= CURRENT_LIMIT)
    assert tally[0] == wraps.sum()
    if spread >= 1.5e6:
        assert (tally > 0).all()


def test_no_current_means_bias_only() -> None:
    bias, threshold = np.array([100, 30], np.int32), np.array([100, 100], np.int32)
    low, high = np.array([-1000, -1000], np.int32), np.array([1000, 1000], np.int32)
    neurons, first = np.empty(12 * 2 + WORD, np.int32), np.zeros(13, np.int64)
    tally = np.zeros(3, np.int64)
    fire(empty_rows(2), bias, threshold, low, high, neurons, first, empty_rows(2), tally)
    counts = np.bincount(neurons[: first[-1]], minlength=2)
    # floor(threshold / bias) + 1 steps a spike: at the threshold it does not fire yet
    np.testing.assert_array_equal(counts, [12 // 2, 12 // 4])


def test_spikes_arrive_one_step_later_through_shared_rows(rng: np.random.Generator) -> None:
    sources, targets, steps = 30, 50, 12
    dense = rng.integers(-254, 255, (sources, targets)) * (rng.random((sources, targets)) < 0.3)
    dense[3] = 0
    dense[10:20] = np.stack([np.roll(dense[10] * (np.arange(targets) < 20), k) for k in range(10)])
    rows = compile_rows(sp.csr_array(dense.astype(np.int32)))
    assert len(np.unique(rows.row_pattern[10:20])) == 1
    spikes = rng.random((steps, sources)) < 0.2
    step, neurons = np.nonzero(spikes)
    first = np.searchsorted(step, np.arange(steps + 1))
    current = np.zeros((steps, targets), np.int32)
    deliver(
        current, neurons.astype(np.int32), first, rows.row_pattern, rows.row_base,
        rows.pattern_first, rows.run_start, rows.run_length, rows.run_weight, rows.weights,
    )  # fmt: skip
    np.testing.assert_array_equal(current[0], 0)
    np.testing.assert_array_equal(current[1:], (spikes.astype(int) @ dense)[:-1])


def test_runs_of_zero_weights_are_left_out() -> None:
    matrix = sp.csr_array(
        (np.array([5, 6, 0, 0, 7], np.int32), ([0, 0, 0, 0, 0], [0, 1, 4, 5, 8])), shape=(1, 9)
    )
    rows = compile_rows(matrix)
    np.testing.assert_array_equal(rows.run_start, [0, 8])
    np.testing.assert_array_equal(rows.run_length, [2, 1])


def test_channels_last_order() -> None:
    np.testing.assert_array_equal(channels_last((2, 1, 3)), [0, 3, 1, 4, 2, 5])
    np.testing.assert_array_equal(channels_last((4,)), range(4))
