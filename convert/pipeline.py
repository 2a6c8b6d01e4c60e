"""The whole path as one call: ONNX in, calibrated spiking network out, evaluation on a target."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from snnconvert.backends.base import Backend, get_backend
from snnconvert.calibration.activations import Observed, observe
from snnconvert.calibration.anytime import ROWS as ANYTIME_ROWS
from snnconvert.calibration.anytime import calibrate_anytime, check_tolerance
from snnconvert.calibration.calibrate import Options, correct
from snnconvert.calibration.corrections import TRIAL_ROWS, parse_corrections, without_data
from snnconvert.calibration.curves import fit_curves, with_ramps
from snnconvert.calibration.data import (
    SampleSource,
    load_rows,
    open_samples,
    row_digests,
    sample_rows,
)
from snnconvert.calibration.methods import CalibrationMethod, get_method
from snnconvert.calibration.partition import HELD_OUT_SHARE, digests_of, held_out, shared_with
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.calibration.recognition import (
    QuantisedNetwork,
    draw_rows,
    input_ranges,
    recognise,
)
from snnconvert.calibration.schedule_choice import choose_schedule
from snnconvert.calibration.schedules import apply_schedule, describe_timing, parse_schedule
from snnconvert.calibration.synthetic import synthetic_rows
from snnconvert.calibration.verification import measure_rounding, verify_import
from snnconvert.convert.build_network import build_network
from snnconvert.convert.errors import (
    DataError,
    Problem,
    UnsupportedModelError,
    UsageError,
    did_you_mean,
)
from snnconvert.convert.fit_ramps import DEFAULT_ERROR, MAX_RAMPS, RampBudget
from snnconvert.convert.graph import Curve, Graph
from snnconvert.convert.judges import MetricChoice, check_metrics
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.lower import exact_graph, lower
from snnconvert.convert.memory import Memory
from snnconvert.convert.network import Network, Reset
from snnconvert.convert.neurons import get_neuron_model, spike_values
from snnconvert.convert.node_verdicts import placed
from snnconvert.convert.onnx_import import Imported, import_onnx
from snnconvert.convert.passes.count_readout import count_readout
from snnconvert.convert.quantiser import Quantise
from snnconvert.convert.quantize import check_weight_bits
from snnconvert.convert.ramps import Ramps
from snnconvert.convert.snap import MAXIMUM_STEPS
from snnconvert.convert.spiking_model import SpikingModel

Progress: TypeAlias = Callable[[str, int, int | None], None]

DEFAULT_TIMESTEPS = 64
READOUTS = ("membrane", "count")


def convert_model(
    model: Any,
    calibration_data: Any = None,
    *,
    target: str = "cpu",
    method: str = "auto",
    timesteps: int | None = None,
    percentile: float | None = None,
    per_channel: bool = True,
    channel_group: int | None = None,
    neuron: str = "if",
    reset: Reset | None = None,
    schedule: str | int = "none",
    readout: str = "membrane",
    corrections: str | Sequence[str] = "auto",
    anytime: float | None = None,
    score_output: str | None = None,
    weight_bits: int | None = None,
    ramps: int | None = None,
    curve_error: float | None = None,
    scale: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    calibration_rows: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    strict: bool = False,
    progress: Progress | None = None,
    memory: Memory | None = None,
) -> SpikingModel:
    """Convert a trained ONNX network into a calibrated spiking network.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        A feed-forward network of ReLU units, float or dequantised weights.
    calibration_data : array, dict, path, iterable of batches or data reader, optional
        Raw training samples, (N, *shape). Default: ``<model>.calibration.npz`` beside the model,
        else seeded synthetic samples with a warning. A network whose quantisers dictate every
        threshold needs none.
    target : str
        Registered backend to calibrate for: "reference", "cpu", "nengo", "loihi".
    method : str
        Threshold method: "auto", "mse", "gauss", "balance", "percentile", "max".
    timesteps : int, optional
        The design T: thresholds are chosen for runs of this length. Default: 64; of a network
        that is quantised to L levels throughout, L - 1.
    percentile : float, optional
        In (0, 100]; with method "percentile" only (default 99.9).
    per_channel : bool
        One threshold a channel, or one a layer.
    channel_group : int, optional
        Neighbouring channels that share a threshold (default 1).
    neuron : str
        Neuron model: "if" (a spike or none), "signed" (-1, 0, 1: takes back what it sent too
        early), "graded:K" (payloads of 0 to K). See docs/neurons.md.
    reset : {"subtract", "zero"}, optional
        Default: the target's own.
    schedule : {"none", "full", "auto"} or int
        "full" staggers the layers by T steps: exactly the network quantised to T+1 levels. An
        integer staggers them by that many steps. "auto" takes `timesteps` as the latency in all,
        and chooses the schedule and the T that decode best within it.
    readout : {"membrane", "count"}
        Outputs from an integrator, or from the spikes of an output population.
    corrections : "auto", "none" or sequence of str
        What may be corrected on calibration rows after the thresholds: "weights", "thresholds",
        "bias", "potentials". "auto" tries all of them with method "auto", none with another. Each
        is kept only where held-out rows confirm it. See docs/calibration.md.
    anytime : float, optional
        Calibrate a rule by which a sample stops once its answer is safe: at most this share of
        the calibration rows may change their answer. See docs/diagnosis.md.
    score_output : str, optional
        The output whose answer that is; default: the first.
    weight_bits : int, optional
        Round weights to signed integers of that many bits.
    ramps : int, optional
        Bounded ramps that stand in for each smooth activation; default: as few as keep within
        `curve_error`.
    curve_error : float, optional
        Root-mean-square error that they may have on the calibration rows, as a share of the
        activation's standard deviation; default 0.01.
    scale, mean, std : float, sequence of float, optional
        Preprocessing ``(x * scale - mean) / std`` along the channel axis.
    input_shapes : dict of shapes, optional
        Shape without batch of inputs that the file leaves open.
    inputs, outputs : sequence of str, optional
        Tensors at which the graph is cut.
    calibration_rows : int, optional
        Use only the first rows.
    batch_size : int
        Rows per onnxruntime call; does not change the result.
    seed : int
        Of synthetic samples.
    strict : bool
        Refuse what is otherwise a warning.
    progress : callable, optional
        Called with (stage, done, total).
    memory : Memory, optional
        What earlier conversions of the same model on the same rows found.

    Returns
    -------
    SpikingModel

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    UnsupportedModelError
        If the network cannot be converted for the target; lists every reason.
    UsageError, DataError, CalibrationError
        If an option or the data cannot be used.

    Examples
    --------
    >>> import snnconvert
    >>> model = snnconvert.models.shipped_model_path("fashion_cnn")
    >>> snn = snnconvert.convert_model(model, timesteps=16)
    >>> snn.network.neurons > 1000
    True
    """
    started = time.perf_counter()
    stage = _Stages(progress)
    backend = get_backend(target)
    reset = _reset(backend, reset)
    _check_options(timesteps, readout, neuron, weight_bits, seed)
    if anytime is not None:
        check_tolerance(anytime)
    highest = spike_values(neuron).highest
    memory = Memory() if memory is None else memory
    imported = memory.once(
        "import",
        lambda: import_onnx(model, input_shapes=input_shapes, inputs=inputs, outputs=outputs),
    )
    exact = exact_graph(_named(imported))
    quantised = _recognised(exact, readout)
    if timesteps is None:
        timesteps = DEFAULT_TIMESTEPS if quantised is None else quantised.timesteps(highest)
        timesteps = min(timesteps, MAXIMUM_STEPS)
    budget = _ramp_budget(ramps, curve_error, timesteps * highest)
    configure = partial(
        get_method,
        method,
        levels_per_step=highest,
        percentile=percentile,
        per_channel=per_channel,
        channel_group=channel_group,
        reset=reset,
    )
    calibrator = configure(timesteps=timesteps)
    staged = parse_schedule(schedule, timesteps) >= timesteps
    exactly = quantised is not None and staged and timesteps * highest in quantised.levels
    if corrections == "auto" and (method != "auto" or exactly):
        corrections = "none"  # a quantised network that is staged has nothing left to correct
    parse_corrections(corrections)  # refuses unknown names before the long work
    preprocessing = Preprocessing(
        scale, None if mean is None else tuple(mean), None if std is None else tuple(std)
    )
    graph = _lowered(exact, readout, budget)  # curves are fitted once there are data

    def build(scales: Mapping[str, FloatArray], bounds: Mapping[str, float]) -> Network:
        network = build_network(
            graph,
            scales,
            reset=reset,
            v_init=_v_init(reset),
            input_bounds=bounds,
            neuron=neuron,
        )
        return replace(network, weight_bits=weight_bits, fine=quantised is not None)

    unfit = _target_problems(backend, build(_unit_scales(graph), {}), schedule, timesteps)
    _refuse(placed(imported.verdicts, unfit))
    shapes = {node.name: node.shape for node in graph.inputs}
    given = calibration_data is not None or companion(imported.path, "calibration") is not None
    if quantised is not None and not given:
        data, warnings = _drawn_data(exact, seed)
    else:
        data, warnings = _calibration_data(imported, calibration_data, shapes, seed)
    source = open_samples(
        data, shapes, preprocessing=preprocessing, batch_size=batch_size, limit=calibration_rows
    )
    if warnings and strict:
        raise DataError(warnings[0], hint="give --calibration, or leave out --strict")
    fitted = memory.once(
        ("curves", budget),
        lambda: fit_curves(exact, imported.model_bytes, source, budget, progress=stage("curves")),
    )
    fit = budget if fitted else None  # without curves all budgets are alike
    lowered = lower(with_ramps(exact, fitted))
    graph = count_readout(lowered) if readout == "count" else lowered
    whole = _named(imported) if exact.approximations else exact
    import_error = memory.once(
        ("verified", fit), lambda: verify_import(whole, lowered, imported.model_bytes, source)
    )
    observed = memory.once(
        ("observed", fit, readout),
        lambda: observe(graph, imported.model_bytes, source, progress=stage("calibration")),
    )
    automatic = method == "auto" and (quantised is None or given)
    chosen_schedule: dict[str, Any] = {}
    if schedule == "auto":
        candidate, chosen_schedule = choose_schedule(
            timesteps,
            lambda T: build(configure(timesteps=T).scales(observed), observed.inputs),
            lambda network, c: not _target_problems(backend, network, c.holdoff, c.timesteps),
            graph,
            sample_rows(source, TRIAL_ROWS),
            late_readout=automatic and readout == "membrane",
        )
        timesteps, schedule = candidate.timesteps, candidate.schedule
        calibrator = configure(timesteps=timesteps)
    network = build(calibrator.scales(observed), observed.inputs)
    wanted = parse_corrections(corrections, whole=parse_schedule(schedule, timesteps) >= timesteps)
    chosen = Options(
        timesteps,
        schedule,
        wanted if given else without_data(wanted, quantised is not None),
        gains=automatic and corrections != "none",
        late_readout=automatic and readout == "membrane",
    )
    network, corrected = correct(network, graph, source, chosen, stage)
    network, schedule_notes = apply_schedule(network, schedule, timesteps)
    _refuse(backend.check(network))
    snn = SpikingModel(
        network=network,
        model_bytes=imported.model_bytes,
        preprocessing=preprocessing,
        input_shapes=shapes,
        target=target,
        timesteps=timesteps,
        readout=readout,
        schedule=str(schedule),
        calibration=_calibration_record(calibrator, observed, _describe(data))
        | corrected
        | chosen_schedule,
        provenance=_provenance(imported, import_error, time.perf_counter() - started),
        warnings=(*warnings, *observed.warnings, *schedule_notes),
        notes=(
            *graph.notes,
            *source.notes,
            f"schedule {schedule}: {describe_timing(network, timesteps)}",
            *(
                ()
                if quantised is None
                else quantised.notes(timesteps, highest, len(graph.approximations))
            ),
        ),
        approximations=measure_rounding(exact, graph.approximations, source),
        curves=fitted,
    )
    if anytime is None:
        return snn
    rows = sample_rows(source, ANYTIME_ROWS)
    rule = calibrate_anytime(
        snn, rows, tolerance=anytime, output=score_output, progress=stage("anytime")
    )
    return replace(snn, anytime=rule)


class _Stages:
    """Names the stages of a progress callback."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def __call__(self, name: str) -> Callable[[int, int | None], None] | None:
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total: progress(name, done, total)


