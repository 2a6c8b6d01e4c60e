"""What a backend is, what it returns, and how it is found.

A backend turns a :class:`Network` into a target's own object and runs it. Third parties register
theirs in the entry-point group ``snnconvert.backends``; ours are registered there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnconvert.convert.blas import one_blas_thread
from snnconvert.convert.errors import (
    DataError,
    MissingExtraError,
    Problem,
    UsageError,
    did_you_mean,
)
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population, Readout, Reset
from snnconvert.convert.neurons import get_neuron_model, model_name, neuron_models
from snnconvert.convert.normalize import normalize
from snnconvert.convert.quantize import quantize_weights
from snnconvert.convert.relays import inline_relays
from snnconvert.convert.snap import MAXIMUM_STEPS, Executable, snap

GROUP = "snnconvert.backends"

Samples: TypeAlias = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
"""One array (N, *shape), or a dictionary of arrays by input name."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can represent.

    Attributes
    ----------
    neurons, resets, encodings : frozenset of str
        Names of neuron models (without parameters), resets and input encodings.
    windows, delays, relays, weight_bits : bool
        Firing and bias windows; delays of connections; relays as nodes of their own; weights of a
        chosen number of bits.
    exact : bool
        Whether it runs the network as it is, spike for spike as the reference.
    options : frozenset of str
        Keyword arguments of ``emit`` that users may give.
    summary : str
        One line for ``snnconvert targets``.
    """

    neurons: frozenset[str] = frozenset({"if"})
    resets: frozenset[str] = frozenset({"subtract", "zero"})
    encodings: frozenset[str] = frozenset({"current", "events"})
    windows: bool = True
    delays: bool = True
    relays: bool = True
    weight_bits: bool = True
    exact: bool = True
    options: frozenset[str] = frozenset()
    summary: str = ""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run returns.

    Attributes
    ----------
    outputs : dict of (T, N, *shape) float64 array
        Every readout, decoded after each step of its window, in ANN units.
    spike_counts : dict of (N, *shape) array
        Sum of the spikes of each population over the whole run, int64 or int32. They need not be
        contiguous.
    spikes : dict of (steps, N, *shape) array
        Spike trains of the recorded populations: bool, or signed integers where a spike can be
        something else than 0 or 1.
    latency : int
        Steps from the first input to the first decoded step (0 unless staged).
    details : dict
        What the target adds (overflows, injected currents, ...), ready for JSON.
    events : dict of (N, *shape) int64 array
        Number of spikes that are not 0, of the populations where it may differ from the sum.
    totals : dict of (size,) integer array
        Spikes of each neuron on all samples together, of the populations for which the target knows
        them: where `spike_counts` are numbers of spikes, their sum over the samples.
    """

    outputs: dict[str, FloatArray]
    spike_counts: Mapping[str, npt.NDArray[np.integer[Any]]]
    spikes: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    latency: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    events: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    totals: dict[str, npt.NDArray[np.integer[Any]]] = field(default_factory=dict)

    @property
    def logits(self) -> FloatArray:
        """The first readout: (T, N, *shape)."""
        return next(iter(self.outputs.values()))

    def event_counts(self, name: str) -> npt.NDArray[np.integer[Any]]:
        """Return how many spikes a population sent, (N, *shape), whatever each carried."""
        return self.events.get(name, self.spike_counts[name])


class Emitted(Protocol):
    """A network on its target."""

    @property
    def network(self) -> Any:
        """The target's own object (nengo.Network, ...)."""

    @property
    def executable(self) -> Network:
        """The Network that is run: normalised, on grids, as the target simulates it."""

    def run(self, x: Samples, timesteps: int, *, record: Sequence[str] = ()) -> RunResult:
        """Simulate all samples for a window of `timesteps`.

        Parameters
        ----------
        x : (N, *shape) array or dict of arrays by input name
            Preprocessed samples.
        timesteps : int
            Steps of the readout window; a staged network runs longer.
        record : sequence of str
            Populations whose spike trains are returned ("*": all).
        """

    def resources(self) -> dict[str, Any]:
        """Return what the network takes on the target, ready for JSON ({} if nothing counts)."""

    def fidelity(self) -> dict[str, Any]:
        """Return how faithful the run is: engine, neuron, reset, weight bits, delay, input."""

    def parity(self, x: Samples, timesteps: int) -> dict[str, Any] | None:
        """Compare with an independent engine on a few samples; None where there is none.

        Raises
        ------
        ParityError
            If a single spike differs.
        """


