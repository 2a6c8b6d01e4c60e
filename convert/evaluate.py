"""Evaluate a spiking model on a target: accuracy against timesteps, the ladder, parity."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy.typing as npt

from snnconvert.backends.base import check_options, get_backend, prepare
from snnconvert.calibration.data import load_rows, open_samples
from snnconvert.calibration.names import UNNAMED
from snnconvert.calibration.quantised import count_ties
from snnconvert.calibration.readers import to_array
from snnconvert.calibration.recognition import recognise
from snnconvert.calibration.stored_rows import StoredRows, store_rows
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.errors import UnsupportedModelError, UsageError
from snnconvert.convert.evaluation_notes import range_warnings, run_notes, run_warnings
from snnconvert.convert.graph import Affine, Graph, Relu
from snnconvert.convert.judges import MetricChoice, check_metrics, judges_of
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.resume import NothingKept, ResumeFile, identity_of
from snnconvert.convert.rows import Samples, some_rows
from snnconvert.convert.run_choices import check_diagnosis, chosen_rule, settings_of
from snnconvert.convert.rungs import Rungs, uncorrected
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.diagnosis import Diagnosis, Mode
from snnconvert.reports.evaluation import Evaluation, Measurement, ReportContext
from snnconvert.reports.measuring import evaluate
from snnconvert.reports.operations import ann_macs

Progress: TypeAlias = Callable[[str, int, int | None], None]

BATCH_SIZE = 100
PARITY_ROWS = 16
"""First rows that a target may compare with another engine, unless it is asked for more."""

TIE_ROWS = 64
"""Rows on which halves are counted that neurons round up and onnxruntime to even."""


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
    resume: str | os.PathLike[str] | None = None,
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
    resume : path, optional
        Where partial results are kept, batch by batch: a run that was interrupted goes on from
        them. Removed when the evaluation is done.
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
    ResumeError
        If the partial results are damaged, or those of another evaluation.
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
    if diagnose is not None:
        check_diagnosis(snn, diagnose, steps)
    began = time.perf_counter()
    rows = _stored_rows(snn, x, y, num_samples)
    samples, labels = rows.samples, rows.labels
    size = BATCH_SIZE if batch_size is None else batch_size
    kept: ResumeFile | NothingKept = NothingKept()
    if resume is not None:
        chosen: dict[str, Any] = {"metric": metric, "scored output": score_output}
        chosen |= {"stopping rule": anytime, "batch size": size, "timesteps": steps}
        chosen |= {"target": backend.name, "target's options": options}
        kept = ResumeFile(resume, identity_of(snn, rows, chosen))
    seconds: dict[str, float] = {}
    with kept.guarding():
        emitted = _timed(seconds, "build", lambda: backend.emit(snn, **options))
        judges = _timed(
            seconds,
            "ann",
            lambda: judges_of(
                snn,
                samples,
                labels,
                metric=metric,
                score_output=score_output,
                progress=_stage(progress, "ann"),
            ),
        )
        rule, left_out = chosen_rule(snn, anytime, judges[0], steps)
        measurement: Measurement = _timed(
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
                progress=_stage(progress, "evaluation"),
                anytime_progress=_stage(progress, "anytime"),
                checkpoint=kept.stage("evaluation"),
            ),
        )
        # After the run, because a target may have rebuilt itself for what the samples needed.
        few = slice(max(PARITY_ROWS, options.get("parity_samples", 0)))
        parity = _timed(seconds, "parity", lambda: emitted.parity(some_rows(samples, few), steps))
        rungs = Rungs(
            snn,
            backend.name,
            samples,
            judges[0].layout.readout,
            measurement,
            size,
            progress=_stage(progress, "ladder"),
            checkpoint=lambda name: kept.stage(f"ladder {name}"),
        )
        ladder = _timed(seconds, "ladder", rungs.all)
        diagnosis = None
        if diagnose is not None:
            diagnosis = _timed(
                seconds,
                "diagnosis",
                lambda: _diagnosed(
                    snn, samples, labels, metric, score_output, diagnose, steps, progress
                ),
            )
        quantised = _timed(seconds, "ties", lambda: _quantised_record(snn, samples, steps))
    whole = kept.earlier_seconds + time.perf_counter() - began
    seconds["report"] = whole - seconds["build"] - measurement.seconds
    context = ReportContext(
        model=_model_record(snn),
        target=backend.name,
        fidelity={"backend": backend.name, "neuron": _neuron(snn), "reset": snn.network.reset}
        | {"weight_bits": snn.network.weight_bits, "readout": snn.readout}
        | {"schedule": snn.schedule, "steps_counted": snn.network.readouts[0].steps_counted}
        | emitted.fidelity(),
        calibration=snn.calibration | {"preprocessing": snn.preprocessing.to_json()},
        ladder=ladder,
        resources=emitted.resources(),
        parity=parity,
        timing={f"{name}_seconds": value for name, value in seconds.items()},
        warnings=(*snn.warnings, *range_warnings(snn, rows), *run_warnings(measurement)),
        notes=tuple(
            dict.fromkeys(
                (
                    *snn.notes,
                    *rows.notes,
                    *run_notes(snn, steps, num_samples, measurement),
                    *left_out,
                )
            )
        ),
        approximations=snn.approximations,
        quantised=quantised,
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

    rows = some_rows(samples, slice(ROWS))
    known = {name: array[:ROWS] for name, array in labels.items()}
    judge = judges_of(snn, rows, known, metric=metric, score_output=score_output)[0]
    tell = None if progress is None else partial(progress, "diagnosis")
    return diagnose(snn, rows, judge, mode, timesteps=timesteps, progress=tell)


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - began
    return result


def _stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else partial(progress, name)


def load_samples(
    snn: SpikingModel, x: Any, y: Any, limit: int | None
) -> tuple[Mapping[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Return preprocessed rows, all at once, and their labels by output name."""
    return load_rows(
        x,
        snn.input_shapes,
        preprocessing=snn.preprocessing,
        limit=limit,
        outputs=snn.graph.output_names,
        labels=_given_labels(y),
    )


def _stored_rows(snn: SpikingModel, x: Any, y: Any, limit: int | None) -> StoredRows:
    """Return preprocessed rows that are read in parts, and their labels."""
    source = open_samples(
        x,
        snn.input_shapes,
        preprocessing=snn.preprocessing,
        limit=limit,
        what="evaluation",
        outputs=snn.graph.output_names,
    )
    return store_rows(source, _given_labels(y))


def _given_labels(y: Any) -> dict[str, npt.NDArray[Any]] | None:
    if y is None:
        return None
    named = y if isinstance(y, Mapping) else {UNNAMED: y}
    return {str(name): to_array(entry) for name, entry in named.items()}


def _ann_macs(graph: Graph) -> float:
    return float(ann_macs(n.op.operators for n in graph.nodes if isinstance(n.op, Affine)))


def _quantised_record(snn: SpikingModel, samples: Samples, timesteps: int) -> dict[str, Any] | None:
    """Return what the quantisers of a quantised network dictate, and the ties of the first rows."""
    found = recognise(snn.graph)
    if found is None:
        return None
    ops = {n.name: n.op for n in snn.graph.activations if isinstance(n.op, Relu)}
    rows = some_rows(samples, slice(TIE_ROWS))
    network = prepare(
        replace(
            snn.network.replace_nodes(map(uncorrected, snn.network.populations)), weight_bits=None
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


def _neuron(snn: SpikingModel) -> str:
    return ", ".join(dict.fromkeys(p.neuron for p in snn.network.populations))


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