def _check_options(
    timesteps: int | None, readout: str, neuron: str, weight_bits: int | None, seed: int
) -> None:
    for name, number in (("timesteps", timesteps), ("weight_bits", weight_bits), ("seed", seed)):
        if number is not None and not isinstance(number, int | np.integer):
            raise UsageError(f"{name} must be a whole number, not {number!r}")
    if timesteps is not None and timesteps < 1:
        raise UsageError(f"timesteps must be at least 1, not {timesteps}")
    if timesteps is not None and timesteps > MAXIMUM_STEPS:
        raise UsageError(f"timesteps must be at most {MAXIMUM_STEPS}, not {timesteps}")
    if seed < 0:
        raise UsageError(f"seed must be at least 0, not {seed}")
    if weight_bits is not None:
        check_weight_bits(weight_bits)
    if readout not in READOUTS:
        raise UsageError(f"unknown readout {readout!r}", hint=did_you_mean(readout, READOUTS))
    get_neuron_model(neuron)


def _reset(backend: Backend, reset: Reset | None) -> Reset:
    if reset is None:
        return backend.default_reset
    if reset not in ("subtract", "zero"):
        raise UsageError(f"unknown reset {reset!r}", hint="known: subtract, zero")
    return reset


def _v_init(reset: Reset) -> float:
    """Half a threshold turns floor into round; a neuron reset to zero starts as it resets."""
    return 0.5 if reset == "subtract" else 0.0