@runtime_checkable
class Backend(Protocol):
    """A target."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    default_reset: ClassVar[Reset]

    def check(self, network: Network) -> list[Problem]:
        """Return every reason why the target cannot run the network."""

    def emit(self, model: Any, **options: Any) -> Emitted:
        """Build the network of a SpikingModel (or a Network) for the target."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def backend_names() -> tuple[str, ...]:
    """Return the names of all registered backends, sorted."""
    return tuple(sorted(_entry_points()))


def get_backend(name: str) -> Backend:
    """Return a backend by name.

    Raises
    ------
    UsageError
        If there is none; names the nearest.
    MissingExtraError
        If its packages are not installed.
    """
    points = _entry_points()
    if name not in points:
        raise UsageError(f"unknown target {name!r}", hint=did_you_mean(name, list(points)))
    backend = points[name].load()()
    assert isinstance(backend, Backend)
    return backend


def describe_backends() -> list[dict[str, str]]:
    """Return name, summary, neurons and state ("ready" or what is missing) of every backend."""
    rows = []
    for name in backend_names():
        neurons = ""
        try:
            capabilities = get_backend(name).capabilities
            summary, state, neurons = capabilities.summary, "ready", _forms(capabilities)
        except MissingExtraError as error:
            summary, state = error.message, error.hint
        except ImportError as error:
            summary, state = "cannot be loaded", str(error)
        rows.append({"name": name, "summary": summary, "neurons": neurons, "state": state})
    return rows


def network_of(model: Any) -> Network:
    """Return the Network of a SpikingModel, or the Network itself."""
    network = getattr(model, "network", model)
    if not isinstance(network, Network):
        raise UsageError(f"cannot emit a {type(model).__name__}: expected a SpikingModel")
    return network


def prepare(network: Network, *, relays: bool = True) -> Executable:
    """Return the network as engines run it: normalised, integer or on exact grids.

    Parameters
    ----------
    network : Network
        In ANN units.
    relays : bool
        Whether the target can hold relays (those that do not pay are inlined anyway).
    """
    with one_blas_thread():  # bounds are many small products
        network = normalize(inline_relays(network, everything=not relays))
        if network.weight_bits is not None:
            network = quantize_weights(network, network.weight_bits)
        return snap(network)


def check_capabilities(name: str, capabilities: Capabilities, network: Network) -> list[Problem]:
    """Return a problem for each feature of the network that the target lacks."""
    problems = []
    for p in network.populations:
        if model_name(p.neuron) not in capabilities.neurons:
            forms = _forms(capabilities)
            problems.append(_lacks(name, p.name, f"neuron model {p.neuron!r}", f"--neuron {forms}"))
        elif p.reset not in get_neuron_model(p.neuron).resets:
            problems.append(_no_such_reset(p))
        if p.reset not in capabilities.resets:
            other = " or ".join(sorted(capabilities.resets))
            option = f"--reset {other} in the conversion"
            problems.append(_lacks(name, p.name, f"reset {p.reset!r}", option))
        staged = (p.start, p.stop, p.bias_start, p.bias_stop) != (0, None, 0, None)
        if staged and not capabilities.windows:
            problems.append(_lacks(name, p.name, "firing and bias windows", "--schedule none"))
    for node in network.inputs:
        if node.encoding not in capabilities.encodings:
            problems.append(_lacks(name, node.name, f"input encoding {node.encoding!r}"))
    if network.weight_bits is not None and not capabilities.weight_bits:
        problems.append(
            Problem(
                code="target-limit",
                message=f"target {name!r} has weights of its own precision",
                why=f"{network.weight_bits} bits were asked for",
                hint="leave out --weight-bits",
            )
        )
    if not capabilities.delays:
        problems += [
            _lacks(name, c.target, f"a delay of {c.delay} steps", "--schedule none")
            for c in network.connections
            if c.delay
        ]
    return problems


def _forms(capabilities: Capabilities) -> str:
    """Return the neuron models as users write them, the default one first."""
    forms = [m.form for name, m in neuron_models().items() if name in capabilities.neurons]
    return ", ".join(sorted(forms, key=lambda form: (form != "if", form)))


def _no_such_reset(population: Population) -> Problem:
    return Problem(
        code="target-limit",
        message=f"neuron model {population.neuron!r} has no reset {population.reset!r}",
        node=population.name,
        place=f"population {population.name!r}",
        why="a spike takes from the voltage, or gives back, as much as it carries: a voltage that "
        "is set to zero has forgotten it",
        hint="use --reset subtract, or --neuron if",
    )


