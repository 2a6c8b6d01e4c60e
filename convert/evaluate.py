"""Evaluate a spiking model on a target: accuracy against timesteps, the ladder, parity."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import check_options, get_backend, prepare
from snnconvert.calibration.data import load_rows
from snnconvert.calibration.names import UNNAMED
from snnconvert.calibration.quantised import count_ties, quantised_forward
from snnconvert.calibration.readers import to_array
from snnconvert.calibration.recognition import recognise
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.build_network import build_network
from snnconvert.convert.errors import UnsupportedModelError, UsageError
from snnconvert.convert.graph import Affine, Graph, Relu
from snnconvert.convert.judges import MetricChoice, check_metrics, judges_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network, Population, with_reset
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.run_choices import chosen_rule, settings_of
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.diagnosis import MODES, Diagnosis, Mode
from snnconvert.reports.evaluation import Evaluation, Measurement, ReportContext, evaluate
from snnconvert.reports.ladder import Rung
from snnconvert.reports.operations import ann_macs

Progress: TypeAlias = Callable[[str, int, int | None], None]
Samples: TypeAlias = Mapping[str, npt.NDArray[Any]]

BATCH_SIZE = 100
TIE_ROWS = 64
"""Rows on which halves are counted that neurons round up and onnxruntime to even."""

RANGE_RATIO = 4.0
"""Evaluation rows may be larger or smaller than calibration rows by this factor."""


def evaluate_model(
    snn: SpikingModel,
    x: Any,
    y: Any = None,
    *,
    metric: MetricChoice = None,
    score_output: str | None = None,
    timesteps: int | None = None,
    target: str | None = None,
    num_samples: int | None = None,
    batch_size: int | None = None,
    anytime: bool | AnytimeRule | None = None,
    diagnose: Mode | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Run a spiking model on a target and compare it with its ANN.

    Parameters
    ----------
    snn : SpikingModel
    x : array, dict, path, iterable of batches or data reader
        Raw rows; labels may come with them (key ``y`` or the output's name, or pairs).
    y : array or dict of arrays by output name, optional
        Labels, where they do not come with the rows: class numbers (N,), one-hot rows, label maps,
        or values of the output's shape.
    metric : str, callable, or dict of these by output name, optional
        See :func:`snnconvert.reports.metrics.find_metric`; default: chosen by the labels. A single
        one is that of the output which the report is about.
    score_output : str, optional
        The output that the report is about; default: the first with labels, else the first.
    timesteps : int, optional
        Window length; default: the design T.
    target : str, optional
        Default: the target that the model was calibrated for.
    num_samples : int, optional
        Only the first rows.
    batch_size : int, optional
        Samples simulated at once.
    anytime : bool or AnytimeRule, optional
        Stop samples by a rule; True: the network's own, which then must fit; False: not at all;
        default: the network's own where it has one that fits.
    diagnose : {"single", "cumulative"}, optional
        Name the layers that lose most, on the first 64 rows.
    progress : callable, optional
        Called with (stage, done, total).
    **options
        Passed on to the backend's ``emit``.

    Raises
    ------
    DataError
        If rows or labels cannot be used.
    UnsupportedModelError
        If the target cannot run the network.
    ParityError
        If the target's engines disagree.
    """
    steps = snn.timesteps if timesteps is None else timesteps
    for name, number in (("timesteps", steps), ("num_samples", num_samples)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, not {number}")
    backend = get_backend(snn.target if target is None else target)
    problems = backend.check(snn.network)
    if problems:
        raise UnsupportedModelError(problems, model=snn.network.name)
    check_options(backend.name, backend.capabilities, options)
    if "timesteps" in backend.capabilities.options:
        options["timesteps"] = steps
    check_metrics(snn.graph.output_names, metric, score_output)
    if diagnose is not None and diagnose not in MODES:
        raise UsageError(
            f"unknown mode {diagnose!r} of diagnosis", hint=f"use {' or '.join(MODES)}"
        )
    samples, labels = load_samples(snn, x, y, num_samples)
    size = BATCH_SIZE if batch_size is None else batch_size
    seconds: dict[str, float] = {}
    emitted = _timed(seconds, "build", lambda: backend.emit(snn, **options))
    judges = _timed(
        seconds,
        "ann",
        lambda: judges_of(snn, samples, labels, metric=metric, score_output=score_output),
    )
    rule, left_out = chosen_rule(snn, anytime, judges[0], steps)
    measurement = _timed(
        seconds,
        "evaluation",
        lambda: evaluate(
            emitted,
            samples,
            judges,
            timesteps=steps,
            batch_size=size,
            ann_macs=_ann_macs(snn.graph),
            lowered_values=snn.activations,
            anytime=rule,
            progress=None if progress is None else _stage(progress, "evaluation"),
        ),
    )
    # After the run, because a target may have rebuilt itself for what the samples needed.
    parity = _timed(seconds, "parity", lambda: emitted.parity(samples, steps))
    rungs = _timed(
        seconds,
        "ladder",
        lambda: _ladder(snn, backend.name, samples, judges[0].layout.readout, measurement, size),
    )
    diagnosis = None
    if diagnose is not None:
        diagnosis = _timed(
            seconds,
            "diagnosis",
            lambda: _diagnosed(
                snn, samples, labels, metric, score_output, diagnose, steps, progress
            ),
        )
    context = ReportContext(
        model=_model_record(snn),
        target=backend.name,
        fidelity={"backend": backend.name, "neuron": _neuron(snn), "reset": snn.network.reset}
        | {"weight_bits": snn.network.weight_bits, "readout": snn.readout}
        | {"schedule": snn.schedule, "discard": snn.network.readouts[0].discard}
        | emitted.fidelity(),
        calibration=snn.calibration | {"preprocessing": snn.preprocessing.to_json()},
        ladder=rungs,
        resources=emitted.resources(),
        parity=parity,
        timing={f"{name}_seconds": value for name, value in seconds.items()},
        warnings=(*snn.warnings, *_range_warnings(snn, samples), *_run_warnings(measurement)),
        notes=(*snn.notes, *_run_notes(snn, steps, num_samples, measurement), *left_out),
        approximations=snn.approximations,
        quantised=_timed(seconds, "ties", lambda: _quantised_record(snn, samples, steps)),
        settings=settings_of(snn, backend.name, steps),
        diagnosis=diagnosis,
    )
    return Evaluation(measurement, context)


def _diagnosed(
    snn: SpikingModel,
    samples: Samples,
    labels: Mapping[str, npt.NDArray[Any]],
    metric: MetricChoice,
    score_output: str | None,
    mode: Mode,
    timesteps: int,
    progress: Progress | None,
) -> Diagnosis:
    from snnconvert.convert.diagnose import ROWS, diagnose

    rows = {name: array[:ROWS] for name, array in samples.items()}
    known = {name: array[:ROWS] for name, array in labels.items()}
    judge = judges_of(snn, rows, known, metric=metric, score_output=score_output)[0]
    tell = None if progress is None else partial(progress, "diagnosis")
    return diagnose(snn, rows, judge, mode, timesteps=timesteps, progress=tell)


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - began
    return result


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def load_samples(
    snn: SpikingModel, x: Any, y: Any, limit: int | None
) -> tuple[Samples, dict[str, npt.NDArray[Any]]]:
    """Return preprocessed rows and their labels by output name."""
    given = None
    if y is not None:
        named = y if isinstance(y, Mapping) else {UNNAMED: y}
        given = {str(name): to_array(entry) for name, entry in named.items()}
    return load_rows(
        x,
        snn.input_shapes,
        preprocessing=snn.preprocessing,
        limit=limit,
        outputs=snn.graph.output_names,
        labels=given,
    )


def _ann_macs(graph: Graph) -> float:
    return float(ann_macs(n.op.operators for n in graph.nodes if isinstance(n.op, Affine)))


def _ladder(
    snn: SpikingModel,
    target: str,
    samples: Samples,
    readout: str,
    measured: Measurement,
    batch_size: int,
) -> tuple[Rung, ...]:
    """Return the rungs between the ANN and the target, all on the same rows."""
    timesteps = len(measured.accuracy)
    plain = replace(snn.network, weight_bits=None)
    levels = snn.network.timesteps or timesteps  # a staged network has the levels of its windows

    def rung(name: str, run: Callable[[Samples], FloatArray]) -> Rung:
        outputs = np.concatenate([run(rows) for rows in _batches(samples, batch_size)])
        return Rung.measured(name, measured.standings.standing(outputs), len(outputs))

    def on_cpu(network: Network) -> Callable[[Samples], FloatArray]:
        simulation = get_backend("cpu").emit(network)
        return lambda rows: simulation.run(rows, timesteps).outputs[readout][-1]

    def as_measured(name: str) -> Rung:
        return Rung.measured(name, measured.standings.ends(measured.samples)[1], measured.samples)

    uncorrected = plain.replace_nodes(map(_uncorrected, plain.populations))
    executable = prepare(_quantised(snn)).network
    rungs = [
        rung("quantised_ann", lambda rows: quantised_forward(executable, rows, levels)[readout])
    ]
    exact = get_backend(target).capabilities.exact and snn.network.reset == "subtract"
    softly = with_reset(uncorrected, "subtract")
    snn_network = plain if snn.network.reset == "subtract" else softly
    if exact and snn.network.weight_bits is None:
        rungs.append(as_measured("snn"))
    else:
        rungs.append(rung("snn", on_cpu(snn_network)))
    if snn.network.weight_bits is None:
        own = "no --weight-bits; a target's own precision is part of its own rung"
        rungs.append(Rung("integer_snn", reason=own))
    elif exact:
        rungs.append(as_measured("integer_snn"))
    else:
        rungs.append(
            rung("integer_snn", on_cpu(replace(snn_network, weight_bits=snn.network.weight_bits)))
        )
    return tuple(rungs)


def _quantised_record(snn: SpikingModel, samples: Samples, timesteps: int) -> dict[str, Any] | None:
    """Return what the quantisers of a quantised network dictate, and the ties of the first rows."""
    found = recognise(snn.graph)
    if found is None:
        return None
    ops = {n.name: n.op for n in snn.graph.activations if isinstance(n.op, Relu)}
    rows = {name: x[:TIE_ROWS] for name, x in samples.items()}
    network = prepare(
        replace(
            snn.network.replace_nodes(map(_uncorrected, snn.network.populations)), weight_bits=None
        )
    ).network
    reached = timesteps * spike_values(snn.network.populations[0].neuron).highest
    exact = [p for p in network.populations if ops[str(p.tensor)].levels == reached]
    ties = count_ties(network, rows, timesteps)
    return {
        "levels": [number + 1 for number in found.levels],
        "populations": found.populations,
        "exact_populations": len(exact),
        "rounding_left_out": sum(a.kind == "quantiser" for a in snn.approximations),
        "rows": len(next(iter(rows.values()))),
        "neurons": sum(p.size for p in exact),
        "ties": {p.name: ties[p.name] for p in exact},
    }


def _quantised(snn: SpikingModel) -> Network:
    """Return the network whose quantised values are the bound of a converted one.

    With the schedule full it is the network itself. Other corrections make up for what spikes do in
    time, which quantised values do not: the bound has the file's weights and the same thresholds.
    """
    network = replace(snn.network, weight_bits=None)
    if network.reset == "zero":
        return network.replace_nodes(map(_uncorrected, network.populations))
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


def _uncorrected(population: Population) -> Population:
    """Return the population without what was corrected for its dynamics alone.

    Gains make up for spikes that reset to zero loses, initial potentials for those of the first
    steps; quantised activations have neither loss, and half a threshold rounds them.
    """
    return replace(
        population, amplitude=population.threshold, v_init=np.asarray(population.threshold / 2)
    )


def _batches(samples: Samples, size: int) -> Iterator[Samples]:
    count = len(next(iter(samples.values())))
    for start in range(0, count, size):
        yield {name: rows[start : start + size] for name, rows in samples.items()}


def _neuron(snn: SpikingModel) -> str:
    return ", ".join(dict.fromkeys(p.neuron for p in snn.network.populations))


def _range_warnings(snn: SpikingModel, samples: Samples) -> Iterator[str]:
    """Yield a warning where evaluation rows are of another magnitude than calibration rows."""
    for node in snn.network.inputs:
        largest = float(np.abs(samples[node.name]).max(initial=0.0))
        if not node.bound / RANGE_RATIO <= largest <= node.bound * RANGE_RATIO:
            yield (
                f"input {node.name!r}: calibration rows reach {node.bound:g}, evaluation rows "
                f"{largest:g}; were both preprocessed alike?"
            )


def _run_warnings(measured: Measurement) -> Iterator[str]:
    """Yield a warning for silent layers, and for what the target clipped or wrapped."""
    silent = [layer.name for layer in measured.layers if layer.spikes == 0]
    if silent:
        listed = ", ".join(silent)
        yield f"no neuron fired in {len(silent)} of {len(measured.layers)} layers: {listed}"
    for name, counted in measured.details.items():
        total = sum(counted.values()) if isinstance(counted, Mapping) else counted
        if isinstance(total, int) and not isinstance(total, bool) and total > 0:
            what = name.replace("_", " ")
            yield f"the target's arithmetic clipped or wrapped: {total:,} {what} (fidelity.run)"


def _run_notes(
    snn: SpikingModel, timesteps: int, asked: int | None, measured: Measurement
) -> Iterator[str]:
    """Yield what differs from what was asked for, or from what the network was made for."""
    if asked is not None and measured.samples < asked:
        yield f"{asked:,} samples were asked for, the data hold {measured.samples:,}"
    if timesteps != snn.timesteps:
        yield (
            f"a run of {timesteps} timesteps; the thresholds were chosen for {snn.timesteps}, and "
            "others may be better here"
        )


def _model_record(snn: SpikingModel) -> dict[str, Any]:
    return {
        "name": snn.network.name,
        **snn.provenance,
        "inputs": {name: list(shape) for name, shape in snn.input_shapes.items()},
        "populations": len(snn.network.populations),
        "neurons": snn.network.neurons,
        "activations_spiking": f"{len(snn.network.populations)} of {len(snn.graph.activations)}",
        "timesteps": snn.timesteps,
    }
