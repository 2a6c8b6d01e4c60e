"""Name the layers that lose most: run the network with layers replaced by the ANN's."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnconvert.calibration.mixed_run import (
    CAUSES,
    MixedNetwork,
    MixedResult,
    Samples,
    mixed_run,
    own_errors,
)
from snnconvert.calibration.readout import logit_error
from snnconvert.calibration.replay import CHUNK, rows_that_fit
from snnconvert.calibration.schedules import parse_schedule
from snnconvert.convert.errors import UsageError
from snnconvert.convert.evaluate import load_samples
from snnconvert.convert.judges import MetricChoice, check_metrics, judges_of, logits_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.run_choices import check_diagnosis, settings_of
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.advice import Settings, remedies
from snnconvert.reports.diagnosis import SILENT_SHARE, Diagnosis, LayerDiagnosis, Mode
from snnconvert.reports.layers import SATURATED_RATE
from snnconvert.reports.scores import Judge, OutputTally
from snnconvert.reports.statistics import PairMoments
from snnconvert.reports.targets import decides

ROWS = 64


def diagnose_model(
    snn: SpikingModel,
    x: Any,
    y: Any = None,
    *,
    rows: int = ROWS,
    mode: Mode = "single",
    metric: MetricChoice = None,
    score_output: str | None = None,
    timesteps: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Diagnosis:
    """Name the layers of a network that lose most, see :meth:`SpikingModel.diagnose`."""
    check_diagnosis(snn, mode, snn.timesteps if timesteps is None else timesteps)
    if rows < 1:
        raise UsageError(f"rows must be at least 1, not {rows}")
    check_metrics(snn.graph.output_names, metric, score_output)
    samples, labels = load_samples(snn, x, y, rows)
    judge = judges_of(snn, samples, labels, metric=metric, score_output=score_output)[0]
    return diagnose(snn, samples, judge, mode, timesteps=timesteps, progress=progress)


def diagnose(
    snn: SpikingModel,
    samples: Samples,
    judge: Judge,
    mode: Mode,
    *,
    timesteps: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Diagnosis:
    """Name the layers that lose most on preprocessed samples.

    Parameters
    ----------
    snn : SpikingModel
    samples : dict of (n, *shape) arrays
    judge : Judge
        Of the output that counts, for these samples.
    mode : {"single", "cumulative"}
    timesteps : int, optional
        Default: the design T.
    progress : callable, optional
        Called with the runs done and in all.
    """
    steps = snn.timesteps if timesteps is None else timesteps
    holdoff = parse_schedule(snn.schedule, steps)
    mixed = MixedNetwork.of(snn.network, snn.graph, steps, holdoff)
    runs = _Runs(mixed, samples, judge, _wanted(snn, samples, judge), progress)
    layers = mixed.layers
    every = runs.all_spiking()
    all_replaced = runs.run(layers)
    scored = [
        runs.run(layers[k + 1 :] if mode == "cumulative" else (name,))
        for k, name in enumerate(layers)
    ]
    before = [all_replaced, *scored[:-1]] if mode == "cumulative" else scored
    after = scored if mode == "cumulative" else [every] * len(scored)
    activations = _activations(snn, samples)
    text = judge.text(1)
    settings = settings_of(snn, snn.target, steps)
    found = []
    for name, run, better, worse in zip(layers, scored, before, after, strict=True):
        lost = None
        if worse.value is not None and better.value is not None:
            lost = text.worse_by(worse.value, better.value)
        found.append(
            LayerDiagnosis(
                name=name,
                neurons=mixed.population(name).size,
                value=run.value,
                output_error=run.error,
                lost=lost,
                error_lost=worse.error - better.error,
                **_fidelity(mixed, runs.base, name, activations[name]),
                **_cause(mixed, runs.base, name, settings),
            )
        )
    return Diagnosis(
        mode=mode,
        rows=judge.count,
        timesteps=steps,
        metric=text,
        ann=runs.ann,
        spiking=every.value,
        spiking_error=every.error,
        replaced=all_replaced.value,
        replaced_error=all_replaced.error,
        layers=tuple(found),
    )


@dataclass(frozen=True)
class _Scored:
    value: float | None
    error: float


class _Runs:
    """Runs with some layers replaced, each judged."""

    def __init__(
        self,
        mixed: MixedNetwork,
        samples: Samples,
        judge: Judge,
        wanted: FloatArray,
        progress: Callable[[int, int | None], None] | None,
    ) -> None:
        self.mixed, self.samples, self.judge = mixed, samples, judge
        self.wanted = wanted
        self.progress, self.done = progress, 0
        self.total = len(mixed.layers) + 2
        self.tally = OutputTally(judge, 1)
        self.size = rows_that_fit(mixed.running, mixed.timesteps, supplied=True)
        self.base: MixedResult
        self.ann: float | None = None

    def all_spiking(self) -> _Scored:
        """Run the network as it is, and keep what every layer did."""
        self.base = self._result(())
        outputs = self.base.outputs[self._readout]
        self.tally.add(slice(0, len(outputs)), outputs[None])
        ann = self.tally.ends(self.judge.count)[0]
        self.ann = ann.value if self.judge.target is not None else ann.agreement
        return self._scored(outputs)

    def run(self, replaced: Collection[str]) -> _Scored:
        """Run with some layers replaced."""
        return self._scored(self._result(replaced).outputs[self._readout])

    @property
    def _readout(self) -> str:
        return self.judge.layout.readout or self.judge.layout.name

    def _result(self, replaced: Collection[str]) -> MixedResult:
        parts = [
            mixed_run(
                self.mixed,
                {name: array[first : first + self.size] for name, array in self.samples.items()},
                replaced,
            )
            for first in range(0, self.judge.count, self.size)
        ]
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
        return parts[0].joined(parts[1:], self.samples)

    def _scored(self, outputs: FloatArray) -> _Scored:
        standing = self.tally.standing(outputs)
        decisions = standing.agreement is not None
        value = standing.value
        if self.judge.target is None:
            value = standing.agreement if decisions else standing.relative_error
        wanted = self.wanted.reshape(outputs.shape)
        return _Scored(
            value, logit_error(outputs, wanted) if decisions else _error(outputs, wanted)
        )


def _wanted(snn: SpikingModel, samples: Samples, judge: Judge) -> FloatArray:
    """Return the ANN's output as a readout decodes it: before a Softmax, counts not below 0."""
    name = judge.layout.name
    wanted: FloatArray = judge.ann.scores[0]
    if judge.layout.finish is not None:
        wanted = logits_of(snn, samples, [name])[name]
    counted = snn.readout == "count" and decides(judge.layout)
    return np.maximum(wanted, 0) if counted else np.asarray(wanted)