def _lacks(target: str, node: str, feature: str, option: str = "") -> Problem:
    return Problem(
        code="target-limit",
        message=f"target {target!r} has no {feature}",
        node=node,
        place=f"population {node!r}",
        hint=f"use {option}" if option else "choose another target (snnconvert targets)",
    )


def check_options(name: str, capabilities: Capabilities, options: Mapping[str, Any]) -> None:
    """Refuse options that the target's ``emit`` does not have.

    Raises
    ------
    UsageError
        If there is one; names the options that exist.
    """
    for option in options:
        if option not in capabilities.options:
            known = sorted(capabilities.options)
            hint = did_you_mean(option, known) if known else "leave it out"
            raise UsageError(f"target {name!r} has no option {option!r}", hint=hint)


def named_samples(network: Network, x: Samples) -> dict[str, npt.NDArray[Any]]:
    """Return the samples by input name, checked against the network.

    Raises
    ------
    DataError
        If an input is missing, has the wrong shape, or values that are no finite numbers.
    """
    inputs = network.inputs
    named = dict(x) if isinstance(x, Mapping) else {inputs[0].name: np.asarray(x)}
    for node in inputs:
        if node.name not in named:
            given = ", ".join(sorted(named)) or "nothing"
            raise DataError(f"no samples for input {node.name!r} (given: {given})")
        lead = 2 if node.encoding == "events" else 1
        array = np.asarray(named[node.name])
        if array.ndim < lead or tuple(array.shape[lead:]) != node.shape:
            raise DataError(
                f"samples for input {node.name!r} have shape {array.shape}, the network needs "
                f"(N, {'T, ' if lead == 2 else ''}{', '.join(map(str, node.shape))})"
            )
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"samples for input {node.name!r} have dtype {array.dtype}, which is no number",
                hint="give integers or floats",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"samples for input {node.name!r} hold NaN or infinite values")
    return {node.name: np.asarray(named[node.name]) for node in inputs}


def check_timesteps(network: Network, timesteps: int) -> int:
    """Return the steps to simulate for a readout window of `timesteps`.

    Raises
    ------
    UsageError
        If `timesteps` is out of range or beyond the windows of a staged network.
    """
    if not isinstance(timesteps, int | np.integer):
        raise UsageError(f"timesteps must be a whole number, not {timesteps!r}")
    if timesteps < 1:
        raise UsageError(f"timesteps must be at least 1, not {timesteps}")
    if network.timesteps is not None and timesteps > network.timesteps:
        raise UsageError(
            f"the network is staged for {network.timesteps} timesteps, {timesteps} were asked for",
            hint=f"convert it again with --timesteps {timesteps}",
        )
    steps = network.latency(int(timesteps))
    if steps > MAXIMUM_STEPS:
        raise UsageError(
            f"a run of {steps} steps; sums are exact up to {MAXIMUM_STEPS}",
            hint="use fewer timesteps or another schedule",
        )
    return steps


def recorded_names(network: Network, record: str | Sequence[str]) -> frozenset[str]:
    """Return the populations to record, one or several; "*" means all of them."""
    record = [record] if isinstance(record, str) else record
    known = [p.name for p in network.populations]
    if "*" in record:
        return frozenset(known)
    for name in record:
        if name not in known:
            raise UsageError(f"no population {name!r} to record", hint=did_you_mean(name, known))
    return frozenset(record)


def decode(readout: Readout, accumulated: FloatArray) -> FloatArray:
    """Return the mean current of a readout after each step, in ANN units.

    With j-fold steps ``sum of j I(s + j)`` is ``m A(k) - sum of A(u), s <= u < k``, for
    ``m = k - s`` steps behind the s left out and sums A: exact as long as T sums fit 53 bits.

    Parameters
    ----------
    readout : Readout
    accumulated : (T, N, *shape) float64 array
        Sum of the currents of steps 1..k, for each k.

    Returns
    -------
    (T, N, *shape) float64 array
        For each k: mean over the steps behind the first ``floor(discard k)``, weighted where the
        readout is rising.
    """
    steps = np.arange(1, len(accumulated) + 1)
    skipped = np.floor(readout.discard * steps).astype(np.int64)
    before = np.concatenate([np.zeros_like(accumulated[:1]), accumulated])
    counted = (steps - skipped).astype(np.float64).reshape(-1, *[1] * (accumulated.ndim - 1))
    if not readout.rising:
        return np.asarray((accumulated - before[skipped]) * readout.scale / counted)
    earlier = np.concatenate([np.zeros_like(before[:1]), np.cumsum(before, axis=0)])
    weighted = counted * accumulated - (earlier[steps] - earlier[skipped])
    return np.asarray(weighted * readout.scale / (counted * (counted + 1) / 2))
