"""The CPU simulator against the reference: every spike, every output, bit for bit."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernel_choice import METHODS, always
from networks import Case, assert_same_run, cases

from snnconvert.backends.base import get_backend, prepare
from snnconvert.backends.cpu import CpuBackend, CpuSimulation
from snnconvert.backends.cpu.calls import Workspace
from snnconvert.backends.cpu.dense import DenseKernel
from snnconvert.backends.cpu.event_layer import EventLayer
from snnconvert.backends.cpu.kernels.layer import Method
from snnconvert.backends.cpu.plan import make_plan, number_types, state_bytes, step_bytes
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import DataError, ParityError, UnsupportedModelError, UsageError
from snnconvert.convert.linear import Convolution, Dense, FloatArray, Reshape
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from snnconvert.convert.snap import Executable
from snnconvert.convert.threads import most_threads

many = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
some = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])


def bytes_for(executable: Executable, steps: int) -> int:
    """Memory for one sample and a chunk of so many steps."""
    network = executable.network
    sums, sends = number_types(executable)
    reach = make_plan(executable, None, None).reach
    return steps * step_bytes(network, sums, sends) + state_bytes(network, sends, reach)


def population(name: str, channels: int, size: int, **options: Any) -> Population:
    ones = np.ones(())
    return Population(
        name,
        (channels, size, size),
        threshold=ones,
        amplitude=ones,
        scale=ones,
        bias=np.asarray(options.pop("bias", 0.0)),
        v_init=np.asarray(0.5),
        **options,
    )


def convolutional(rng: np.random.Generator, channels: int = 4, size: int = 8) -> Network:
    """Two 3x3 convolutions, a residual add and a dense readout."""

    def convolution(inputs: int) -> Convolution:
        weight = rng.standard_normal((channels, inputs, 3, 3)) / np.sqrt(9 * inputs)
        return Convolution((inputs, size, size), weight, (1, 1), ((1, 1), (1, 1)), (1, 1))

    flat = channels * size * size
    dense = Dense((flat,), rng.standard_normal((10, flat)) / np.sqrt(flat))
    first, second = population("first", channels, size), population("second", channels, size)
    return Network(
        "convolutional",
        (
            Input("x", (3, size, size), bound=3.0),
            first,
            second,
            Readout("y", (10,), rng.standard_normal(10), np.ones(())),
        ),
        (
            Connection("x", "first", (convolution(3),)),
            Connection("first", "second", (convolution(channels),)),
            Connection("first", "second"),
            Connection("second", "y", (Reshape(second.shape, (flat,)), dense)),
        ),
    )


def images(rng: np.random.Generator, n: int, size: int = 8) -> FloatArray:
    return np.asarray(rng.standard_normal((n, 3, size, size)).clip(-3, 3))


def assert_equals_the_reference(simulation: CpuSimulation, case: Case) -> None:
    assume(simulation.fidelity()["exact"])
    result = simulation.run(case.samples, case.timesteps, record=("*",))
    reference = ReferenceSimulation(simulation.executable)
    assert_same_run(result, reference.run(case.samples, case.timesteps, record=("*",)))


@many
@given(cases())
def test_any_network_equals_the_reference(case: Case) -> None:
    assert_equals_the_reference(CpuBackend().emit(case.network, threads=1), case)


@many
@given(cases(), st.sampled_from(METHODS), st.sampled_from([None, 3, 8, 16]))
def test_every_kernel_equals_the_reference(case: Case, method: Method, bits: int | None) -> None:
    """Also where another one is cheaper; sums of few bits take narrow numbers or short rows."""
    network = replace(case.network, weight_bits=bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snnconvert.backends.cpu.program.cheapest", always(method))
        assert_equals_the_reference(CpuBackend().emit(network, threads=1), case)


@some
@given(cases("dyadic"))
def test_on_a_dyadic_grid_it_equals_the_network_as_it_was_before_preparation(case: Case) -> None:
    result = (
        CpuBackend().emit(case.network, threads=1).run(case.samples, case.timesteps, record=("*",))
    )
    raw = ReferenceSimulation(case.network).run(case.samples, case.timesteps, record=("*",))
    assert_same_run(result, raw)


class Poisoned:
    """NumPy, except that new arrays hold NaN, or ones in every bit, until they are written."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = np.float64) -> Any:
        if np.issubdtype(dtype, np.floating):
            return np.full(shape, np.nan, dtype)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.full(size, 255, np.uint8).view(dtype).reshape(shape)


