"""Measures configurations: converts, runs on the target, judges; what is alike is found once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snnconvert.backends.base import get_backend
from snnconvert.calibration.data import load_rows
from snnconvert.convert.errors import (
    CalibrationError,
    DataError,
    SnnConvertError,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.evaluate import BATCH_SIZE
from snnconvert.convert.graph import Affine
from snnconvert.convert.judges import judges_of
from snnconvert.convert.memory import Memory
from snnconvert.convert.pipeline import convert_model
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.energy import ENERGY_MODELS, EnergyModel
from snnconvert.reports.evaluation import Measurement
from snnconvert.reports.measuring import evaluate
from snnconvert.reports.operations import ann_macs
from snnconvert.tuning.figures import Figures
from snnconvert.tuning.rows import Division
from snnconvert.tuning.search import Trial
from snnconvert.tuning.space import Configuration

MOST_JUDGED = 1000
"""Rows that judge, at most."""

LEAST_JUDGED = 64
"""Rows of a rung, at least, where there are as many: fewer say next to nothing of an accuracy."""

QUICK_CORRECTIONS = "bias"
"""Stands in for all corrections where few rows judge anyway: one pass over the network."""


class Workbench:
    """Measures configurations of one model for one target.

    Parameters
    ----------
    model : path, bytes or ModelProto
    division : Division
    target : str
    options : dict
        Of ``convert_model``, the same for every configuration.
    score_output : str, optional
    batch_size : int, optional
        Samples simulated at once.
    """

    def __init__(
        self,
        model: Any,
        division: Division,
        target: str,
        options: Mapping[str, Any],
        *,
        score_output: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.model, self.division, self.options = model, division, dict(options)
        self.target, self.score_output = target, score_output
        self.batch_size = BATCH_SIZE if batch_size is None else batch_size
        self.rungs = rungs(min(len(division.judging), MOST_JUDGED))
        self.energy = energy_model(target)
        self.first_error: SnnConvertError | None = None
        self.labelled = False
        self._memory = Memory()
        self._judging = Memory()

    def measure(self, configuration: Configuration, rung: int) -> Trial:
        """Measure a configuration on the rows of a rung."""
        rows = self.rungs[rung]
        try:
            snn = self._convert(configuration, quick=rung == 0 and len(self.rungs) > 1)
            measured = self._run(snn, rung)
        except (UnsupportedModelError, UsageError, CalibrationError) as error:
            self.first_error = self.first_error or error
            return Trial(configuration, rung, rows, None, problem=str(error))
        self.labelled = measured.ann.accuracy is not None
        curve = figures_of(measured, snn, self.energy)
        figures = curve[-1]
        if snn.timesteps != configuration.timesteps:  # schedule auto: T is the latency in all
            curve = by_latency(curve, configuration.timesteps)
        return Trial(configuration, rung, rows, figures, curve)

    def _convert(self, configuration: Configuration, *, quick: bool) -> SpikingModel:
        options = configuration.options
        if quick and options["corrections"] != "none":
            options["corrections"] = QUICK_CORRECTIONS
        return convert_model(
            self.model,
            self.division.thresholds.x,
            target=self.target,
            memory=self._memory,
            **self.options,
            **options,
        )

    def _run(self, snn: SpikingModel, rung: int) -> Measurement:
        backend = get_backend(self.target)
        takes_steps = "timesteps" in backend.capabilities.options
        emitted = backend.emit(snn, **({"timesteps": snn.timesteps} if takes_steps else {}))
        judging = self.division.judging.first(self.rungs[rung])
        samples = self._judging.once(
            rung,
            lambda: load_rows(judging.x, snn.input_shapes, preprocessing=snn.preprocessing)[0],
        )
        judges = self._judging.once(
            (rung, snn.readout),
            lambda: judges_of(snn, samples, judging.y, score_output=self.score_output),
        )
        return evaluate(
            emitted,
            samples,
            judges,
            timesteps=snn.timesteps,
            batch_size=self.batch_size,
            ann_macs=self._judging.once("macs", lambda: macs_of(snn)),
        )


def rungs(rows: int) -> tuple[int, ...]:
    """Return the rows of at most three rungs, each three times as many as the one before.

    Examples
    --------
    >>> rungs(1000), rungs(250), rungs(100)
    ((111, 333, 1000), (83, 250), (100,))
    """
    sizes = (rows // 9, rows // 3)
    return (*(size for size in sizes if size >= LEAST_JUDGED), rows)


def by_latency(curve: tuple[Figures, ...], latency: int) -> tuple[Figures, ...]:
    """Return the figures after each step of a latency; before the first answer nothing is right."""
    found = []
    nothing = replace(curve[0], accuracy=0.0, agreement=0.0)
    for step in range(1, latency + 1):
        answered = [figures for figures in curve if figures.latency <= step]
        found.append(answered[-1] if answered else replace(nothing, latency=step))
    return tuple(found)


def macs_of(snn: SpikingModel) -> float:
    """Return the multiply-adds of a model's ANN."""
    nodes = snn.graph.nodes
    return float(ann_macs(node.op.operators for node in nodes if isinstance(node.op, Affine)))


def energy_model(target: str) -> EnergyModel:
    """Return the published constants that stand for a target's energy."""
    wanted = "SNN on Loihi" if target == "loihi" else "SNN, 32-bit float, 45 nm"
    return next(model for model in ENERGY_MODELS if model.name == wanted)


def figures_of(
    measured: Measurement, snn: SpikingModel, energy: EnergyModel
) -> tuple[Figures, ...]:
    """Return the figures after each timestep; operations before the last in proportion.

    Raises
    ------
    DataError
        If the output has no decisions that could be right or wrong.
    """
    labelled = measured.ann.accuracy is not None
    joules, T = energy.joules(measured.operations), len(measured.accuracy)
    found = []
    for row in measured.accuracy:
        accuracy = row.accuracy if labelled else row.agreement
        if accuracy is None or row.agreement is None:
            raise DataError(
                f"output {measured.headline.name!r} is judged by {measured.metric.title}, a goal "
                "needs answers that are right or wrong",
                hint="tune a classifier, or choose its output with --score-output",
            )
        found.append(
            Figures(
                accuracy,
                row.agreement,
                measured.ann.accuracy if measured.ann.accuracy is not None else 1.0,
                row.latency,
                measured.operations.synops * row.timesteps / T,
                joules * row.timesteps / T,
                snn.network.neurons,
            )
        )
    return tuple(found)
