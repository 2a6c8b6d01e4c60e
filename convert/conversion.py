"""The stages of one conversion, each a step from the imported file to the spiking model."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import numpy as np

from snnconvert.calibration.activations import Observed, observe
from snnconvert.calibration.anytime import ROWS as ANYTIME_ROWS
from snnconvert.calibration.anytime import calibrate_anytime
from snnconvert.calibration.calibrate import Options, Stage, correct
from snnconvert.calibration.corrections import TRIAL_ROWS, parse_corrections, without_data
from snnconvert.calibration.curves import fit_curves, with_ramps
from snnconvert.calibration.data import SampleSource, sample_rows
from snnconvert.calibration.methods import CalibrationMethod
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.calibration.recognition import QuantisedNetwork
from snnconvert.calibration.schedule_choice import Candidate, choose_schedule
from snnconvert.calibration.schedules import apply_schedule, describe_timing, parse_schedule
from snnconvert.calibration.verification import measure_rounding, verify_import
from snnconvert.convert.build_network import build_network
from snnconvert.convert.calibration_rows import CalibrationRows
from snnconvert.convert.checking.node_verdicts import placed
from snnconvert.convert.choices import Choices
from snnconvert.convert.curves.fit_ramps import RampBudget
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.errors import Problem, UnsupportedModelError
from snnconvert.convert.fingerprint import fingerprint
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.lower import exact_graph, lower
from snnconvert.convert.memory import Memory
from snnconvert.convert.network import Network
from snnconvert.convert.onnx_import import Imported
from snnconvert.convert.passes.count_readout import count_readout
from snnconvert.convert.resume import NothingKept, ResumeFile
from snnconvert.convert.snap import MAXIMUM_STEPS
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.convert.stored_graph import lowered_for, named_graph, recognised

Progress: TypeAlias = Callable[[str, int, int | None], None]

DEFAULT_TIMESTEPS = 64

FEW_ROWS = 10
"""Calibration rows below which a warning says so."""


def stages_of(progress: Progress | None) -> Stage:
    """Return what names the stages of a progress callback."""

    def stage(name: str) -> Callable[[int, int | None], None] | None:
        if progress is None:
            return None
        return lambda done, total: progress(name, done, total)

    return stage


@dataclass(frozen=True, eq=False)
class Learnt:
    """What the calibration rows told.

    Attributes
    ----------
    graph : Graph
        Lowered, curves as fitted, with the output population that counted spikes need.
    curves : dict of Ramps
    import_error : float
    observed : Observed
    """

    graph: Graph
    curves: dict[str, Ramps]
    import_error: float
    observed: Observed


@dataclass(frozen=True, eq=False)
class Timing:
    """Window and schedule of the network, and how they were chosen."""

    timesteps: int
    schedule: str | int
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all of a population's charge is there before it fires."""
        return parse_schedule(self.schedule, self.timesteps) >= self.timesteps


