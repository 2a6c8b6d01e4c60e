"""A network on the emulated chip: run it, compare engine and emulator, say what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import (
    RunResult,
    Samples,
    check_timesteps,
    decode,
    named_samples,
    recorded_names,
)
from snnconvert.backends.loihi.blueprint import Blueprint, Layer, host_currents
from snnconvert.backends.loihi.chip import Chip
from snnconvert.backends.loihi.construct import construct, readout_exponent
from snnconvert.backends.loihi.emulator import Emulator
from snnconvert.backends.loihi.engine import Engine, EngineResult
from snnconvert.backends.loihi.executable import executable_network
from snnconvert.backends.loihi.extract import IntegerNetwork
from snnconvert.backends.loihi.planner import Plan
from snnconvert.backends.loihi.resources import resources
from snnconvert.backends.loihi.scales import BIAS_MAX, SMALLEST_EXPONENT, bias_to_integers
from snnconvert.convert.errors import DataError, ParityError
from snnconvert.convert.network import Network, Readout

EngineKind: TypeAlias = Literal["fast", "emulator"]
Ints = npt.NDArray[np.int32]

BATCH = 256
"""Samples whose host currents are held at once."""
ENGINES = {
    "fast": "integer network read back from the built chip, in batches",
    "emulator": "nengo-loihi's emulator, one sample after the other",
}


@dataclass(frozen=True)
class Options:
    """How the network is put on the chip and run; see ``LoihiBackend.emit``."""

    input: Literal["host", "neurons"]
    signed_input: bool
    parity_samples: int
    engine: EngineKind
    seed: int
    timesteps: int


class LoihiEmitted:
    """A network on the emulated chip.

    Parameters
    ----------
    blueprint : Blueprint
    options : Options

    Attributes
    ----------
    chip : Chip
        The built chip; ``chip.simulator`` is the ``nengo_loihi.Simulator``.
    plan : dict of str to Tiling
        How each layer is cut into cores.
    integers : IntegerNetwork
        Weights, thresholds and biases as the chip holds them.
    """

    def __init__(self, blueprint: Blueprint, options: Options) -> None:
        self.options = options
        self._readout_exponent = readout_exponent(options.timesteps + blueprint.latency)
        self._drawn = blueprint
        self._construct()

    def _construct(self) -> None:
        built = construct(
            self._drawn, readout_exponent=self._readout_exponent, seed=self.options.seed
        )
        self.blueprint: Blueprint = built.blueprint
        self.plan: Plan = built.plan
        self.chip: Chip = built.chip
        self.integers: IntegerNetwork = built.integers
        readouts = [x.name for x in self.blueprint.layers if x.kind == "readout"]
        shapes = {layer.name: layer.shape for layer in self.blueprint.layers}
        self._engine = Engine(self.integers, shapes, readouts)
        self._emulator = Emulator(self.chip.simulator, self.chip.ensembles, readouts)
        vars(self).pop("executable", None)

    @property
    def network(self) -> Any:
        """The ``nengo.Network``; ``nengo_loihi.Simulator(network, target="sim")`` builds it."""
        return self.chip.network

    @property
    def layers(self) -> dict[str, Any]:
        """The ``nengo.Ensemble`` of every layer, by its name."""
        return self.chip.ensembles

    @property
    def probes(self) -> dict[str, Any]:
        """The ``nengo.Probe`` of every readout's voltages, by its name."""
        return self.chip.probes

    def present(self, x: Samples, simulator: Any) -> None:
        """Write one sample to the bias registers of a simulator of your own.

        Parameters
        ----------
        x : (*shape) array or dict of arrays by input name
            One preprocessed sample.
        simulator : nengo_loihi.Simulator
            Of :attr:`network`, on the emulator.
        """
        one = {k: v[None] for k, v in x.items()} if isinstance(x, Mapping) else np.asarray(x)[None]
        bias, _ = self._biases(named_samples(self.blueprint.network, one))
        emulator = Emulator(simulator, self.chip.ensembles)
        emulator.write({name: rows[0] for name, rows in bias.items()})

    @cached_property
    def executable(self) -> Network:
        """The integer network as a Network: see ``executable.py``."""
        return executable_network(self.blueprint, self.integers)

    def run(self, x: Samples, timesteps: int, *, record: Sequence[str] = ()) -> RunResult:
        """Simulate all samples for a window of `timesteps` (see ``Emitted.run``).

        The window begins when the sample can have reached the readouts, ``latency`` steps after
        its first step. Outputs are what the readouts' membranes gained within the window.

        Raises
        ------
        DataError
            If samples are negative or not finite where the input has no neurons for them.
        """
        steps = check_timesteps(self.executable, timesteps)
        samples = named_samples(self.blueprint.network, x)
        recorded = recorded_names(self.executable, record)
        while True:
            exponent, parts, clipped = self._readout_exponent, [], 0
            for rows in _batches(samples):
                result, lost = self._simulate(rows, steps, sorted(recorded))
                clipped += lost
                parts.append(self._decode(result, recorded))
            if exponent == self._readout_exponent:  # all batches ran on one chip
                return _joined(parts, {"clipped_currents": clipped})

    def _simulate(
        self, rows: dict[str, npt.NDArray[Any]], steps: int, recorded: Sequence[str]
    ) -> tuple[EngineResult, int]:
        """Run a batch; rebuild with a wider range where a readout's membrane saturates."""
        count = len(next(iter(rows.values())))
        while True:
            bias, clipped = self._biases(rows)
            if self.options.engine == "emulator":
                result = self._emulator.run(bias, count, steps)
            else:
                result = self._engine.run(bias, count, steps, record=recorded)
            if not self._saturated(result) or self._readout_exponent == SMALLEST_EXPONENT:
                return result, clipped
            self._readout_exponent -= 1
            self._construct()

    def _saturated(self, result: EngineResult) -> bool:
        """Tell whether a readout's membrane was clipped, or fired."""
        for name, voltage in result.voltages.items():
            layer = self.integers[name]
            clipped = (voltage >= layer.highest) | (voltage <= layer.lowest)
            if clipped.any() or result.counts[name].any():
                return True
        return False

    def _biases(self, rows: dict[str, npt.NDArray[Any]]) -> tuple[dict[str, Ints], int]:
        """Return the bias registers for each sample, and how many currents did not fit."""
        biases, clipped = {}, 0
        for layer in self.blueprint.layers:
            currents = host_currents(layer, rows)
            if currents is None:
                continue
            if layer.kind == "input" and not self.options.signed_input and (currents < 0).any():
                raise DataError(
                    f"samples are negative, {layer.name!r} has neurons for positive values only",
                    hint="leave out signed_input=False",
                )
            if not np.isfinite(currents).all():
                raise DataError(f"samples give infinite currents or NaN in layer {layer.name!r}")
            exact = currents * self.integers[layer.name].scale
            if layer.kind == "readout" or self.blueprint.incoming(layer.name):
                clipped += int((np.abs(exact) > BIAS_MAX + 0.5).sum())
            biases[layer.name] = bias_to_integers(exact)
        return biases, clipped

    def _decode(self, result: EngineResult, recorded: frozenset[str]) -> RunResult:
        latency = self.blueprint.latency
        outputs, counts, spikes = {}, {}, {}
        for layer in self.blueprint.layers:
            if layer.kind == "readout":
                voltage = result.voltages[layer.name].transpose(1, 0, 2).astype(np.float64)
                before = voltage[latency - 1] if latency else np.zeros_like(voltage[0])
                gained = (voltage[latency:] - before) / self.integers[layer.name].scale
                readout = self.blueprint.network[layer.name]
                assert isinstance(readout, Readout)
                outputs[layer.name] = decode(readout, self._shaped(gained, layer))
                continue
            counts[layer.name] = self._shaped(result.counts[layer.name], layer)
            if layer.name in recorded:
                train = result.spikes[layer.name].transpose(1, 0, 2)
                spikes[layer.name] = self._shaped(train, layer)
        return RunResult(outputs, counts, spikes, latency, _run_details(self.blueprint, result))

    def _shaped(self, values: npt.NDArray[Any], layer: Layer) -> npt.NDArray[Any]:
        """Give the last axis the layer's shape; a readout's is the network's own."""
        node_shape = layer.shape
        if layer.kind != "input":
            node_shape = self.blueprint.network[layer.name].shape
        return values.reshape(*values.shape[:-1], *node_shape)

    def resources(self) -> dict[str, Any]:
        """Return cores, chips, and what every layer takes and loses, ready for JSON."""
        return resources(self.blueprint, self.plan, self.chip, self.integers)

    def fidelity(self) -> dict[str, Any]:
        """Return how the chip differs from the float network."""
        return {
            "engine": ENGINES[self.options.engine],
            "neuron": "if",
            "reset": "zero",
            "threshold": "fires above it, not at it",
            "v_init": 0.0,
            "weight_bits": 8,
            "bias_bits": 13,
            "delay": 1,
            "latency": self.blueprint.latency,
            "input": self.options.input,
            "readout": "membrane voltage of compartments that never fire",
            "readout_exponent": self._readout_exponent,
        }

    def parity(self, x: Samples, timesteps: int) -> dict[str, Any] | None:
        """Run the first samples on nengo-loihi's emulator too and compare every spike.

        The emulator is the one that ``nengo_loihi.Simulator`` built from the emitted network.

        Returns
        -------
        dict or None
            None if `parity_samples` is 0.

        Raises
        ------
        ParityError
            If a single spike, or a readout's voltage, differs.
        """
        samples = named_samples(self.blueprint.network, x)
        rows = {name: array[: self.options.parity_samples] for name, array in samples.items()}
        count = len(next(iter(rows.values())))
        if not count:
            return None
        steps = check_timesteps(self.executable, timesteps)
        bias, _ = self._biases(rows)
        names = [layer.name for layer in self.blueprint.layers]
        ours = self._engine.run(bias, count, steps, record=names)
        theirs = self._emulator.run(bias, count, steps)
        differing = {name: int((ours.spikes[name] != theirs.spikes[name]).sum()) for name in names}
        voltages = sum(
            int((ours.voltages[name] != theirs.voltages[name]).sum()) for name in ours.voltages
        )
        worst = [f"{name} ({n:,})" for name, n in differing.items() if n]
        if worst or voltages:
            raise ParityError(
                f"the engine and nengo-loihi's emulator differ in {sum(differing.values()):,} "
                f"spikes and {voltages:,} readout voltages",
                where=", ".join(worst),
                hint="run with engine='emulator', and please report the model",
            )
        return {
            "compared_with": "nengo_loihi emulator",
            "samples": count,
            "timesteps": timesteps,
            "steps": steps,
            "populations": [x.name for x in self.blueprint.layers if x.kind != "readout"],
            "readouts": sorted(ours.voltages),
            "spikes": int(sum(train.sum() for train in theirs.spikes.values())),
            "differing_spikes": 0,
            "voltage_differences": 0,
        }