def _unit_scales(graph: Graph) -> dict[str, FloatArray]:
    return {node.name: np.ones((1,) * len(node.shape)) for node in graph.activations}


def _target_problems(
    backend: Backend, network: Network, schedule: str | int, timesteps: int
) -> list[Problem]:
    return backend.check(apply_schedule(network, schedule, timesteps)[0])


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise UnsupportedModelError(problems)


def _ramp_budget(ramps: int | None, error: float | None, levels: int) -> RampBudget:
    if ramps is not None and error is not None:
        raise UsageError("ramps and curve_error cannot be combined: either fixes the other")
    if ramps is not None and not isinstance(ramps, int | np.integer):
        raise UsageError(f"ramps must be a whole number, not {ramps!r}")
    if ramps is not None and not 1 <= ramps <= MAX_RAMPS:
        raise UsageError(f"ramps must be between 1 and {MAX_RAMPS}, not {ramps}")
    if error is not None and not 0 < error < 1:
        raise UsageError(f"curve_error must be between 0 and 1, not {error}")
    return RampBudget(ramps, DEFAULT_ERROR if error is None else error, levels)


def _lowered(graph: Graph, readout: str, budget: RampBudget | None = None) -> Graph:
    lowered = lower(graph, budget)
    return count_readout(lowered) if readout == "count" else lowered


