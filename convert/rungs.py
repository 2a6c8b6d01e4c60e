"""The rungs of the ladder between the ANN and the target, all on the same first rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import get_backend, prepare
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.convert.blas import one_blas_thread
from snnconvert.convert.build_network import build_network
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population, with_reset
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.rows import Samples, in_batches, some_rows
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.convert.threads import on_threads
from snnconvert.reports.checkpoint import Checkpoint, Nowhere
from snnconvert.reports.evaluation import Measurement
from snnconvert.reports.ladder import Rung

Batch: TypeAlias = Mapping[str, npt.NDArray[Any]]

LEAST_ROWS = 64
FREE_WORK = 2e9
"""Multiply-adds of the ANN that a rung may take anyway: a fraction of a second."""

ROWS_A_STEP = 1 / 2048
"""Share of the rows, for each timestep, on which rungs are computed beyond that. A row of quantised
values takes the time of some thirty timesteps: a sixtieth of the simulation, whatever T is."""

SIMULATED_SHARE = 1 / 20
"""Share of the rows where rungs are simulations of their own, each as dear as the target's run."""

ROWS_AT_ONCE = 8
"""Of quantised values, which then stay in the processor's cache; the same for every batch size and
number of threads, which could change the last bit of a sum."""

ROWS_KEPT = 32
"""Rows of quantised values, on several threads, after which they are kept."""


@dataclass(frozen=True, eq=False)
class Rungs:
    """Computes the rungs that are no run of the target.

    Attributes
    ----------
    snn : SpikingModel
    target : str
    samples : dict of RowArray
    readout : str
        Of the output that the report is about.
    measured : Measurement
        The target's run.
    batch_size : int
    progress : callable or None
        Called with the rows done and in all, of all rungs together.
    checkpoint : callable
        Returns the checkpoint of a rung.
    """

    snn: SpikingModel
    target: str
    samples: Samples
    readout: str
    measured: Measurement
    batch_size: int
    progress: Callable[[int, int], None] | None = None
    checkpoint: Callable[[str], Checkpoint] = lambda _: Nowhere()

    def all(self) -> tuple[Rung, ...]:
        """Return the rungs between the ANN and the target."""
        network, exact = self.snn.network, self._exact
        plain = replace(network, weight_bits=None)
        softly = with_reset(plain.replace_nodes(map(uncorrected, plain.populations)), "subtract")
        spiking = plain if network.reset == "subtract" else softly
        runs: dict[str, Callable[[], Callable[[Batch], FloatArray]]] = {
            "quantised_ann": self._quantised
        }
        if not exact or network.weight_bits is not None:
            runs["snn"] = lambda: self._on_cpu(spiking)
        if not exact and network.weight_bits is not None:
            integer = replace(spiking, weight_bits=network.weight_bits)
            runs["integer_snn"] = lambda: self._on_cpu(integer)
        found = {
            name: self._computed(name, run(), position, len(runs))
            for position, (name, run) in enumerate(runs.items())
        }
        found["snn"] = found.get("snn") or self._as_measured("snn")
        if network.weight_bits is None:
            own = "no --weight-bits; a target's own precision is part of its own rung"
            found["integer_snn"] = Rung("integer_snn", reason=own)
        else:
            found["integer_snn"] = found.get("integer_snn") or self._as_measured("integer_snn")
        return tuple(found[name] for name in ("quantised_ann", "snn", "integer_snn"))

    @property
    def _exact(self) -> bool:
        """Whether the target runs the very network."""
        return get_backend(self.target).capabilities.exact and self.snn.network.reset == "subtract"

    @property
    def rows(self) -> int:
        """The first rows on which the rungs are computed."""
        samples, share = self.measured.samples, ROWS_A_STEP * len(self.measured.accuracy)
        if not self._exact or self.snn.network.weight_bits is not None:
            share = min(share, SIMULATED_SHARE)
        free = int(FREE_WORK / max(self.measured.operations.ann_macs, 1.0))
        return min(samples, max(LEAST_ROWS, free, int(share * samples)))

    def _computed(
        self, name: str, run: Callable[[Batch], FloatArray], position: int, rungs: int
    ) -> Rung:
        checkpoint = self.checkpoint(name)
        kept = checkpoint.state
        parts = [] if kept is None else [np.asarray(kept["outputs"])]
        done = sum(map(len, parts))
        size = ROWS_KEPT if name == "quantised_ann" else self.batch_size
        for here in in_batches(self.samples, size, self.rows):
            if here.stop > done:
                parts.append(run(some_rows(self.samples, here)))
                checkpoint.keep({"outputs": np.concatenate(parts)})
            if self.progress is not None:
                self.progress(position * self.rows + here.stop, rungs * self.rows)
        outputs = np.concatenate(parts)
        return Rung.measured(name, self.measured.standings.standing(outputs), len(outputs))

    def _as_measured(self, name: str) -> Rung:
        """Return a rung that is the target's own run."""
        return Rung.measured(name, self.measured.standings.ends(self.rows)[1], self.rows)

    def _quantised(self) -> Callable[[Batch], FloatArray]:
        timesteps = len(self.measured.accuracy)
        levels = self.snn.network.timesteps or timesteps  # a staged one has those of its windows
        executable = prepare(quantised_network(self.snn)).network
        # Where every integer counts, a staged run gives the very same ones.
        exactly = self.snn.schedule == "full" or executable.fine
        dtype = np.float64 if exactly else np.float32

        def few(rows: Batch) -> FloatArray:
            return quantised_forward(executable, rows, levels, dtype=dtype)[self.readout]

        def run(rows: Batch) -> FloatArray:
            pieces = [some_rows(rows, here) for here in in_batches(rows, ROWS_AT_ONCE)]
            with one_blas_thread():
                return np.concatenate(on_threads(few, pieces))

        return run

    def _on_cpu(self, network: Network) -> Callable[[Batch], FloatArray]:
        timesteps, simulation = len(self.measured.accuracy), get_backend("cpu").emit(network)
        return lambda rows: simulation.run(rows, timesteps).outputs[self.readout][-1]


def quantised_network(snn: SpikingModel) -> Network:
    """Return the network whose quantised values are the bound of a converted one.

    With the schedule full it is the network itself. Other corrections make up for what spikes do in
    time, which quantised values do not: the bound has the file's weights and the same thresholds.
    """
    network = replace(snn.network, weight_bits=None)
    if network.reset == "zero":
        return network.replace_nodes(map(uncorrected, network.populations))
    if snn.schedule == "full" or not network.populations:
        return network
    highest = spike_values(network.populations[0].neuron).highest
    built = build_network(
        snn.graph,
        {str(p.tensor): p.threshold * highest for p in network.populations},
        input_bounds={node.name: node.bound for node in network.inputs},
        neuron=network.populations[0].neuron,
    )
    return replace(built, fine=network.fine)


def uncorrected(population: Population) -> Population:
    """Return the population without what was corrected for its dynamics alone.

    Gains make up for spikes that reset to zero loses, initial potentials for those of the first
    steps; quantised activations have neither loss, and half a threshold rounds them.
    """
    return replace(
        population, amplitude=population.threshold, v_init=np.asarray(population.threshold / 2)
    )