def _batches(samples: dict[str, npt.NDArray[Any]]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    count = len(next(iter(samples.values())))
    for start in range(0, max(count, 1), BATCH):
        yield {name: array[start : start + BATCH] for name, array in samples.items()}


def _run_details(blueprint: Blueprint, result: EngineResult) -> dict[str, Any]:
    """Return what the arithmetic of the chip clipped or wrapped, by layer, where anything did."""
    wrapped, floor, saturated = {}, {}, {}
    for layer in blueprint.layers:
        if layer.name not in result.tallies:  # the emulator does not count
            continue
        overflows, below, above = (int(n) for n in result.tallies[layer.name])
        if overflows:
            wrapped[layer.name] = overflows
        if layer.kind == "readout" and (below or above):
            saturated[layer.name] = below + above
        elif below and blueprint.incoming(layer.name):
            floor[layer.name] = below
    return {
        "current_overflows": wrapped,
        "voltages_at_the_floor": floor,
        "readout_saturations": saturated,
    }


def _joined(parts: list[RunResult], details: dict[str, Any]) -> RunResult:
    """Join the batches' results along the samples."""
    first = parts[0]
    for key in first.details:
        totals: dict[str, int] = {}
        for part in parts:
            for name, n in part.details[key].items():
                totals[name] = totals.get(name, 0) + n
        details[key] = totals
    if len(parts) == 1:
        return replace(first, details=details)

    def along(attribute: str, axis: int) -> dict[str, Any]:
        found = [getattr(part, attribute) for part in parts]
        return {name: np.concatenate([f[name] for f in found], axis) for name in found[0]}

    return RunResult(
        outputs=along("outputs", 1),
        spike_counts=along("spike_counts", 0),
        spikes=along("spikes", 1),
        latency=first.latency,
        details=details,
    )