class PoisonedWorkspace(Workspace):
    """Ones in every bit of whatever is handed out, also where it was written to before."""

    def array(self, name: str, size: int, dtype: Any) -> Any:
        held = super().array(name, size, dtype)
        held.view(np.uint8)[...] = 255
        return held


@some
@given(cases(), st.integers(1, 5), st.integers(1, 3), st.sampled_from([None, *METHODS]))
def test_chunks_and_threads_change_nothing(
    case: Case, chunk: int, threads: int, method: Method | None
) -> None:
    """Windows and delays leave parts of the buffers unwritten; no neuron may see them."""
    executable = prepare(case.network)
    memory = threads * bytes_for(executable, chunk)
    small = CpuSimulation(executable, threads=threads, memory_bytes=memory)
    assert (small.plan.chunk, small.plan.batch, small.plan.threads) == (chunk, 1, threads)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("batch", "sent", "event_layer"):
            patch.setattr(f"snnconvert.backends.cpu.{module}.np", Poisoned())
        patch.setattr("snnconvert.backends.cpu.program.Workspace", PoisonedWorkspace)
        patch.setattr("snnconvert.backends.cpu.results.FEWEST_SUMMED", 1)
        if method:
            patch.setattr("snnconvert.backends.cpu.program.cheapest", always(method))
        assert_equals_the_reference(small, case)


@some
@given(cases(), st.integers(1, 3), st.lists(st.permutations(range(4)), min_size=2, max_size=4))
def test_runs_that_repeat_prepared_calls_equal_the_reference(
    case: Case, threads: int, orders: list[list[int]]
) -> None:
    """Batches of different samples and sizes, on one simulation."""
    simulation = CpuBackend().emit(case.network, threads=threads)
    reference = ReferenceSimulation(simulation.executable)
    n = len(next(iter(case.samples.values())))
    for order in orders:
        rows = [row % n for row in order[: 1 + order[0]]]
        samples = {name: array[rows] for name, array in case.samples.items()}
        expected = reference.run(samples, case.timesteps)
        for _ in range(2):
            assert_same_run(simulation.run(samples, case.timesteps), expected)


@some
@given(cases(), st.integers(2, 9))
def test_integer_weights_equal_the_reference(case: Case, bits: int) -> None:
    simulation = CpuBackend().emit(replace(case.network, weight_bits=bits), threads=1)
    assert simulation.fidelity()["weight_bits"] == bits
    assert_equals_the_reference(simulation, case)


def test_wide_convolutions_of_a_batch_are_exact(rng: np.random.Generator) -> None:
    """The shape for which libraries prefer Winograd's algorithm, which rounds."""
    simulation = CpuBackend().emit(convolutional(rng, channels=64, size=16), threads=2)
    assert simulation.fidelity()["integer_nodes"] == 2
    x = images(rng, 2, 16)
    assert simulation.parity(x, 24)["differing_spikes"] == 0


def test_only_what_is_asked_for_is_recorded(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng))
    x = images(rng, 3)
    assert simulation.run(x, 5).spikes == {}
    result = simulation.run(x, 5, record=("second",))
    assert {name: train.shape for name, train in result.spikes.items()} == {
        "second": (5, 3, 4, 8, 8)
    }
    np.testing.assert_array_equal(
        result.spikes["second"].sum(axis=0), result.spike_counts["second"]
    )
    assert result.spikes["second"].dtype == np.bool_
    assert result.spike_counts["second"].dtype == np.int32
    assert result.logits.dtype == np.float64
    with pytest.raises(UsageError, match="no population 'secnd' to record; did you mean 'second'"):
        simulation.run(x, 5, record=("secnd",))


def test_no_samples_give_empty_results(rng: np.random.Generator) -> None:
    result = CpuBackend().emit(convolutional(rng)).run(images(rng, 0), 5, record=("*",))
    assert result.logits.shape == (5, 0, 10)
    assert result.spike_counts["first"].shape == (0, 4, 8, 8)
    assert result.spikes["first"].shape == (5, 0, 4, 8, 8)


