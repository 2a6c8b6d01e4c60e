"""The network on its target: running it, and comparing it with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import (
    RunResult,
    Samples,
    check_timesteps,
    named_samples,
    recorded_names,
)
from snnconvert.backends.nengo.build import add_probes, build_network
from snnconvert.backends.nengo.engine import double_precision, nengo
from snnconvert.backends.nengo.transforms import stored_weights
from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.errors import ParityError, UsageError
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.snap import Executable

CHUNK = 16
"""Steps after which probes are emptied: they hold 8 bytes a neuron and step."""

INEXACT_TOLERANCE = 1e-9
"""Outputs differ by rounding, about 1e-16, where no grid makes all sums exact."""


class NengoEmitted:
    """A ``nengo.Network`` to embed in a larger model, or to run as it is.

    Parameters
    ----------
    prepared : Executable
        Normalised and on exact grids (``backends.base.prepare``).
    dt : float
        Seconds a step; 1/dt is a whole number.
    seed : int
    probes : bool
        Whether the network holds probes of all spikes and outputs.
    restart_every : int, optional
        Steps after which all state begins anew within a simulation.

    Attributes
    ----------
    executable : Network
        What is simulated.
    exact : bool
        Whether all sums are exact, so that every spike equals the reference's.
    network : nengo.Network
        Also carries ``input``, ``output`` and ``layers``.
    inputs, outputs : dict of nengo.Node
        By the names of the ONNX inputs and outputs. An output is decoded as everywhere else, the
        mean of its current so far in ANN units: logits after as many steps as were simulated
        since the last restart.
    currents : dict of nengo.Node
        What flows into each output; times dt, it is what the output is the mean of.
    layers : dict of nengo.Ensemble
        By the names of the populations.
    relays : dict of nengo.Node
        Passthrough nodes of weighted sums that several layers use.
    probes : dict of nengo.Probe
        Spikes of the layers, and the outputs; empty if none were asked for.
    """

    def __init__(
        self,
        prepared: Executable,
        *,
        dt: float = 0.001,
        seed: int = 0,
        probes: bool = True,
        restart_every: int | None = None,
    ) -> None:
        self.executable = executable = prepared.network
        self.exact = prepared.exact
        self.dt = dt
        self.restart_every = restart_every
        with double_precision():
            parts = build_network(
                executable, dt=dt, seed=seed, probes=probes, restart_every=restart_every
            )
        self._parts = parts
        self.network = parts.network
        self.inputs, self.outputs = parts.inputs, parts.outputs
        self.layers, self.probes = parts.layers, parts.probes
        self.currents = {r.name: parts.sums[r.name] for r in executable.readouts}
        self.relays = {r.name: parts.sums[r.name] for r in executable.relays}
        self.network.input, self.network.output = self.input, self.output
        self.network.layers = self.layers

    @property
    def input(self) -> Any:
        """The first input's ``nengo.Node``: connect your own node to it, or :meth:`present`."""
        return next(iter(self.inputs.values()))

    @property
    def output(self) -> Any:
        """The first output's ``nengo.Node``."""
        return next(iter(self.outputs.values()))

    def present(self, sample: Samples) -> None:
        """Set one sample, which the input nodes then send in every simulation of the network.

        Parameters
        ----------
        sample : (*shape) array or dict of arrays by input name
            Events: (T, *shape), one frame a step.

        Raises
        ------
        DataError
            If an input is missing or has another shape.
        """
        batch: dict[str, npt.NDArray[Any]] | npt.NDArray[Any]
        if isinstance(sample, Mapping):
            batch = {name: np.asarray(x)[None] for name, x in sample.items()}
        else:
            batch = np.asarray(sample)[None]
        for name, x in named_samples(self.executable, batch).items():
            self.inputs[name].output.sample = x[0]

    def run(self, x: Samples, timesteps: int, *, record: Sequence[str] = ()) -> RunResult:
        """Simulate all samples, one after the other, for a window of `timesteps`.

        ``nengo.Simulator`` runs :attr:`network` alone, whatever it is embedded in, and is reset
        before each sample. See ``Emitted.run`` for parameters and result.
        """
        steps = check_timesteps(self.executable, timesteps)
        if self.restart_every is not None and steps > self.restart_every:
            raise UsageError(
                f"a run of {steps} steps; the network was emitted to restart every "
                f"{self.restart_every}",
                hint="emit it without restart_every, or run fewer timesteps",
            )
        recorded = recorded_names(self.executable, record)
        samples = named_samples(self.executable, x)
        n = len(next(iter(samples.values())))
        collected = _Collected(self.executable, n, timesteps, steps, recorded, self.dt)
        with self._simulator() as (simulator, probes), self._own_samples():
            for i in range(n):
                for name, array in samples.items():
                    self.inputs[name].output.sample = array[i]
                simulator.reset()
                for start in range(0, steps, CHUNK):
                    simulator.run_steps(min(CHUNK, steps - start))
                    collected.take(i, start, {k: simulator.data[p] for k, p in probes.items()})
                    simulator.clear_probes()
        return RunResult(
            outputs=collected.outputs,
            spike_counts=collected.counts,
            events=collected.events,
            spikes=collected.spikes,
            latency=steps - timesteps,
        )

    @contextmanager
    def _simulator(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Build a Simulator of the network alone, with probes of all spikes and outputs."""
        network, probes = self.network, self.probes
        if not probes:
            network = nengo.Network(seed=self.network.seed, add_to_container=False)
            with network:
                network.add(self.network)
            probes = add_probes(self._parts, network)
        # A Model of our own has no decoder cache: nothing is decoded, and no file is touched.
        model = nengo.builder.Model(dt=self.dt, label=self.network.label)
        with double_precision():
            simulator = nengo.Simulator(network, model=model, progress_bar=False)
        with simulator:
            yield simulator, probes

    @contextmanager
    def _own_samples(self) -> Iterator[None]:
        """Put back afterwards what the user had presented."""
        processes = [node.output for node in self.inputs.values()]
        presented = [process.sample for process in processes]
        try:
            yield
        finally:
            for process, sample in zip(processes, presented, strict=True):
                process.sample = sample

    def resources(self) -> dict[str, Any]:
        """Return what the ``nengo.Network`` consists of.

        Weights are counted as they are stored: a convolution's kernel once.
        """
        return {
            "ensembles": len(self.network.all_ensembles),
            "neurons": sum(ensemble.n_neurons for ensemble in self.network.all_ensembles),
            "nodes": len(self.network.all_nodes),
            "connections": len(self.network.all_connections),
            "nonzero_weights": sum(
                stored_weights(c.transform) for c in self.network.all_connections
            ),
            "probes": len(self.network.all_probes),
        }

    def fidelity(self) -> dict[str, Any]:
        """Return how the network is simulated."""
        encodings = {node.encoding for node in self.executable.inputs}
        return {
            "engine": f"nengo {nengo.__version__}",
            "neuron": ", ".join(sorted({p.neuron for p in self.executable.populations})),
            "reset": self.executable.reset,
            "dt": self.dt,
            "delay": 0,
            "weight_bits": self.executable.weight_bits,
            "input": ", ".join(
                sorted("analog current" if e == "current" else e for e in encodings)
            ),
            "exact": self.exact,
        }

    def parity(self, x: Samples, timesteps: int, *, samples: int = 4) -> dict[str, Any]:
        """Compare every spike and output of the first few samples with the reference.

        Parameters
        ----------
        x : (N, *shape) array or dict of arrays by input name
        timesteps : int
        samples : int
            How many of them.

        Raises
        ------
        ParityError
            If a single entry differs (in outputs of a network without exact grids: by more than
            rounding).
        """
        some = {k: a[:samples] for k, a in named_samples(self.executable, x).items()}
        ours = self.run(some, timesteps, record=("*",))
        theirs = ReferenceSimulation(self.executable).run(some, timesteps, record=("*",))
        differing = {n: int((train != theirs.spikes[n]).sum()) for n, train in ours.spikes.items()}
        total = sum(differing.values())
        if total:
            raise ParityError(
                f"nengo and the reference differ in {total:,} of "
                f"{sum(train.size for train in ours.spikes.values()):,} spike entries",
                where="populations " + ", ".join(n for n, count in differing.items() if count),
            )
        tolerance = 0.0 if self.exact else INEXACT_TOLERANCE
        for name, output in theirs.outputs.items():
            if not np.allclose(ours.outputs[name], output, rtol=tolerance, atol=tolerance):
                raise ParityError(f"nengo and the reference differ in output {name!r}")
        return {
            "compared_with": "reference",
            "samples": len(next(iter(some.values()))),
            "timesteps": timesteps,
            "populations": len(ours.spikes),
            "spikes": sum(int(np.count_nonzero(train)) for train in ours.spikes.values()),
            "differing_spikes": total,
        }


class _Collected:
    """What the probes of all samples hold, in the form of a RunResult."""

    def __init__(
        self,
        network: Network,
        n: int,
        timesteps: int,
        steps: int,
        recorded: frozenset[str],
        dt: float,
    ) -> None:
        self.network = network
        self.timesteps = timesteps
        self.rate = round(1 / dt)
        self.outputs: dict[str, FloatArray] = {
            r.name: np.empty((timesteps, n, *r.shape)) for r in network.readouts
        }
        self.counts = {p.name: np.zeros((n, *p.shape), np.int64) for p in network.populations}
        self.events = {
            p.name: np.zeros((n, *p.shape), np.int64)
            for p in network.populations
            if not spike_values(p.neuron).binary
        }
        self.spikes = {
            p.name: np.empty((steps, n, *p.shape), spike_values(p.neuron).dtype)
            for p in network.populations
            if p.name in recorded
        }

    def take(self, sample: int, start: int, probed: dict[str, FloatArray]) -> None:
        """Add the steps from `start` of one sample."""
        for p in self.network.populations:
            heights = np.rint(probed[p.name].reshape(-1, *p.shape) / self.rate)
            fired = heights.astype(np.int64)
            self.counts[p.name][sample] += fired.sum(axis=0)
            if p.name in self.events:
                self.events[p.name][sample] += np.count_nonzero(fired, axis=0)
            if p.name in self.spikes:
                self.spikes[p.name][start : start + len(fired), sample] = fired
        for r in self.network.readouts:
            # Steps before the readout's window, and after it where another one is later, are left.
            values = probed[r.name].reshape(-1, *r.shape)
            t = np.arange(start, start + len(values)) - r.start
            inside = (t >= 0) & (t < self.timesteps)
            self.outputs[r.name][t[inside], sample] = values[inside]