def _error(outputs: FloatArray, wanted: FloatArray) -> float:
    moments = PairMoments()
    moments.add(wanted, outputs)
    return moments.relative_error or 0.0


def _activations(snn: SpikingModel, samples: Samples) -> dict[str, FloatArray]:
    return dict(snn.activations(samples, batch_size=CHUNK))


def _fidelity(
    mixed: MixedNetwork, base: MixedResult, name: str, activation: FloatArray
) -> dict[str, Any]:
    """Return how near a layer comes to the ANN's, all layers spiking."""
    p = mixed.population(name)
    moments = PairMoments()
    moments.add(activation, base.values[name])
    error = moments.relative_error
    full = SATURATED_RATE * mixed.timesteps * spike_values(p.neuron).highest
    counts = base.counts[name]
    return {
        "relative_error": error,
        "sqnr_db": -20 * math.log10(error) if error else None,
        "correlation": moments.correlation,
        "silent": float((counts == 0).mean()),
        "saturated": float((counts >= max(math.ceil(full), 1)).mean()),
    }


def _cause(mixed: MixedNetwork, base: MixedResult, name: str, settings: Settings) -> dict[str, Any]:
    """Return a layer's own error, its parts, and the cause that weighs most."""
    own = own_errors(mixed, base, name)
    cause = max(CAUSES, key=lambda part: own.parts[part])
    if not own.parts[cause]:
        cause = "none"
    elif cause == "rounding" and own.silent >= SILENT_SHARE:
        cause = "silent"
    return {
        "own_error": own.total,
        "causes": own.parts,
        "cause": cause,
        "options": remedies(cause, settings),
    }