def test_many_samples_are_cut_into_equal_batches(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng), threads=2)
    simulation.plan = replace(simulation.plan, batch=4)
    assert [rows.stop - rows.start for rows in simulation.batches(18)] == [3, 3, 3, 3, 3, 3]
    assert [rows.stop - rows.start for rows in simulation.batches(3)] == [2, 1]
    x = images(rng, 18)
    reference = ReferenceSimulation(simulation.executable).run(x, 6, record=("*",))
    assert_same_run(simulation.run(x, 6, record=("*",)), reference)


def test_what_is_sent_is_read_and_never_added_to(rng: np.random.Generator) -> None:
    """A one-to-one connection passes on the very frames and spikes that others read too."""
    frames = rng.integers(0, 2, (1, 9, 2, 3)).astype(np.float64)
    one, zero = np.ones(()), np.zeros(())
    first = Population("first", (2, 3), one, one, one, zero, zero)
    nodes = (Input("x", (2, 3), "events"), first, replace(first, name="second"))
    wires = tuple(
        Connection(a, b) for a, b in (("x", "first"), ("first", "second")) for _ in range(3)
    )
    simulation = CpuBackend().emit(Network("triple", nodes, wires))
    before = frames.copy()
    assert simulation.parity(frames, 9)["spikes"] > 0
    np.testing.assert_array_equal(frames, before)


def test_parity_states_what_was_compared(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng))
    x = images(rng, 8)
    compared = simulation.parity(x, 12)
    spikes = simulation.run(x[:3], 12).spike_counts
    assert compared == {
        "compared_with": "reference",
        "samples": 3,
        "timesteps": 12,
        "populations": 2,
        "spikes": sum(int(counts.sum()) for counts in spikes.values()),
        "differing_spikes": 0,
    }
    assert compared["spikes"] > 0


def broken(simulation: CpuSimulation, target: str, error: float) -> CpuSimulation:
    """The simulation with sums into a node that are a little off."""
    layer = simulation.program.layers[target]
    assert isinstance(layer, EventLayer)
    for method in METHODS:
        tables = layer.tables(method)
        for table in tables.own if method == "tiles" else (*tables.own, tables.rows):
            if table is not None and table.dtype == np.int8:
                table[:, :, -1] += 1  # the highest digit
            elif table is not None:
                table += table.dtype.type(round(error / layer.numbers.unit))
    return simulation


def test_a_differing_spike_is_an_error(rng: np.random.Generator) -> None:
    simulation = broken(CpuBackend().emit(convolutional(rng)), "second", 0.25)
    with pytest.raises(ParityError) as caught:
        simulation.parity(images(rng, 1), 12)
    text = caught.value.render()
    assert "target 'cpu' differs from the reference in" in text
    assert "of 3,072 spikes and silences  [parity]" in text
    assert "where: population 'second', first at step 0" in text


def test_a_differing_output_is_an_error(rng: np.random.Generator) -> None:
    simulation = broken(CpuBackend().emit(convolutional(rng)), "y", 2.0**-10)
    with pytest.raises(ParityError, match="differs from the reference in its output; readout 'y'"):
        simulation.parity(images(rng, 1), 12)


def test_a_network_without_exact_sums_says_so(rng: np.random.Generator) -> None:
    """Engines may then differ for no fault of their own."""
    executable = replace(prepare(convolutional(rng)), exact=False)
    simulation = broken(CpuSimulation(executable), "y", 2.0**-10)
    assert simulation.fidelity()["exact"] is False
    with pytest.raises(ParityError, match="some of its sums have no exact grid"):
        simulation.parity(images(rng, 1), 12)


def test_what_fails_in_a_batch_is_raised(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = CpuBackend().emit(convolutional(rng), threads=2)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snnconvert.backends.cpu.batch.BatchRun.run", fail)
    with pytest.raises(KeyboardInterrupt):
        simulation.run(images(rng, 4), 4)


def test_a_neuron_that_it_lacks_is_refused(rng: np.random.Generator) -> None:
    network = convolutional(rng)
    leaky = replace(network.populations[1], neuron="leaky")
    with pytest.raises(UnsupportedModelError, match="target 'cpu' has no neuron model 'leaky'"):
        CpuBackend().emit(network.replace_nodes([leaky]))


@pytest.mark.parametrize("target", ["reference", "cpu"])
def test_samples_that_are_no_finite_numbers_are_refused(
    rng: np.random.Generator, target: str
) -> None:
    emitted = get_backend(target).emit(convolutional(rng))
    x = images(rng, 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="hold NaN or infinite values"):
            emitted.run(np.where(x == x.flat[5], bad, x), 4)
    for strange in (x.astype(np.complex64), x.astype(str), x.astype(object)):
        with pytest.raises(DataError, match="which is no number"):
            emitted.run(strange, 4)


def test_timesteps_are_whole_numbers(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng))
    given: Any
    for given in (4.0, "4", None):
        with pytest.raises(UsageError, match="timesteps must be a whole number"):
            simulation.run(images(rng, 1), given)
    given = np.int64(4)  # out of an array of steps
    assert simulation.run(images(rng, 1), given).logits.shape[0] == 4