def _named(imported: Imported) -> Graph:
    """Return the graph under the file's name: exporters call every graph the same."""
    assert imported.graph is not None
    name = imported.graph.name if imported.path is None else Path(imported.path).stem
    return replace(imported.graph, name=name)


def lowered_graph(
    model: bytes,
    input_shapes: Mapping[str, Shape],
    readout: str,
    curves: Mapping[str, Ramps] | None = None,
) -> Graph:
    """Return the lowered graph of a model that was imported before, its curves as fitted then."""
    return _lowered(with_ramps(original_graph(model, input_shapes), curves or {}), readout)


def original_graph(model: bytes, input_shapes: Mapping[str, Shape]) -> Graph:
    """Return the graph up to its logits, nothing approximated, of a model imported before."""
    graph = import_onnx(model, input_shapes=input_shapes).graph
    assert graph is not None
    return exact_graph(graph)


def _calibration_data(
    imported: Imported, data: Any, shapes: Mapping[str, Shape], seed: int
) -> tuple[Any, tuple[str, ...]]:
    """Return the data given, or found beside the model, or synthetic samples and a warning."""
    if data is not None:
        return data, ()
    beside = companion(imported.path, "calibration")
    if beside is not None:
        return beside, ()
    synthetic, drawn = synthetic_rows(shapes, imported.input_dtypes, seed)
    return synthetic, (
        f"no calibration data: thresholds come from seeded random samples {drawn} and say "
        "little about real inputs; give real training samples with --calibration",
    )


def _recognised(exact: Graph, readout: str) -> QuantisedNetwork | None:
    """Return what quantisers dictate where they dictate every threshold."""
    kinds = {type(node.op) for node in exact.nodes}
    if readout == "count" or Quantise not in kinds or Curve in kinds:
        return None  # an output population has a threshold of its own, so have fitted ramps
    return recognise(lower(exact))


def _drawn_data(exact: Graph, seed: int) -> tuple[Any, tuple[str, ...]]:
    """Return rows in the range of the input quantisers, and a warning for inputs without one."""
    unknown = [node.name for node in exact.inputs if node.name not in input_ranges(exact)]
    listed = ", ".join(repr(name) for name in unknown)
    warning = (
        f"no calibration data: the quantisers dictate the thresholds, but the range of {listed} "
        "is taken as [0, 1]; give real samples with --calibration"
    )
    return draw_rows(exact, np.random.default_rng(seed)), (warning,) if unknown else ()


def companion(path: str | None, kind: str) -> Path | None:
    """Return ``<model>.<kind>.npz`` beside a model file, if there is one."""
    if path is None:
        return None
    file = Path(path)
    found = file.with_name(f"{file.stem}.{kind}.npz")
    return found if found.is_file() else None


def _calibration_record(
    calibrator: CalibrationMethod, observed: Observed, data: str
) -> dict[str, Any]:
    return {
        "method": calibrator.name,
        "config": calibrator.to_json(),
        "rows": observed.rows,
        "data": data,
        "data_sha256": observed.data_hash,
        "layers": {name: layer.to_json() for name, layer in observed.layers.items()},
    }


