"""SpikingModel: the spiking network with everything needed to run, compare and explain it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.ann import AnnSession
from snnconvert.convert.anytime import AnytimeRule
from snnconvert.convert.approximation import Approximation
from snnconvert.convert.artifact import read_artifact, write_artifact
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.declared_types import check_fields
from snnconvert.convert.errors import ArtifactError
from snnconvert.convert.graph import Graph
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.network import Network
from snnconvert.convert.normalize import normalize
from snnconvert.convert.threads import on_threads

if TYPE_CHECKING:
    from snnconvert.calibration.preprocessing import Preprocessing
    from snnconvert.convert.judges import MetricChoice
    from snnconvert.reports.diagnosis import Diagnosis, Mode
    from snnconvert.reports.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class SpikingModel:
    """What :func:`snnconvert.convert_model` returns and .snn files hold.

    Attributes
    ----------
    network : Network
        In ANN units.
    model_bytes : bytes
        The original ONNX model, cut where that was asked for.
    preprocessing : Preprocessing
        Applied to every sample before the network.
    input_shapes : dict of tuple of int
        Shape of each input without batch, by name.
    target : str
        The target that it was calibrated for.
    timesteps : int
        The design T.
    readout : {"membrane", "count"}
    schedule : str
        "none", "full", or the hold-off in steps.
    calibration : dict
        Configuration and statistics, ready for JSON.
    provenance : dict
        Hashes and versions, ready for JSON.
    warnings : tuple of str
        What the user should know; repeated in the report.
    notes : tuple of str
        What was detected and done on the way.
    approximations : tuple of Approximation
        Everything in which the lowered network is not what the file says.
    curves : dict of Ramps
        What was fitted to each curve, by name of its node.
    anytime : AnytimeRule or None
        By which samples may stop before T; None: none was calibrated.
    """

    network: Network
    model_bytes: bytes
    preprocessing: Preprocessing
    input_shapes: dict[str, Shape]
    target: str
    timesteps: int
    readout: str
    schedule: str
    calibration: dict[str, Any]
    provenance: dict[str, Any]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    approximations: tuple[Approximation, ...] = ()
    curves: dict[str, Ramps] = field(default_factory=dict)
    anytime: AnytimeRule | None = None

    def __repr__(self) -> str:
        network = self.network
        return (
            f"<SpikingModel {network.name!r}: {len(network.populations)} populations, "
            f"{network.neurons:,} neurons, for target {self.target!r} at T = {self.timesteps}>"
        )

    @cached_property
    def graph(self) -> Graph:
        """The lowered graph of the original network."""
        from snnconvert.convert.stored_graph import lowered_graph

        return lowered_graph(self.model_bytes, self.input_shapes, self.readout, self.curves)

    @cached_property
    def ann(self) -> AnnSession:
        """The original network in onnxruntime."""
        return AnnSession(self.model_bytes)

    def normalize(self) -> SpikingModel:
        """Return the model with unit thresholds and amplitudes (data-based normalisation)."""
        return replace(self, network=normalize(self.network))

    def activations(
        self, samples: Mapping[str, npt.NDArray[Any]], *, batch_size: int = 8
    ) -> Iterator[tuple[str, FloatArray]]:
        """Yield (population, ANN activation (N, *shape)) for preprocessed samples."""
        named = {p.name: p.tensor for p in self.network.populations if p.tensor is not None}
        count, graph = len(next(iter(samples.values()))), self.graph

        def part(start: int) -> dict[str, FloatArray]:
            rows = {k: v[start : start + batch_size] for k, v in samples.items()}
            return graph.evaluate(rows, list(dict.fromkeys(named.values())))

        parts = on_threads(part, range(0, count, batch_size))
        for name, tensor in named.items():
            yield name, np.concatenate([part[tensor] for part in parts])

    def evaluate(
        self,
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
        progress: Callable[[str, int, int | None], None] | None = None,
        **options: Any,
    ) -> Evaluation:
        """Run the network on its target and compare it with its ANN.

        Parameters
        ----------
        x : array, dict, path, iterable of batches or data reader
            Raw samples; the preprocessing is applied here.
        y : array or dict of arrays by output name, optional
            Labels: class numbers (N,), one-hot rows, label maps, or values of the output's shape;
            without them nearness to the ANN is reported.
        metric : str, callable, or dict of these by output name, optional
            "accuracy", "topK", "miou", "mae", "mse", "r2", ..., or a function of outputs and
            targets; default: chosen by the labels.
        score_output : str, optional
            The output that the report is about; default: the first with labels, else the first.
        timesteps : int, optional
            Window length; default: the design T.
        target : str, optional
            Default: the target that it was calibrated for.
        num_samples : int, optional
            Only the first rows.
        batch_size : int, optional
            Samples simulated at once.
        anytime : bool or AnytimeRule, optional
            Stop samples by a rule; True: the network's own, which then must fit; False: not at
            all; default: the network's own where it has one that fits.
        diagnose : {"single", "cumulative"}, optional
            Name the layers that lose most, see `diagnose`.
        resume : path, optional
            Where partial results are kept, batch by batch: the same call goes on from them after
            an interruption. Removed when the evaluation is done.
        progress : callable, optional
            Called with (stage, done, total).
        **options
            Passed on to the backend's ``emit``.

        Returns
        -------
        Evaluation
        """
        from snnconvert.convert.evaluate import evaluate_model

        return evaluate_model(
            self,
            x,
            y,
            metric=metric,
            score_output=score_output,
            timesteps=timesteps,
            target=target,
            num_samples=num_samples,
            batch_size=batch_size,
            anytime=anytime,
            diagnose=diagnose,
            resume=resume,
            progress=progress,
            **options,
        )

    def diagnose(
        self,
        x: Any,
        y: Any = None,
        *,
        rows: int = 64,
        mode: Mode = "single",
        metric: MetricChoice = None,
        score_output: str | None = None,
        timesteps: int | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Diagnosis:
        """Name the layers that lose most on the first rows.

        Parameters
        ----------
        x, y, metric, score_output
            As for `evaluate`.
        rows : int
            How many of the first samples.
        mode : {"single", "cumulative"}
            Replace one layer at a time by the ANN's and let all others spike; or let the first k
            layers spike and the rest be the ANN's. See docs/diagnosis.md.
        timesteps : int, optional
            Default: the design T.
        progress : callable, optional
            Called with the runs done and in all.
        """
        from snnconvert.convert.diagnose import diagnose_model

        return diagnose_model(
            self,
            x,
            y,
            rows=rows,
            mode=mode,
            metric=metric,
            score_output=score_output,
            timesteps=timesteps,
            progress=progress,
        )

    def with_anytime(
        self,
        calibration_data: Any,
        *,
        tolerance: float = 0.01,
        output: str | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> SpikingModel:
        """Return the model with a rule by which samples stop when their answer is safe.

        Parameters
        ----------
        calibration_data : array, dict, path, iterable of batches or data reader
            Raw samples; at most 512 are used, labels are not needed.
        tolerance : float
            Share of the rows that may stop with another answer than at T.
        output : str, optional
            Whose margin is watched; default: the first.
        progress : callable, optional
            Called with the rows done and in all.

        Raises
        ------
        UsageError
            If the output is no decision between classes.
        """
        from snnconvert.calibration.anytime import ROWS, calibrate_anytime
        from snnconvert.calibration.data import open_samples, sample_rows

        source = open_samples(
            calibration_data, self.input_shapes, preprocessing=self.preprocessing, batch_size=32
        )
        rule = calibrate_anytime(
            self,
            sample_rows(source, ROWS),
            tolerance=tolerance,
            output=output,
            progress=progress,
        )
        return replace(self, anytime=rule)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one .snn file, without pickle.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "model_bytes"}
        content["preprocessing"] = self.preprocessing.to_json()
        write_artifact(path, content, self.model_bytes)


def load(path: str | os.PathLike[str]) -> SpikingModel:
    """Read a .snn file.

    Parameters
    ----------
    path : path

    Returns
    -------
    SpikingModel
        Simulates identically to the one that was saved.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or of a newer format.
    """
    from snnconvert.calibration.preprocessing import Preprocessing

    content, model = read_artifact(path)
    try:
        content["preprocessing"] = Preprocessing.from_json(content["preprocessing"])
        check_fields(SpikingModel, content, {"Preprocessing": Preprocessing})
        return SpikingModel(model_bytes=model, **content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} lacks a part of a spiking model", why=str(error)) from error
