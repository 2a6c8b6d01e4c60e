"""The backend ``cpu``: the whole network on the processor, exact and batched."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, overload

import numpy as np

from snnconvert.backends.base import (
    Capabilities,
    RunResult,
    Samples,
    check_capabilities,
    check_options,
    check_timesteps,
    named_samples,
    network_of,
    prepare,
    recorded_names,
)
from snnconvert.backends.cpu.parity import compare_with_reference
from snnconvert.backends.cpu.plan import Plan, make_plan
from snnconvert.backends.cpu.results import empty_results, run_result
from snnconvert.convert.errors import Problem, UnsupportedModelError, UsageError
from snnconvert.convert.network import Encoding, Network, Reset
from snnconvert.convert.snap import Executable

if TYPE_CHECKING:
    from snnconvert.backends.cpu.program import Program
    from snnconvert.backends.cuda import DeviceSimulation

_ENCODINGS: dict[Encoding, str] = {"current": "analog current", "events": "events"}


class NodeTime(NamedTuple):
    """How long a node took.

    Attributes
    ----------
    name : str
    kernel : str
        How it was computed: "patterns", "short_patterns", "events", "tiles",
        "constant" or "dense".
    seconds : float
    """

    name: str
    kernel: str
    seconds: float


class CpuBackend:
    """Layer by layer, many timesteps and samples at once: spikes as bits where integers fit."""

    name: ClassVar[str] = "cpu"
    default_reset: ClassVar[Reset] = "subtract"
    capabilities: ClassVar[Capabilities] = Capabilities(
        neurons=frozenset({"if", "signed", "graded"}),
        options=frozenset({"device", "threads", "memory_bytes"}),
        summary="this processor, layer by layer, spike for spike equal to the reference",
    )

    def check(self, network: Network) -> list[Problem]:
        """Return every reason why the target cannot run the network."""
        return check_capabilities(self.name, self.capabilities, network)

    @overload
    def emit(
        self,
        model: Any,
        *,
        device: Literal["cpu"] = "cpu",
        threads: int | None = None,
        memory_bytes: int | None = None,
        **unknown: Any,
    ) -> CpuSimulation: ...

    @overload
    def emit(
        self,
        model: Any,
        *,
        device: str,
        threads: int | None = None,
        memory_bytes: int | None = None,
        **unknown: Any,
    ) -> CpuSimulation | DeviceSimulation: ...

    def emit(
        self,
        model: Any,
        *,
        device: str = "cpu",
        threads: int | None = None,
        memory_bytes: int | None = None,
        **unknown: Any,
    ) -> CpuSimulation | DeviceSimulation:
        """Prepare a SpikingModel or Network for this processor, or for a GPU.

        Parameters
        ----------
        model : SpikingModel or Network
        device : str
            "cpu", or "cuda" ("cuda:1", ...) to run the same network on a GPU through torch.
        threads : int or None
            None: every processor that the process may use (``OMP_NUM_THREADS`` where it is set).
        memory_bytes : int or None
            Memory for spikes, sums and voltages together; decides how many steps and samples go
            together, never the result. None: a share of the memory that is free now.

        Raises
        ------
        UnsupportedModelError
            If the network needs what this backend lacks.
        UsageError
            If `threads` is below 1, or asked for on a GPU; if there is no such device, the memory
            does not hold one sample for one step, or there is an option of another name.
        """
        check_options(self.name, self.capabilities, unknown)
        network = network_of(model)
        problems = self.check(network)
        if problems:
            raise UnsupportedModelError(problems, model=network.name)
        if device != "cpu":
            from snnconvert.backends.cuda import DeviceSimulation

            if threads is not None:
                raise UsageError(
                    f"threads are the processor's, device {device!r} was asked for",
                    hint="leave out threads",
                )
            return DeviceSimulation(prepare(network), device, memory_bytes=memory_bytes)
        missing = [name for name in ("llvmlite", "numba") if find_spec(name) is None]
        if missing:
            from snnconvert.backends.cuda import DeviceSimulation

            warnings.warn(
                f"{' and '.join(missing)} cannot be imported: torch runs the network instead of "
                f"compiled kernels, many times slower (pip install {' '.join(missing)})",
                stacklevel=2,
            )
            return DeviceSimulation(prepare(network), "cpu", memory_bytes=memory_bytes)
        return CpuSimulation(prepare(network), threads=threads, memory_bytes=memory_bytes)


class CpuSimulation:
    """A network ready to run on this processor.

    Parameters
    ----------
    executable : Executable
        As it is to be simulated: nothing is normalised or rounded here.
    threads, memory_bytes : int or None
        See :meth:`CpuBackend.emit`.
    """

    def __init__(
        self,
        executable: Executable,
        *,
        threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.network = executable.network
        self.executable = executable.network
        self._exact = executable.exact
        self.plan: Plan = make_plan(executable, threads, memory_bytes)
        self._owner = 0

    @cached_property
    def program(self) -> Program:
        """The network compiled for this engine, at the first use."""
        from snnconvert.backends.cpu.program import Program

        return Program(self.executable, self.plan)

    def _pools(self) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
        """Return threads for batches and for parts of samples, kept with their memory.

        A forked process has none of its parent's threads and starts its own.
        """
        if self._owner != os.getpid():
            threads = self.plan.threads
            self._kept = ThreadPoolExecutor(threads), ThreadPoolExecutor(threads)
            self._owner = os.getpid()
        return self._kept

    def run(self, x: Samples, timesteps: int, *, record: Sequence[str] = ()) -> RunResult:
        """Simulate all samples for a window of `timesteps` (see ``Emitted.run``).

        Batches of samples go to threads; within a batch, torch gets the threads that are left.
        """
        from snnconvert.backends.cpu.batch import run_batch

        network = self.executable
        steps = check_timesteps(network, timesteps)
        recorded = recorded_names(network, record)
        samples = named_samples(network, x)
        n = len(next(iter(samples.values())))
        program = self.program
        layout = program.counts_layout(steps)
        results = empty_results(network, n, steps, timesteps, recorded, layout)
        batches = list(self.batches(n))
        workers = max(min(self.plan.threads, len(batches)), 1)
        inner = self.plan.threads // workers

        def simulate(rows: slice) -> None:
            part = {name: array[rows] for name, array in samples.items()}
            run_batch(program, part, steps, results, rows, parts if inner > 1 else None, inner)

        with self._threads(steps, inner) as (pool, parts):
            if workers == 1 and inner > 1:  # in this thread, whose memory is there from run to run
                for rows in batches:
                    simulate(rows)
            else:
                for _ in pool.map(simulate, batches):
                    pass
        return run_result(network, results, steps - timesteps)

    @contextmanager
    def _threads(
        self, steps: int, inner: int
    ) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
        """Give threads for batches and for parts of samples.

        torch is set up where a node needs it: importing it takes longer than a short run.
        """
        if self.program.all_events(steps):
            yield self._pools()
            return
        import torch

        from snnconvert.backends.cpu.dense import exact_torch, torch_threads

        def new_pool() -> ThreadPoolExecutor:
            return ThreadPoolExecutor(
                self.plan.threads, initializer=torch.set_num_threads, initargs=(max(inner, 1),)
            )

        with torch_threads(inner), exact_torch(), new_pool() as pool, new_pool() as parts:
            yield pool, parts

    def profile(self, x: Samples, timesteps: int) -> list[NodeTime]:
        """Simulate on one thread and return the seconds of each node, in order.

        Parameters as for :meth:`run`. The first run, which compiles kernels and makes tables, is
        not timed.
        """
        from snnconvert.backends.cpu.batch import run_batch

        self.run(x, timesteps)
        samples = named_samples(self.executable, x)
        n, steps = len(next(iter(samples.values()))), check_timesteps(self.executable, timesteps)
        layout = self.program.counts_layout(steps)
        results = empty_results(self.executable, n, steps, timesteps, frozenset(), layout)
        clock: dict[str, float] = {}
        with self._threads(steps, 1):
            for first in range(0, n, self.plan.batch):
                rows = slice(first, min(first + self.plan.batch, n))
                part = {name: array[rows] for name, array in samples.items()}
                run_batch(self.program, part, steps, results, rows, clock=clock)
        return [NodeTime(name, self.program.how(name), spent) for name, spent in clock.items()]

    def batches(self, n: int) -> Iterator[slice]:
        """Cut the samples into batches of equal size, a multiple of the threads where possible."""
        rounds = -(-n // (self.plan.batch * self.plan.threads))
        size = max(-(-n // max(rounds * self.plan.threads, 1)), 1)
        yield from (slice(first, min(first + size, n)) for first in range(0, n, size))

    def resources(self) -> dict[str, Any]:
        """Return nothing: a processor has no limits worth a table."""
        return {}

    def fidelity(self) -> dict[str, Any]:
        """Return how the network is simulated, number types and sizes of the pieces included."""
        from snnconvert.backends.cpu.event_layer import EventLayer

        network, layers = self.executable, self.program.layers
        integers = sum(isinstance(layer, EventLayer) for layer in layers.values())
        dense = [dtype for name, dtype in self.plan.sums.items() if name not in layers]
        single = sum(dtype == np.float32 for dtype in dense)
        return {
            "engine": "spikes as bits in integers, dense operators elsewhere, layer by layer",
            "neuron": ", ".join(sorted({p.neuron for p in network.populations})),
            "reset": network.reset,
            "weight_bits": network.weight_bits,
            "delay": 0,
            "input": ", ".join(sorted({_ENCODINGS[i.encoding] for i in network.inputs})),
            "exact": self._exact,
            "integer_nodes": integers,
            "float32_nodes": single,
            "float64_nodes": len(self.plan.sums) - integers - single,
            "chunk_timesteps": self.plan.chunk,
            "batch_samples": self.plan.batch,
            "threads": self.plan.threads,
        }

    def parity(self, x: Samples, timesteps: int) -> dict[str, Any]:
        """Compare a few samples with the reference, spike for spike, all populations.

        Raises
        ------
        ParityError
            If a single spike or output differs.
        """
        return compare_with_reference(self, x, timesteps, exact=self._exact, chunk=self.plan.chunk)
