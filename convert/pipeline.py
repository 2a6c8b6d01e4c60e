"""The whole path as one call: ONNX in, calibrated spiking network out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from snnconvert.backends.base import get_backend
from snnconvert.calibration.data import open_samples
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.convert.calibration_rows import find_calibration_rows
from snnconvert.convert.choices import Choices, chosen_reset
from snnconvert.convert.conversion import Conversion, Progress, stages_of
from snnconvert.convert.errors import UsageError
from snnconvert.convert.judges import check_metrics
from snnconvert.convert.memory import Memory
from snnconvert.convert.network import Reset
from snnconvert.convert.onnx_import import import_onnx
from snnconvert.convert.spiking_model import SpikingModel


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
    weight_calibration: bool = False,
    anytime: float | None = None,
    score_output: str | None = None,
    weight_bits: int | None = None,
    ramps: int | None = None,
    curve_error: float | None = None,
    scale: float | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    calibration_rows: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    strict: bool = False,
    resume: str | os.PathLike[str] | None = None,
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
    weight_calibration : bool
        Tune the weights by gradient descent as well, layer by layer, in minutes in place of
        seconds; kept only where held-out rows confirm it. See docs/calibration.md.
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
        Of synthetic samples, and of the order of rows in a weight calibration.
    strict : bool
        Refuse what is otherwise a warning.
    resume : path, optional
        With `weight_calibration`: file that keeps the layers that are done. A conversion that was
        interrupted goes on from it, and the same conversion again is quick; it is not removed.
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
    ResumeError
        If the layers that were kept are damaged, or those of another conversion.

    Examples
    --------
    >>> import snnconvert
    >>> model = snnconvert.models.shipped_model_path("fashion_cnn")
    >>> snn = snnconvert.convert_model(model, timesteps=16)
    >>> snn.network.neurons > 1000
    True
    """
    backend = get_backend(target)
    choices = Choices(
        backend=backend,
        method=method,
        timesteps=timesteps,
        percentile=percentile,
        per_channel=per_channel,
        channel_group=channel_group,
        neuron=neuron,
        reset=chosen_reset(backend, reset),
        schedule=schedule,
        readout=readout,
        corrections=corrections if isinstance(corrections, str) else tuple(corrections),
        weight_calibration=weight_calibration,
        weight_bits=weight_bits,
        ramps=ramps,
        curve_error=curve_error,
        anytime=anytime,
        score_output=score_output,
        seed=seed,
    )
    if resume is not None and not weight_calibration:
        raise UsageError(
            "resume needs weight_calibration", why="a conversion keeps calibrated weights only"
        )
    preprocessing = Preprocessing.of(scale, mean, std)
    memory = Memory() if memory is None else memory
    imported = memory.once(
        "import",
        lambda: import_onnx(model, input_shapes=input_shapes, inputs=inputs, outputs=outputs),
    )
    conversion = Conversion(imported, choices, memory, stages_of(progress), resume)
    check_metrics(conversion.exact.output_names, None, score_output)
    conversion.refuse_for_target()
    rows = find_calibration_rows(
        imported, conversion.exact, conversion.quantised, calibration_data, seed
    )
    source = open_samples(
        rows.data,
        {node.name: node.shape for node in conversion.exact.inputs},
        preprocessing=preprocessing,
        batch_size=batch_size,
        limit=calibration_rows,
        outputs=conversion.exact.output_names,  # their labels are no arrays that nobody needs
    )
    if strict:
        rows.refuse_warnings()
    learnt = conversion.learn(source)
    timing = conversion.choose_timing(learnt, source, real=rows.given)
    return conversion.finish(learnt, timing, source, rows, preprocessing)
