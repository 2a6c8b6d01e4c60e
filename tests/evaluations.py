"""Evaluations for the tests of the report: invented figures, or a small network that is run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    ReduceSum,
    Reshape,
    Scale,
    Shape,
    SumPool,
    Window,
    apply_chain,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout
from snnconvert.reports.anytime import AnytimeResult
from snnconvert.reports.diagnosis import Diagnosis, LayerDiagnosis, Mode
from snnconvert.reports.evaluation import Evaluation, Measurement, ReportContext
from snnconvert.reports.ladder import Rung
from snnconvert.reports.layers import HISTOGRAM_BINS, LayerStatistics, ThresholdSummary
from snnconvert.reports.measuring import evaluate
from snnconvert.reports.operations import Operations
from snnconvert.reports.readings import OutputLayout
from snnconvert.reports.scores import (
    INTERVALS,
    AnnResult,
    Judge,
    MetricText,
    OutputScore,
    ScoreRow,
    Standing,
)
from snnconvert.reports.statistics import paired_difference_interval, wilson_interval


def dense_matrix(chain: Chain, shape: Shape) -> FloatArray:
    """Return a chain's matrix (inputs, outputs), by applying it to every unit vector."""
    units = np.eye(math.prod(shape)).reshape(-1, *shape)
    return apply_chain(chain, units).reshape(len(units), -1)


def context(**changes: Any) -> ReportContext:
    """A context with every kind of value in it."""
    whole = ReportContext(
        model={"name": "fashion_cnn", "model_sha256": "0f" * 32, "versions": {"numpy": "2.4.6"}},
        target="loihi",
        fidelity={"backend": "loihi", "engine": "integers", "reset": "zero", "weight_bits": 8},
        calibration={
            "method": "auto",
            "config": {"timesteps": 64, "per_channel": True},
            "rows": 500,
            "layers": {"conv1": {"max": 3.5, "zeros": 0.5}, "conv2": {"max": 1.25, "zeros": 0.75}},
        },
        ladder=(
            Rung("quantised_ann", 0.9, 0.97, 1000),
            Rung("integer_snn", reason="weights were not rounded (--weight-bits)"),
        ),
        resources={"cores": 3, "layers": [{"name": "conv1", "cores": 1}, {"name": "conv2"}]},
        parity={"compared_with": "the emulator", "samples": 4, "differing_spikes": 0},
        timing={"build_seconds": 1.5},
        warnings=("3 channels never activate",),
        notes=("the layout was NHWC",),
    )
    return replace(whole, **changes)


def layer(name: str = "conv1", **changes: Any) -> LayerStatistics:
    """Statistics of one layer that agree with one another as far as a report shows."""
    rng = np.random.default_rng(len(name))
    activation = rng.gamma(1.0, 1.0, 400)
    whole = LayerStatistics(
        name=name,
        neurons=4096,
        threshold=ThresholdSummary(0.5, 2.0, 3.5),
        steps=64,
        rate=0.125,
        spikes=32768.0,
        counted=256,
        silent=0.5,
        never_fired=0.03,
        saturated=0.004,
        compared=64,
        relative_error=0.08,
        correlation=0.994,
        histogram=(0.6, *[0.4 / (HISTOGRAM_BINS - 1)] * (HISTOGRAM_BINS - 1)),
        scatter=tuple(
            (float(x), float(x + e))
            for x, e in zip(activation, rng.normal(0, 0.1, 400), strict=True)
        ),
    )
    return replace(whole, **changes)


@dataclass(frozen=True)
class InventedStandings:
    """Standings that are the same on any rows."""

    ann: Standing
    target: Standing

    def standing(self, outputs: Any) -> Standing:
        return self.target

    def ends(self, rows: int) -> tuple[Standing, Standing]:
        return self.ann, self.target


AGREEMENT = MetricText("agreement", "agreement with the ANN", against="ann")


