"""The network on torch's devices against the reference: every spike, every output, bit for bit.

The program is the same for every device: all of it runs on the processor here, and on a GPU where
there is one.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import Case, Numbers, assert_same_run, cases, chains, input_shapes

from snnconvert.backends.base import get_backend, prepare
from snnconvert.backends.cpu.layout import from_stored, stored_shape, to_stored
from snnconvert.backends.cpu.plan import number_types
from snnconvert.backends.cuda import DeviceSimulation
from snnconvert.backends.cuda.device import exact_sums, find_device
from snnconvert.backends.cuda.half import half_nodes
from snnconvert.backends.cuda.operators import DeviceKernel
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import ParityError, UsageError
from snnconvert.convert.linear import Convolution, Dense, FloatArray, Reshape, apply_chain
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

HAS_GPU = torch.cuda.is_available()
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not HAS_GPU, reason="torch finds no NVIDIA GPU here")
    ),
]
on_each_device = pytest.mark.parametrize("device", DEVICES)
many = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def assert_equals_the_reference(simulation: DeviceSimulation, case: Case) -> None:
    assume(simulation.fidelity()["exact"])
    result = simulation.run(case.samples, case.timesteps, record=("*",))
    reference = ReferenceSimulation(simulation.executable)
    assert_same_run(result, reference.run(case.samples, case.timesteps, record=("*",)))


@on_each_device
@many
@given(case=cases(), half=st.booleans())
def test_any_network_equals_the_reference(device: str, case: Case, half: bool) -> None:
    assert_equals_the_reference(DeviceSimulation(prepare(case.network), device, half=half), case)


@on_each_device
@some
@given(case=cases("dyadic"))
def test_on_a_dyadic_grid_it_equals_the_network_as_it_was(device: str, case: Case) -> None:
    simulation = DeviceSimulation(prepare(case.network), device, half=True)
    result = simulation.run(case.samples, case.timesteps, record=("*",))
    raw = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    assert_same_run(result, raw)


@on_each_device
@some
@given(case=cases(), chunk=st.integers(1, 5), batch=st.integers(1, 2))
def test_chunks_and_batches_change_nothing(device: str, case: Case, chunk: int, batch: int) -> None:
    simulation = DeviceSimulation(prepare(case.network), device)
    simulation.plan = replace(simulation.plan, chunk=chunk, batch=batch)
    assert_equals_the_reference(simulation, case)


@on_each_device
@pytest.mark.parametrize("bits", [3, 8])
@some
@given(case=cases(events=False))
def test_integer_weights(device: str, case: Case, bits: int) -> None:
    executable = prepare(replace(case.network, weight_bits=bits))
    assert_equals_the_reference(DeviceSimulation(executable, device, half=True), case)


@on_each_device
@settings(max_examples=150)
@given(
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_chain_equals_its_numpy_form(
    device: str, data: st.DataObject, seed: int, dtype: type
) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    chain = data.draw(chains(shape, numbers))
    x = numbers.samples((3, *shape), 1.0).astype(dtype)
    kernel = DeviceKernel(chain, shape, np.dtype(dtype), torch.device(device))
    sent = torch.from_numpy(to_stored(x, shape).reshape(1, 3, *stored_shape(shape))).to(device)
    target = chain[-1].output_shape if chain else shape
    with exact_sums(torch.device(device)):
        result = from_stored(kernel.currents(sent).cpu().numpy(), target)[0]
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, apply_chain(chain, x))


# Half precision


def population(name: str, shape: tuple[int, ...], neuron: str = "if") -> Population:
    one = np.ones(())
    return Population(name, shape, one, one, one, np.zeros(()), one / 2, neuron=neuron)


def wide(weights: FloatArray, neuron: str = "if") -> Network:
    """Neurons of a current each, all into one population and on to a readout."""
    outputs, inputs = weights.shape
    return Network(
        "wide",
        (
            Input("x", (inputs,), bound=1.0),
            population("first", (inputs,), neuron),
            population("second", (outputs,)),
            Readout("y", (outputs,), np.zeros(()), np.ones(())),
        ),
        (
            Connection("x", "first"),
            Connection("first", "second", (Dense((inputs,), weights),)),
            Connection("second", "y"),
        ),
    )


def halved(network: Network) -> frozenset[str]:
    sums = {n.name: np.dtype(np.float32) for n in network.nodes if not isinstance(n, Input)}
    return half_nodes(network, sums)


@pytest.mark.parametrize("grid", [1.0, 2.0**-14, 2.0**4])
def test_sums_up_to_2048_times_the_grid_are_half(grid: float) -> None:
    weights = np.full((1, 2048), grid)
    assert "second" in halved(wide(weights))
    weights[0, 5] = -2 * grid
    assert "second" not in halved(wide(weights))


@pytest.mark.parametrize(
    ("weights", "neuron"),
    [
        (np.full((1, 2), 2.0**-15), "if"),  # no normal number
        (np.full((1, 2), 2.0**16), "if"),  # out of range
        (np.full((1, 1025), 1.0), "graded:2"),
        (np.array([[1.0, 2.0**-12]]), "if"),  # the small weight sets the grid
    ],
)
def test_what_does_not_fit_is_not_half(weights: FloatArray, neuron: str) -> None:
    assert "second" not in halved(wide(weights, neuron))


def test_analog_and_joined_currents() -> None:
    network = wide(np.full((3, 1100), 1.0))
    assert halved(network) == {"second", "y"}, "an analog input has no bound that holds"
    twice = replace(network, connections=(*network.connections[:2], *network.connections[1:]))
    assert halved(twice) == {"y"}, "two connections of 1100 spikes each"


def test_weights_that_meet_no_spike_count_too() -> None:
    weight = np.zeros((1, 1, 3))
    weight[0, 0] = 1.0, 1.0, 2.0**17
    chain = (Convolution((1, 1), weight, (1,), ((1, 1),), (1,)),)
    network = Network(
        "edge",
        (
            Input("x", (1, 1), bound=1.0),
            population("first", (1, 1)),
            population("second", (1, 1)),
            Readout("y", (1, 1), np.zeros(()), np.ones(())),
        ),
        (Connection("x", "first"), Connection("first", "second", chain), Connection("second", "y")),
    )
    assert "second" not in halved(network)


@on_each_device
def test_8_bit_weights_run_in_half_precision(device: str, rng: np.random.Generator) -> None:
    executable = prepare(images(rng, bits=5))
    x = {"x": rng.standard_normal((4, 3, 6, 6)).clip(-3, 3)}
    simulation = DeviceSimulation(executable, device, half=True)
    fidelity = simulation.fidelity()
    assert fidelity["float16_nodes"] >= 1, fidelity
    assert simulation.plan.sends["first"] == np.float16
    single = DeviceSimulation(executable, device, half=False)
    assert single.fidelity()["float16_nodes"] == 0
    assert_same_run(simulation.run(x, 20, record=("*",)), single.run(x, 20, record=("*",)))


# The simulation as a whole


def images(rng: np.random.Generator, bits: int | None = None) -> Network:
    """A convolution with a residual add and a dense readout."""

    def convolution(inputs: int) -> Convolution:
        weight = rng.standard_normal((4, inputs, 3, 3)) / 6
        return Convolution((inputs, 6, 6), weight, (1, 1), ((1, 1), (1, 1)), (1, 1))

    dense = Dense((144,), rng.standard_normal((10, 144)) / 12)
    return Network(
        "images",
        (
            Input("x", (3, 6, 6), bound=3.0),
            population("first", (4, 6, 6)),
            population("second", (4, 6, 6)),
            Readout("y", (10,), rng.standard_normal(10), np.ones(())),
        ),
        (
            Connection("x", "first", (convolution(3),)),
            Connection("first", "second", (convolution(4),)),
            Connection("first", "second"),
            Connection("second", "y", (Reshape((4, 6, 6), (144,)), dense)),
        ),
        weight_bits=bits,
    )


@on_each_device
def test_what_it_says_of_itself(device: str, rng: np.random.Generator) -> None:
    simulation = DeviceSimulation(prepare(images(rng)), device, memory_bytes=10**7)
    x = rng.standard_normal((5, 3, 6, 6)).clip(-3, 3)
    fidelity = simulation.fidelity()
    json.dumps(fidelity)
    assert fidelity["device"] == device and fidelity["exact"] is True
    kinds = [fidelity[f"float{bits}_nodes"] for bits in (16, 32, 64)]
    assert sum(kinds) == 3
    assert (fidelity["chunk_timesteps"], fidelity["batch_samples"]) == (
        simulation.plan.chunk,
        simulation.plan.batch,
    )
    parity = simulation.parity(x, 12)
    assert (parity["samples"], parity["populations"], parity["differing_spikes"]) == (3, 2, 0)
    assert parity["spikes"] > 0
    assert simulation.resources() == {}


def test_parity_finds_a_difference(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = DeviceSimulation(prepare(images(rng)), "cpu")
    threshold = simulation.program.neurons["second"].threshold
    threshold[7] *= 2
    with pytest.raises(ParityError, match="differs from the reference in"):
        simulation.parity(rng.standard_normal((2, 3, 6, 6)).clip(-3, 3), 30)


def test_memory_decides_chunk_and_batch(rng: np.random.Generator) -> None:
    executable = prepare(images(rng))
    x = {"x": rng.standard_normal((7, 3, 6, 6)).clip(-3, 3)}
    large = DeviceSimulation(executable, "cpu")
    small = DeviceSimulation(executable, "cpu", memory_bytes=60_000)
    assert large.plan.chunk > small.plan.chunk >= 1
    assert large.plan.batch > small.plan.batch >= 1
    assert_same_run(small.run(x, 9), large.run(x, 9))
    with pytest.raises(UsageError) as caught:
        DeviceSimulation(executable, "cpu", memory_bytes=100)
    assert "100 may be used" in caught.value.message
    needed = caught.value.hint.split()[3].replace(",", "")
    assert DeviceSimulation(executable, "cpu", memory_bytes=int(needed)).plan.batch == 1


def test_number_types_follow_the_network(rng: np.random.Generator) -> None:
    executable = prepare(images(rng))
    plan = DeviceSimulation(executable, "cpu", half=False).plan
    assert (plan.sums, plan.sends) == number_types(executable)


# The option


def test_a_gpu_that_is_not_there(rng: np.random.Generator) -> None:
    if HAS_GPU:
        pytest.skip("there is one")
    with pytest.raises(UsageError) as caught:
        get_backend("cpu").emit(images(rng), device="cuda")
    assert caught.value.message == "device 'cuda' cannot be used here"
    assert caught.value.exit_code == 2
    built = torch.version.cuda is not None
    assert ("torch finds no NVIDIA GPU" if built else "is built without CUDA") in caught.value.why
    assert "leave out --device to run on the processor" in caught.value.hint


def test_a_driver_that_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError) as caught:
        find_device("cuda")
    assert caught.value.why == "torch finds no NVIDIA GPU with a working driver"


def test_a_gpu_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError) as caught:
        find_device("cuda:2")
    assert caught.value.why == "torch finds 2 GPUs, counted from 0"


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "unknown device 'gpu'"), ("meta", "device 'meta' is not supported")],
)
def test_devices_that_do_not_exist(rng: np.random.Generator, device: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        get_backend("cpu").emit(images(rng), device=device)
    assert caught.value.message == message
    assert caught.value.hint == "use cpu, cuda, or cuda:N for the Nth GPU"


def test_threads_are_the_processors(rng: np.random.Generator) -> None:
    with pytest.raises(UsageError) as caught:
        get_backend("cpu").emit(images(rng), device="cuda", threads=2)
    assert caught.value.message == "threads are the processor's, device 'cuda' was asked for"


def test_the_processor_may_be_named(rng: np.random.Generator) -> None:
    emitted: Any = get_backend("cpu").emit(images(rng), device="cpu", threads=1)
    assert emitted.fidelity()["threads"] == 1
