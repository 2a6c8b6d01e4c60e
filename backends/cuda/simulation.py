"""A network ready to run on a GPU, or on any other device of torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from snnconvert.backends.base import (
    RunResult,
    Samples,
    check_timesteps,
    named_samples,
    recorded_names,
)
from snnconvert.backends.cpu.parity import compare_with_reference
from snnconvert.backends.cpu.results import counts_layout, empty_results, run_result
from snnconvert.backends.cuda.plan import make_device_plan
from snnconvert.convert.snap import Executable

if TYPE_CHECKING:
    from snnconvert.backends.cuda.batch import DeviceProgram


class DeviceSimulation:
    """The CPU target's network on a device: the same results, dense, many steps at a time.

    Parameters
    ----------
    executable : Executable
        As it is to be simulated: nothing is normalised or rounded here.
    device : str
        "cuda", "cuda:1"; "cpu" runs the same program on the processor.
    memory_bytes : int or None
        Memory for spikes, sums and voltages together; None: half of what is free on the device.
    half : bool or None
        Half precision where it is exact; None: on GPUs.

    Raises
    ------
    UsageError
        If there is no such device, or the memory does not hold one sample for one step.
    """

    def __init__(
        self,
        executable: Executable,
        device: str,
        *,
        memory_bytes: int | None = None,
        half: bool | None = None,
    ) -> None:
        from snnconvert.backends.cuda.device import find_device, memory_budget

        self.network = self.executable = executable.network
        self._exact = executable.exact
        self._device = find_device(device)
        budget = memory_budget(self._device) if memory_bytes is None else memory_bytes
        half = self._device.type == "cuda" if half is None else half
        self.plan = make_device_plan(executable, budget, half=half)

    @cached_property
    def program(self) -> DeviceProgram:
        """The network in the device's memory, at the first use."""
        from snnconvert.backends.cuda.batch import DeviceProgram

        return DeviceProgram(self.executable, self.plan, self._device)

    def run(self, x: Samples, timesteps: int, *, record: Sequence[str] = ()) -> RunResult:
        """Simulate all samples for a window of `timesteps` (see ``Emitted.run``)."""
        from snnconvert.backends.cuda.batch import DeviceBatch
        from snnconvert.backends.cuda.device import exact_sums

        network = self.executable
        steps = check_timesteps(network, timesteps)
        recorded = recorded_names(network, record)
        samples = named_samples(network, x)
        n = len(next(iter(samples.values())))
        layout = counts_layout(network, of_bits=())
        results = empty_results(network, n, steps, timesteps, recorded, layout)
        with exact_sums(self._device):
            for first in range(0, n, self.plan.batch):
                rows = slice(first, min(first + self.plan.batch, n))
                part = {name: array[rows] for name, array in samples.items()}
                DeviceBatch(self.program, part, steps, results, rows).run()
        return run_result(network, results, steps - timesteps)

    def resources(self) -> dict[str, Any]:
        """Return nothing: a GPU has no limits worth a table."""
        return {}

    def fidelity(self) -> dict[str, Any]:
        """Return how the network is simulated: device, number types, sizes of the pieces."""
        from snnconvert.backends.cuda.device import describe

        network, types = self.executable, [d.name for d in self.plan.sums.values()]
        kinds = {"current": "analog current", "events": "events"}
        return {
            "engine": "torch, layer by layer, dense",
            "device": str(self._device),
            "device_name": describe(self._device),
            "neuron": ", ".join(sorted({p.neuron for p in network.populations})),
            "reset": network.reset,
            "weight_bits": network.weight_bits,
            "delay": 0,
            "input": ", ".join(sorted({kinds[i.encoding] for i in network.inputs})),
            "exact": self._exact,
            **{f"{name}_nodes": types.count(name) for name in ("float16", "float32", "float64")},
            "chunk_timesteps": self.plan.chunk,
            "batch_samples": self.plan.batch,
        }

    def parity(self, x: Samples, timesteps: int) -> dict[str, Any]:
        """Compare a few samples with the reference, spike for spike, all populations.

        Raises
        ------
        ParityError
            If a single spike or output differs.
        """
        return compare_with_reference(self, x, timesteps, exact=self._exact, chunk=self.plan.chunk)