def evaluation(
    timesteps: int = 64,
    layers: int = 3,
    *,
    labelled: bool = True,
    samples: int = 1000,
    latency: int = 0,
    shortfall: float = 0.006,
    ann_accuracy: float = 0.918,
    names: str = "features.{}.conv",
    **changes: Any,
) -> Evaluation:
    """An evaluation whose accuracy rises to `shortfall` below the ANN's."""
    ann_right = round(ann_accuracy * samples)
    right = [
        round((ann_accuracy - shortfall) * samples * (1 - 0.85 ** (t + 1) * (t + 1 < timesteps)))
        for t in range(timesteps)
    ]
    agreeing = [min(right[t] + samples // 20, samples) for t in range(timesteps)]
    counted = right if labelled else agreeing
    rows = tuple(
        ScoreRow(
            timesteps=t + 1,
            latency=latency + t + 1,
            value=counted[t] / samples,
            accuracy=right[t] / samples if labelled else None,
            agreement=agreeing[t] / samples,
            ci95=wilson_interval(counted[t], samples),
        )
        for t in range(timesteps)
    )
    only_ann, only_snn = max(ann_right - right[-1], 0) + 5, max(right[-1] - ann_right, 0) + 5
    ann = AnnResult(
        ann_right / samples,
        ann_right / samples,
        wilson_interval(ann_right, samples),
        only_ann,
        only_snn,
        (right[-1] - ann_right) / samples,
        paired_difference_interval(only_ann, only_snn, samples),
    )
    metric = MetricText() if labelled else AGREEMENT
    value = rows[-1].value if labelled else None
    measurement = Measurement(
        samples=samples,
        outputs=(OutputScore("logits", (10,), metric, rows, ann if labelled else AnnResult()),),
        layers=tuple(layer(names.format(i), steps=timesteps + latency) for i in range(layers)),
        operations=Operations(
            steps=timesteps + latency,
            spikes=98304.0,
            effective_acs=1_934_112.0,
            effective_macs=28_224.0,
            dense=5e7,
            synops=1_934_112.0,
            neuron_updates=786_432.0,
            ann_macs=178_000.0,
            synops_by_source={names.format(i): 1_934_112.0 / layers for i in range(layers)},
        ),
        seconds=2.5,
        standings=InventedStandings(
            Standing(ann_right / samples if labelled else None, 1.0, None),
            Standing(value, rows[-1].agreement, None),
        ),
    )
    return Evaluation(measurement, context(**changes))


def regression_evaluation(
    metric: MetricText | None = None, *, excess: float = 0.03, labelled: bool = True, **changes: Any
) -> Evaluation:
    """An evaluation of numbers whose mean absolute error falls to `excess` above the ANN's 0.5."""
    made = evaluation(**changes)
    if metric is None:
        metric = MetricText(
            "mae",
            "mean absolute error",
            "lower",
            high=math.inf,
            share=False,
            interval=INTERVALS["linear"],
        )
        if not labelled:
            metric = replace(metric, name="relative_error", title="relative error", against="ann")
    ends = range(1, made.timesteps + 1)
    values = [excess + (0.5 if labelled else 0.0) + 1 / t - 1 / made.timesteps for t in ends]
    rows = tuple(
        replace(
            row,
            value=value,
            accuracy=None,
            agreement=None,
            ci95=(value - 0.02, value + 0.02) if labelled else None,
            relative_error=excess if not labelled else 0.1,
            correlation=0.99,
            also={"r2": 0.9 - excess} if labelled else {},
        )
        for row, value in zip(made.measurement.accuracy, values, strict=True)
    )
    ann = AnnResult()
    if labelled:
        ann = AnnResult(0.5, None, (0.48, 0.52), difference=excess, difference_ci95=(0.01, 0.05))
    output = OutputScore("age", (), metric, rows, ann)
    ends_ = InventedStandings(
        Standing(0.5 if labelled else None, None, 0.0),
        Standing(rows[-1].value if labelled else None, None, rows[-1].relative_error),
    )
    measurement = replace(made.measurement, outputs=(output,), standings=ends_)
    return replace(made, measurement=measurement)


def population(name: str, shape: tuple[int, ...], scale: float = 1.0, **changes: Any) -> Population:
    """Integrate-and-fire neurons with unit threshold."""
    one = np.float64(1.0)
    made = Population(
        name,
        shape,
        threshold=np.asarray(one),
        amplitude=np.asarray(one),
        scale=np.asarray(np.float64(scale)),
        bias=np.asarray(np.float64(0.0)),
        v_init=np.asarray(np.float64(0.5)),
        tensor=name,
    )
    return replace(made, **changes)


def small_network() -> tuple[Network, dict[str, FloatArray]]:
    """A network of two convolutions with padding, a pool and a readout, and 10 samples."""
    rng = np.random.default_rng(7)
    conv1 = Convolution(
        (2, 6, 6), rng.normal(0, 0.4, (3, 2, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1)
    )
    pool = SumPool((3, 6, 6), Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    quarter = Scale((3, 3, 3), np.asarray(0.25))
    weight = rng.normal(0.1, 0.4, (4, 3, 3, 3)) * (rng.random((4, 3, 3, 3)) < 0.8)
    conv2 = Convolution((3, 3, 3), weight, (1, 1), ((1, 1), (0, 1)), (1, 1))
    head = (
        ReduceSum(conv2.output_shape, (1, 2)),
        Reshape((4, 1, 1), (4,)),
        Dense((4,), rng.normal(0, 1, (5, 4))),
    )
    network = Network(
        "small",
        (
            Input("image", (2, 6, 6)),
            population("conv1", (3, 6, 6), 1.5),
            population("conv2", conv2.output_shape, 0.5),
            Readout("logits", (5,), np.zeros(5), np.ones(5)),
        ),
        (
            Connection("image", "conv1", (conv1,)),
            Connection("conv1", "conv2", (pool, quarter, conv2)),
            Connection("conv2", "logits", head),
        ),
    )
    image = np.round(rng.random((10, 2, 6, 6)), 1) * (rng.random((10, 2, 6, 6)) < 0.7)
    return network, {"image": image}


def small_evaluation(**options: Any) -> tuple[Measurement, dict[str, FloatArray]]:
    """Run the small network; the ANN's activations are invented, the same for every batch size."""
    network, samples = small_network()
    rng = np.random.default_rng(3)
    ann = rng.normal(0, 1, (10, 5))
    truth = {p.name: np.maximum(rng.normal(0, 1, (10, *p.shape)), 0) for p in network.populations}

    def activations(rows: Any) -> Any:
        # Rows are recognised by their content, as a real evaluator would compute them from it.
        first = next(
            i for i, x in enumerate(samples["image"]) if np.array_equal(x, rows["image"][0])
        )
        for name, values in truth.items():
            yield name, values[first : first + len(rows["image"])]

    settings: dict[str, Any] = {
        "timesteps": 12,
        "batch_size": 10,
        "ann_macs": 4000.0,
        "lowered_values": activations,
    }
    labels = options.pop("labels", np.arange(10) % 5)
    judges = [judge(ann, labels)]
    measured = evaluate(ReferenceSimulation(network), samples, judges, **(settings | options))
    return measured, truth


def judge(ann: Any, labels: Any = None) -> Judge:
    """How the small network's output is judged."""
    return Judge(OutputLayout("logits", (5,), (5,)), ann, ann, labels)


def diagnosed_layer(name: str, error_lost: float, **changes: Any) -> LayerDiagnosis:
    """An invented diagnosis of one layer."""
    whole = LayerDiagnosis(
        name=name,
        neurons=100,
        value=0.9,
        output_error=0.1,
        lost=error_lost / 2,
        error_lost=error_lost,
        relative_error=0.1,
        sqnr_db=20.0,
        correlation=0.99,
        own_error=0.08,
        causes={"clipping": 0.0, "rounding": 0.05, "timing": 0.06, "weight_bits": 0.0},
        silent=0.5,
        saturated=0.01,
        cause="timing",
        options=("--schedule full or auto", "--timesteps 128"),
    )
    return replace(whole, **changes)


def diagnosis(*layers: LayerDiagnosis, mode: Mode = "single") -> Diagnosis:
    """An invented diagnosis of these layers, by default of three."""
    if not layers:
        lost = {"features.0.conv": 0.02, "features.1.conv": 0.3, "features.2.conv": -0.01}
        layers = tuple(diagnosed_layer(name, error) for name, error in lost.items())
    return Diagnosis(mode, 64, 64, MetricText(), 0.95, 0.9, 0.2, 0.95, 0.0, layers)


def anytime(made: Evaluation, histogram: tuple[int, ...], **changes: Any) -> AnytimeResult:
    """An invented result of samples that stop as the histogram says."""
    count = sum(histogram)
    mean = sum(t * n for t, n in enumerate(histogram, start=1)) / count
    share = mean / len(histogram)
    operations = made.measurement.operations
    whole = AnytimeResult(
        tolerance=0.01,
        calibration_rows=500,
        value=made.value,
        ci95=(0.88, 0.92),
        agreement=0.97,
        changed=0.005,
        mean_timesteps=mean,
        mean_latency=mean,
        histogram=histogram,
        fixed_timesteps=12,
        operations=replace(
            operations,
            spikes=share * operations.spikes,
            synops=share * operations.synops,
            effective_acs=share * operations.effective_acs,
        ),
    )
    return replace(whole, **changes)


def extended(made: Evaluation) -> Evaluation:
    """An evaluation with a diagnosis and samples that stop early."""
    steps = made.timesteps
    histogram = tuple(2 * (steps - t) for t in range(steps))
    measurement = replace(made.measurement, anytime=anytime(made, histogram))
    return Evaluation(measurement, replace(made.context, diagnosis=diagnosis()))
