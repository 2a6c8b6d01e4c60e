"""Which layers lose most: the result of a diagnosis, and its texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from snnconvert.reports.scores import MetricText
from snnconvert.reports.text import change, count, measure, percent, plain

Mode: TypeAlias = Literal["single", "cumulative"]
MODES: tuple[Mode, ...] = ("single", "cumulative")

SILENT_SHARE = 0.5
"""A layer is silent where neurons without spikes hold so much of the energy it should send."""

CAUSES = {
    "clipping": "clipping: values above the threshold",
    "rounding": "rounding to the levels of T steps",
    "timing": "timing: uneven or late spikes",
    "weight_bits": "weights of a few bits",
    "silent": "silent: most of what it should send is below the threshold",
    "none": "exact",
}


@dataclass(frozen=True)
class LayerDiagnosis:
    """What one layer loses.

    Attributes
    ----------
    name : str
    neurons : int
    value : float or None
        The metric of the mixed run: single, with this layer replaced by the ANN's; cumulative, with
        this layer and all before it spiking and those behind it the ANN's.
    output_error : float
        Relative error of that run's output to the ANN's.
    lost : float or None
        Metric that this layer loses: what its replacement regains, or by how much the run is worse
        than the one in which it is still the ANN's.
    error_lost : float
        The same of the output error.
    relative_error : float or None
        To the ANN's activation, all layers spiking: errors of earlier layers included.
    sqnr_db : float or None
        The same as a ratio of signal to noise, in decibels.
    correlation : float or None
    own_error : float
        Relative error to what the ANN's layer makes of the same mean input.
    causes : dict of float
        Its parts by cause, relative to the same; they follow one another and may cancel.
    silent, saturated : float
        Shares of neuron-sample pairs without a spike, and that fire in 15/16 of the steps or more.
    cause : str
        A key of ``CAUSES``.
    options : tuple of str
        What to change.
    """

    name: str
    neurons: int
    value: float | None
    output_error: float
    lost: float | None
    error_lost: float
    relative_error: float | None
    sqnr_db: float | None
    correlation: float | None
    own_error: float
    causes: dict[str, float]
    silent: float
    saturated: float
    cause: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """Which layers of a spiking network lose most.

    The runs are replays on the CPU in float32, with integer weights where those were asked for,
    and without what the target adds: its delays and number formats.

    Attributes
    ----------
    mode : {"single", "cumulative"}
    rows, timesteps : int
    metric : MetricText
    ann : float or None
        The metric of the ANN on these rows.
    spiking : float or None
        With all layers spiking.
    spiking_error : float
        Relative error of the output then.
    replaced, replaced_error : float or None, float
        The same with all layers replaced: what is left are integer weights of the outputs.
    layers : tuple of LayerDiagnosis
        In the network's order.
    """

    mode: Mode
    rows: int
    timesteps: int
    metric: MetricText
    ann: float | None
    spiking: float | None
    spiking_error: float
    replaced: float | None
    replaced_error: float
    layers: tuple[LayerDiagnosis, ...]

    @property
    def worst(self) -> tuple[LayerDiagnosis, ...]:
        """The layers, the one that loses most of the output first.

        Ranked by the output error, which is far less noisy than a metric on a few rows.
        """
        return tuple(sorted(self.layers, key=lambda layer: -layer.error_lost))

    def to_json(self) -> dict[str, Any]:
        """Return the fields for report.json."""
        fields = asdict(self)
        return fields | {
            "metric": self.metric.to_json(),
            "worst": [layer.name for layer in self.worst],
        }

    @property
    def summary(self) -> str:
        """What was run, in a sentence."""
        rows = count(self.rows, "row")
        steps = count(self.timesteps, "timestep")
        return (
            f"{self.mode}, {rows}, {steps}: {self.metric.title} "
            f"{measure(self.spiking, self.metric)} with all layers spiking, ANN "
            f"{measure(self.ann, self.metric)}; error of the output {percent(self.spiking_error)}"
        )

    def table(self, most: int = 10) -> list[tuple[str, ...]]:
        """Return rows of text: a header, then the layers that lose most."""
        header = (
            *("layer", _lost_title(self), f"error {_verb(self)}", "relative error", "SQNR"),
            *("correlation", "saturated", "cause", "change"),
        )
        return [header, *(self._row(layer) for layer in self.worst[:most])]

    def _row(self, layer: LayerDiagnosis) -> tuple[str, ...]:
        return (
            layer.name,
            change(layer.lost, self.metric).removeprefix("+"),
            percent(layer.error_lost).replace("-", "−"),
            "–" if layer.relative_error is None else plain(layer.relative_error),
            "–" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB".replace("-", "−"),
            "–" if layer.correlation is None else f"{layer.correlation:.3f}",
            percent(layer.saturated),
            layer.cause.replace("_", " "),
            ", or ".join(layer.options) or "–",
        )


def _lost_title(diagnosis: Diagnosis) -> str:
    unit = "points" if diagnosis.metric.share else diagnosis.metric.name
    return f"{unit} {_verb(diagnosis)}"


def _verb(diagnosis: Diagnosis) -> str:
    return "regained" if diagnosis.mode == "single" else "lost"