def test_one_population_is_recorded_by_its_name(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng))
    assert simulation.run(images(rng, 1), 4, record="second").spikes.keys() == {"second"}


def wrong(option: str, value: str) -> dict[str, Any]:
    """Options of a type that annotations exclude, as a configuration file may give them."""
    return {option: value}


def test_options_that_cannot_be_met_are_refused(rng: np.random.Generator) -> None:
    network = convolutional(rng)
    with pytest.raises(UsageError, match="threads must be at least 1, not 0"):
        CpuBackend().emit(network, threads=0)
    with pytest.raises(UsageError, match="memory_bytes must be a number, not '2G'"):
        CpuBackend().emit(network, **wrong("memory_bytes", "2G"))
    assert CpuBackend().emit(network, threads=100_000).plan.threads == most_threads()
    with pytest.raises(UsageError, match="threads must be a whole number, not '2'"):
        CpuBackend().emit(network, **wrong("threads", "2"))
    with pytest.raises(UsageError, match="no option 'thread'; did you mean 'threads'"):
        CpuBackend().emit(network, thread=2)
    needed = bytes_for(prepare(network), 1)
    text = f"one sample for one step takes {needed:,} bytes, memory_bytes is 1,000; allow at least"
    with pytest.raises(UsageError, match=text):
        CpuBackend().emit(network, memory_bytes=1000)


def test_fidelity_says_how_it_runs(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng), threads=3)
    assert simulation.fidelity() == {
        "engine": "spikes as bits in integers, dense operators elsewhere, layer by layer",
        "neuron": "if",
        "reset": "subtract",
        "weight_bits": None,
        "delay": 0,
        "input": "analog current",
        "exact": True,
        "integer_nodes": 2,
        "float32_nodes": 0,
        "float64_nodes": 1,
        "chunk_timesteps": simulation.plan.chunk,
        "batch_samples": simulation.plan.batch,
        "threads": 3,
    }
    assert simulation.resources() == {}
    assert simulation.network is simulation.executable


def test_it_is_registered() -> None:
    assert isinstance(get_backend("cpu"), CpuBackend)