def _describe(data: Any) -> str:
    """Return what a person would call the data: a file's name, or the kind of object."""
    return Path(data).name if isinstance(data, str | os.PathLike) else type(data).__name__


def _provenance(imported: Imported, import_error: float, seconds: float) -> dict[str, Any]:
    return {
        "model": imported.path or "(bytes)",
        "model_sha256": hashlib.sha256(imported.model_bytes).hexdigest(),
        "opset": imported.opset,
        "onnx_nodes": imported.node_count,
        "import_error": import_error,
        "conversion_seconds": seconds,
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("snnconvert", "numpy", "onnx", "onnxruntime")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, eq=False)
class EvaluationRows:
    """Raw rows to evaluate and, where they are known apart from the rows, labels."""

    x: Any
    y: Any = None


def convert_for_report(
    path: Path,
    calibration: Any,
    evaluation: Any,
    *,
    progress: Progress | None,
    metric: MetricChoice = None,
    score_output: str | None = None,
    **options: Any,
) -> tuple[SpikingModel, EvaluationRows]:
    """Convert a model and find rows to evaluate it on.

    The rows are those given, else ``<model>.eval.npz`` beside the model, else one calibration row
    in three, which then is kept out of the thresholds.

    Parameters
    ----------
    path : Path
    calibration, evaluation : data or None
    progress : callable, optional
    metric, score_output
        As for :func:`snnconvert.convert.evaluate.evaluate_model`: refused here where they do not
        exist, before the long work.
    **options
        As for :func:`convert_model`.
    """
    rows = evaluation if evaluation is not None else companion(str(path), "eval")
    keys = ("input_shapes", "inputs", "outputs")
    imported = import_onnx(path, **{key: options.get(key) for key in keys})
    assert imported.graph is not None
    shapes = {node.name: node.shape for node in imported.graph.inputs}
    names = imported.graph.output_names
    check_metrics(names, metric, score_output)
    if rows is not None:
        tested = open_samples(
            rows, shapes, what="evaluation", outputs=names
        )  # refuses bad rows before the long work
        notes = _shared_rows(imported, calibration, tested)
        if notes and options.get("strict"):
            raise DataError(notes[0], hint="give other rows, or leave out --strict")
        snn = convert_model(
            path, calibration, progress=progress, score_output=score_output, **options
        )
        return replace(snn, warnings=(*snn.warnings, *notes)), EvaluationRows(rows)
    exact = exact_graph(imported.graph)
    seed = options.get("seed", 0)
    given = calibration is not None or companion(imported.path, "calibration") is not None
    if not given and _recognised(exact, options.get("readout", "membrane")) is not None:
        data, warnings = _drawn_data(exact, seed)
    else:
        data, warnings = _calibration_data(imported, calibration, shapes, seed)
    if warnings and options.get("strict"):
        raise DataError(warnings[0], hint="give --calibration, or leave out --strict")
    x, y = load_rows(data, shapes, what="calibration", outputs=names)
    out = held_out(row_digests(x))
    if not out.any():
        raise DataError(
            f"{len(out)} calibration rows are too few to keep some for the evaluation",
            hint=f"give --eval, or at least {HELD_OUT_SHARE} different calibration rows",
        )
    kept = {name: array[~out] for name, array in x.items()}
    snn = convert_model(path, kept, progress=progress, score_output=score_output, **options)
    note = (
        f"no evaluation rows: evaluated on {int(out.sum())} of {len(out)} calibration "
        "rows that were kept out of the thresholds"
    )
    snn = replace(snn, warnings=(*snn.warnings, *warnings, note))
    rest = {name: array[out] for name, array in x.items()}
    labels = {name: array[out] for name, array in y.items()}
    return snn, EvaluationRows(rest, labels or None)


def _shared_rows(imported: Imported, calibration: Any, tested: SampleSource) -> tuple[str, ...]:
    """Return a warning where evaluation rows are calibration rows as well."""
    data = companion(imported.path, "calibration") if calibration is None else calibration
    if data is None:
        return ()
    seen = digests_of(open_samples(data, tested.inputs))
    shared = int(shared_with(digests_of(tested), seen).sum())
    return (shared_text(shared),) if shared else ()


def shared_text(shared: int) -> str:
    """Return the warning of rows that are in both sets."""
    noun = "row" if shared == 1 else "rows"
    return (
        f"--eval and --calibration share {shared:,} {noun}: figures from rows that chose the "
        "thresholds flatter"
    )