@dataclass(frozen=True, eq=False)
class Conversion:
    """One model, on its way to one target.

    Attributes
    ----------
    imported : Imported
    choices : Choices
    memory : Memory
        What earlier conversions of the same model on the same rows found.
    stage : callable
        Returns the progress callback of a stage.
    resume : path, optional
        Keeps the layers of a weight calibration that are done.
    """

    imported: Imported
    choices: Choices
    memory: Memory
    stage: Stage
    resume: str | os.PathLike[str] | None = None
    started: float = field(default_factory=time.perf_counter)

    @cached_property
    def exact(self) -> Graph:
        """The graph up to its logits, nothing approximated."""
        return exact_graph(named_graph(self.imported))

    @cached_property
    def quantised(self) -> QuantisedNetwork | None:
        """What quantisers dictate where they dictate every threshold."""
        return recognised(self.exact, self.choices.readout)

    @cached_property
    def timesteps(self) -> int:
        """T, or with the schedule ``auto`` the latency in all."""
        if self.choices.timesteps is not None:
            return self.choices.timesteps
        if self.quantised is None:
            return DEFAULT_TIMESTEPS
        return min(self.quantised.timesteps(self.choices.levels_per_step), MAXIMUM_STEPS)

    def refuse_for_target(self) -> None:
        """Raise what the target cannot run, before any row is read.

        Raises
        ------
        UnsupportedModelError
        """
        graph = lowered_for(self.exact, self.choices.readout, self._budget)  # not fitted yet
        units = {node.name: np.ones((1,) * len(node.shape)) for node in graph.activations}
        network = self._network(graph, units, {})
        unfit = self._problems(network, self.choices.schedule, self.timesteps)
        _refuse(placed(self.imported.verdicts, unfit))

    def learn(self, source: SampleSource) -> Learnt:
        """Fit the curves, compare the import with onnxruntime, observe the activations."""
        model, once, stage = self.imported.model_bytes, self.memory.once, self.stage
        curves = once(
            ("curves", self._budget),
            lambda: fit_curves(self.exact, model, source, self._budget, progress=stage("curves")),
        )
        fit = self._budget if curves else None  # without curves all budgets are alike
        fitted = with_ramps(self.exact, curves)
        lowered = lower(fitted)
        count = self.choices.readout == "count"
        graph = count_readout(lowered) if count else lowered
        whole = named_graph(self.imported) if self.exact.approximations else self.exact
        error = once(
            ("verified", fit), lambda: verify_import(whole, lowered, model, source, fitted)
        )
        observed = once(
            ("observed", fit, self.choices.readout),
            lambda: observe(graph, model, source, progress=stage("calibration")),
        )
        return Learnt(graph, curves, error, observed)

    def choose_timing(self, learnt: Learnt, source: SampleSource, *, real: bool) -> Timing:
        """Return window and schedule: those asked for, or the best within a latency."""
        if self.choices.schedule != "auto":
            return Timing(self.timesteps, self.choices.schedule)

        def fits(network: Network, candidate: Candidate) -> bool:
            return not self._problems(network, candidate.holdoff, candidate.timesteps)

        candidate, record = choose_schedule(
            self.timesteps,
            lambda T: self._calibrated(learnt, self.choices.calibrator(T)),
            fits,
            learnt.graph,
            sample_rows(source, TRIAL_ROWS),
            late_readout=self._late_readout(real=real),
        )
        return Timing(candidate.timesteps, candidate.schedule, record)

    def finish(
        self,
        learnt: Learnt,
        timing: Timing,
        source: SampleSource,
        rows: CalibrationRows,
        preprocessing: Preprocessing,
    ) -> SpikingModel:
        """Return the model: thresholds, corrections, schedule, and the record of it all."""
        calibrator = self.choices.calibrator(timing.timesteps)
        network = self._calibrated(learnt, calibrator)
        options = self._corrections(timing, real=rows.given)
        kept = self._kept(network, learnt, options, preprocessing)
        with kept.writing():
            network, corrected = correct(network, learnt.graph, source, options, self.stage, kept)
        network, schedule_notes = apply_schedule(network, timing.schedule, timing.timesteps)
        _refuse(self.choices.backend.check(network))
        record = _calibration_record(calibrator, learnt.observed, rows.description)
        snn = SpikingModel(
            network=network,
            model_bytes=self.imported.model_bytes,
            preprocessing=preprocessing,
            input_shapes={node.name: node.shape for node in learnt.graph.inputs},
            target=self.choices.backend.name,
            timesteps=timing.timesteps,
            readout=self.choices.readout,
            schedule=str(timing.schedule),
            calibration=record | corrected | dict(timing.record),
            provenance=self._provenance(learnt),
            warnings=(
                *rows.warnings,
                *learnt.observed.warnings,
                *self._few_rows(learnt, real=rows.given),
                *schedule_notes,
                *self._not_made(corrected, real=rows.given),
            ),
            notes=(
                *self._notes(learnt, timing, network, source),
                *self._weights_note(corrected, real=rows.given),
            ),
            approximations=measure_rounding(self.exact, learnt.graph.approximations, source),
            curves=learnt.curves,
        )
        return self._with_anytime(snn, source)

    def _network(
        self, graph: Graph, scales: Mapping[str, FloatArray], bounds: Mapping[str, float]
    ) -> Network:
        choices = self.choices
        network = build_network(
            graph,
            scales,
            reset=choices.reset,
            v_init=choices.v_init,
            input_bounds=bounds,
            neuron=choices.neuron,
        )
        fine = self.quantised is not None
        return replace(network, weight_bits=choices.weight_bits, fine=fine)

    def _few_rows(self, learnt: Learnt, *, real: bool) -> Iterator[str]:
        count = learnt.observed.rows
        if real and count < FEW_ROWS and not self._exactly_quantised:
            noun = "row tells" if count == 1 else "rows tell"
            yield f"{count} calibration {noun} little of others; a few hundred are better"

    def _calibrated(self, learnt: Learnt, calibrator: CalibrationMethod) -> Network:
        observed = learnt.observed
        return self._network(learnt.graph, calibrator.scales(observed), observed.inputs)

    def _corrections(self, timing: Timing, *, real: bool) -> Options:
        """Return the corrections to try; `real` rows are not drawn by us."""
        asked = self.choices.corrections
        if asked == "auto" and (self.choices.method != "auto" or self._exactly_quantised):
            asked = "none"  # a quantised network that is staged has nothing left to correct
        wanted = parse_corrections(asked, whole=timing.whole)
        return Options(
            timing.timesteps,
            timing.schedule,
            wanted if real else without_data(wanted, self.quantised is not None),
            gains=self._automatic(real=real) and asked != "none",
            late_readout=self._late_readout(real=real),
            weight_calibration=self.choices.weight_calibration
            and real
            and not self._exactly_quantised,
            seed=self.choices.seed,
        )

    def _weights_note(self, corrected: Mapping[str, Any], *, real: bool) -> Iterator[str]:
        """Say what became of a weight calibration that was asked for."""
        found = corrected.get("weight_calibration")
        if found is not None:
            errors = f"{found['error_without']:.4f} without, {found['error']:.4f} with it"
            kept = "kept" if found["accepted"] else "not kept"
            yield f"weight calibration {kept}: logit error on rows held out {errors}"
        elif self.choices.weight_calibration:
            why = "no population, or too few calibration rows"
            if self._exactly_quantised:
                why = "the staged network is the quantised one already"
            elif not real:
                why = "there are no calibration rows for it"
            yield f"weight calibration was left out: {why}"

    def _kept(
        self, network: Network, learnt: Learnt, options: Options, preprocessing: Preprocessing
    ) -> ResumeFile | NothingKept:
        """Return what keeps the layers of a weight calibration of this conversion alone."""
        if self.resume is None or not options.weight_calibration:
            return NothingKept()
        parts = {
            "version of snnconvert": _version("snnconvert"),
            "model": (self.imported.model_bytes, preprocessing),
            "calibration rows": learnt.observed.data_hash,
            "thresholds": network,
            "options": options,
        }
        identity = {name: fingerprint(part) for name, part in parts.items()}
        return ResumeFile(self.resume, identity, work="conversion")

    @property
    def _budget(self) -> RampBudget:
        return self.choices.ramp_budget(self.timesteps)

    @property
    def _exactly_quantised(self) -> bool:
        """Whether the staged network is the quantised ANN, integer for integer."""
        if self.quantised is None:
            return False
        staged = parse_schedule(self.choices.schedule, self.timesteps) >= self.timesteps
        return staged and self.timesteps * self.choices.levels_per_step in self.quantised.levels

    def _automatic(self, *, real: bool) -> bool:
        return self.choices.method == "auto" and (self.quantised is None or real)

    def _late_readout(self, *, real: bool) -> bool:
        return self._automatic(real=real) and self.choices.readout == "membrane"

    def _problems(self, network: Network, schedule: str | int, timesteps: int) -> list[Problem]:
        return self.choices.backend.check(apply_schedule(network, schedule, timesteps)[0])

    def _notes(
        self, learnt: Learnt, timing: Timing, network: Network, source: SampleSource
    ) -> tuple[str, ...]:
        idle = tuple(self._idle_options(learnt))
        described = f"schedule {timing.schedule}: {describe_timing(network, timing.timesteps)}"
        notes = (*learnt.graph.notes, *source.notes, *idle, described)
        if self.quantised is None:
            return notes
        dropped = len(learnt.graph.approximations)
        levels = self.choices.levels_per_step
        return (*notes, *self.quantised.notes(timing.timesteps, levels, dropped))

    def _not_made(self, corrected: Mapping[str, Any], *, real: bool) -> Iterator[str]:
        """Yield which corrections were asked for by name and cannot be made."""
        asked = self.choices.corrections
        named = () if asked in ("auto", "none") else parse_corrections(asked)
        if named and self.choices.reset == "zero":
            yield f"corrections not made, they are for reset by subtraction: {', '.join(named)}"
        elif not real:
            made = without_data(named, self.quantised is not None)
            if left := [name for name in named if name not in made]:
                yield f"corrections not made, they need calibration rows: {', '.join(left)}"
        elif named and "tried" not in corrected.get("corrections", {}):
            yield (
                "corrections not made, they need a population and two calibration rows: "
                f"{', '.join(named)}"
            )

    def _idle_options(self, learnt: Learnt) -> Iterator[str]:
        """Yield which options act on nothing in this network."""
        choices = self.choices
        ramps = {"--ramps": choices.ramps, "--curve-error": choices.curve_error}
        given = [name for name, value in ramps.items() if value is not None]
        if given and not learnt.curves:
            yield f"no smooth activation is fitted with ramps: {given[0]} changes nothing"
        methods = {
            f"--method {choices.method}": choices.method != "auto",
            "--per-layer": not choices.per_channel,
            "--channel-group": choices.channel_group is not None,
        }
        if self.quantised is not None and (idle := [name for name, on in methods.items() if on]):
            yield f"quantisers dictate every threshold: without effect are {', '.join(idle)}"

    def _provenance(self, learnt: Learnt) -> dict[str, Any]:
        return {
            "model": self.imported.path or "(bytes)",
            "model_sha256": hashlib.sha256(self.imported.model_bytes).hexdigest(),
            "opset": self.imported.opset,
            "onnx_nodes": self.imported.node_count,
            "import_error": learnt.import_error,
            "conversion_seconds": time.perf_counter() - self.started,
            "versions": {"python": platform.python_version()}
            | {name: _version(name) for name in ("snnconvert", "numpy", "onnx", "onnxruntime")},
        }

    def _with_anytime(self, snn: SpikingModel, source: SampleSource) -> SpikingModel:
        if self.choices.anytime is None:
            return snn
        rule = calibrate_anytime(
            snn,
            sample_rows(source, ANYTIME_ROWS),
            tolerance=self.choices.anytime,
            output=self.choices.score_output,
            progress=self.stage("anytime"),
        )
        return replace(snn, anytime=rule)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise UnsupportedModelError(problems)


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


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