def test_the_settings_of_torch_are_neither_used_nor_changed(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training script may have allowed bfloat16 products; the sums here must stay exact."""
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    plain = convolutional(rng, channels=16)
    graded = plain.replace_nodes(replace(p, neuron="graded:2") for p in plain.populations)
    simulation = CpuBackend().emit(graded, threads=2)
    assert not simulation.program.all_events(8), "graded spikes are floats, for torch"
    seen = []
    currents = DenseKernel.currents

    def watched(kernel: DenseKernel, sent: FloatArray) -> FloatArray:
        mkldnn: Any = torch.backends.mkldnn
        precisions = (mkldnn.conv.fp32_precision, mkldnn.matmul.fp32_precision)
        seen.append((*precisions, torch.get_num_threads()))
        return currents(kernel, sent)

    monkeypatch.setattr(DenseKernel, "currents", watched)
    try:
        torch.set_float32_matmul_precision("medium")
        mkldnn: Any = torch.backends.mkldnn
        before = mkldnn.matmul.fp32_precision
        assert simulation.parity(images(rng, 2), 8)["differing_spikes"] == 0
        assert set(seen) == {("ieee", "ieee", 1)}, "two samples: a thread each"
        seen.clear()
        simulation.run(images(rng, 1), 2)
        assert set(seen) == {("ieee", "ieee", 2)}, "one sample: torch has both threads"
        assert torch.get_float32_matmul_precision() == "medium"
        assert mkldnn.matmul.fp32_precision == before
        assert torch.get_num_threads() == threads
    finally:
        torch.set_float32_matmul_precision(precision)


def run_python(program: str, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_its_import_is_cheap() -> None:
    out = run_python(
        "import sys, snnconvert.backends.cpu\n"
        "print(sorted({'torch', 'numba', 'onnx'} & set(sys.modules)))"
    )
    assert out == "[]\n"


@pytest.mark.slow
def test_it_runs_where_no_kernel_can_be_cached() -> None:
    """A read-only installation and home: Numba finds no folder, and compiles afresh."""
    out = run_python(
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from snnconvert.backends.cpu.fire import integrate_and_fire_signed as advance\n"
        "import numpy as np\n"
        "v, counts, events = np.zeros((1, 3)), *np.zeros((2, 1, 3), np.int64)\n"
        "spikes = np.empty((4, 1, 3), np.float32)\n"
        "half, one = np.full((1, 3), 0.5), np.ones(3)\n"
        "advance(v, half, spikes[:0], one, spikes, counts, events, 4, True, 0)\n"
        "print(counts.tolist(), type(advance._cache).__name__)",
    )
    assert out == "[[2, 2, 2]] NullCache\n"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_timesteps() -> None:
    out = run_python(
        "import resource\n"
        "import numpy as np\n"
        "from snnconvert.backends.cpu import CpuBackend\n"
        "from snnconvert.convert.linear import Convolution\n"
        "from snnconvert.convert.network import Connection, Input, Network, Population\n"
        "one = np.ones(())\n"
        "p = Population('p', (16, 32, 32), one, one, one, one / 8, one / 2)\n"
        "weight = np.ones((16, 16, 3, 3)) / 1024\n"
        "conv = Convolution(p.shape, weight, (1, 1), ((1, 1), (1, 1)), (1, 1))\n"
        "from dataclasses import replace\n"
        "nodes = (Input('x', p.shape), p, replace(p, name='q'))\n"
        "wires = (Connection('x', 'p'), Connection('p', 'q', (conv,)))\n"
        "sim = CpuBackend().emit(Network('n', nodes, wires), threads=1, memory_bytes=2**24)\n"
        "peak = []\n"
        "for steps in (64, 1024):\n"
        "    sim.run(np.full((1, *p.shape), 0.25), steps)\n"
        "    peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "print((peak[1] - peak[0]) // 1024)",
        MALLOC_TRIM_THRESHOLD_="0",
    )
    assert int(out) < 32, "960 steps more of both populations would take 120 MiB as float32"


def test_without_compiled_kernels_torch_runs_the_network(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("snnconvert.backends.cpu.backend.find_spec", lambda name: None)
    network = convolutional(rng)
    with pytest.warns(UserWarning, match="llvmlite and numba cannot be imported: torch runs"):
        simulation = CpuBackend().emit(network)
    x = images(rng, 2)
    result = simulation.run(x, 9)
    expected = ReferenceSimulation(prepare(network).network).run(x, 9)
    np.testing.assert_array_equal(result.logits, expected.logits)


def test_totals_are_sums_over_the_samples(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng, channels=16), threads=2)
    for n, known in ((20, {"first", "second"}), (2, set())):
        result = simulation.run(images(rng, n), 6)
        assert result.totals.keys() == known
        for name, total in result.totals.items():
            np.testing.assert_array_equal(
                total, result.spike_counts[name].sum(axis=0).reshape(-1), err_msg=name
            )


@pytest.mark.usefixtures("without_tiles")
def test_the_profile_names_every_node_and_its_kernel(rng: np.random.Generator) -> None:
    times = CpuBackend().emit(convolutional(rng)).profile(images(rng, 3), 8)
    assert [(t.name, t.kernel) for t in times] == [
        ("first", "constant"),
        ("second", "patterns"),
        ("y", "short_patterns"),
    ]
    assert all(t.seconds >= 0 for t in times)


def test_a_forked_process_starts_threads_of_its_own(rng: np.random.Generator) -> None:
    simulation = CpuBackend().emit(convolutional(rng), threads=2)
    x = images(rng, 4)
    expected = simulation.run(x, 6).logits
    child = os.fork()
    if not child:
        same = np.array_equal(simulation.run(x, 6).logits, expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
