"""Labels, metrics and the ANN's values of every output, ready to judge a spiking network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.names import UNNAMED
from snnconvert.convert.errors import DataError, UsageError, did_you_mean
from snnconvert.convert.graph import Graph, OutputFunction, apply_output_function
from snnconvert.convert.linear import FloatArray, Shape
from snnconvert.convert.lower import exact_graph
from snnconvert.convert.quantiser import Quantise
from snnconvert.convert.rows import Samples, in_batches, some_rows
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.metric import Function, Metric
from snnconvert.reports.metrics import find_metric
from snnconvert.reports.readings import OutputLayout
from snnconvert.reports.scores import Judge
from snnconvert.reports.targets import read_targets

Labels: TypeAlias = Mapping[str, npt.NDArray[Any]]
Named: TypeAlias = str | Function | Metric
MetricChoice: TypeAlias = Named | Mapping[str, Named] | None

DECIDED_IN_FRONT = ("ArgMax", "Sigmoid")
"""Functions behind which decisions can no longer be told apart, or tie."""

BATCH = 64


def judges_of(
    snn: SpikingModel,
    samples: Samples,
    labels: Labels,
    *,
    metric: MetricChoice = None,
    score_output: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Judge, ...]:
    """Return how every output is judged, the headline first.

    Parameters
    ----------
    snn : SpikingModel
    samples : dict of (N, *shape) arrays
        Preprocessed.
    labels : dict of arrays
        By output name; ``UNNAMED`` are the headline's.
    metric : str, callable, Metric or dict by output name, optional
        A single one is the headline's.
    score_output : str, optional
        The headline; default: the first output with labels, else the first.
    progress : callable, optional
        Called with the samples that the ANN has seen, and in all.

    Raises
    ------
    DataError
        If labels do not fit, or a metric was asked for where there are none.
    UsageError
        If an output or a metric is unknown.
    """
    headline, metrics, by_output = _chosen(snn.graph.output_names, labels, metric, score_output)
    finished = snn.ann.run(samples, progress=progress)
    scores = _scores(snn, samples)
    found = {}
    shapes = {name: values.shape[1:] for name, values in finished.items()}
    for layout, readout in zip(_layouts(snn.graph, shapes), snn.network.readouts, strict=True):
        name = layout.name
        ann = finished[name]
        layout = replace(layout, readout=readout.name)
        given = by_output.get(name)
        found[name] = Judge(layout, scores.get(name, ann), ann, given, metrics.get(name))
    return (found[headline], *(judge for name, judge in found.items() if name != headline))


def check_metrics(names: Sequence[str], metric: MetricChoice, score_output: str | None) -> None:
    """Refuse metrics and outputs that do not exist, before any work.

    Raises
    ------
    UsageError
    """
    _metrics(names, _headline(names, {}, score_output), metric)


def check_labels(
    graph: Graph, labels: Labels, metric: MetricChoice, score_output: str | None
) -> None:
    """Refuse labels that do not fit the outputs or the metrics, before any work.

    Parameters
    ----------
    graph : Graph
        As imported.
    labels, metric, score_output
        As for :func:`judges_of`.

    Raises
    ------
    DataError, UsageError
    """
    _, metrics, by_output = _chosen(graph.output_names, labels, metric, score_output)
    ends = zip(graph.output_names, graph.outputs, strict=True)
    shapes = {name: graph[output].shape for name, output in ends}
    for layout in _layouts(exact_graph(graph), shapes):
        if (given := by_output.get(layout.name)) is not None:
            read_targets(given, layout, metrics.get(layout.name), len(given))


def _chosen(
    names: Sequence[str], labels: Labels, metric: MetricChoice, score_output: str | None
) -> tuple[str, dict[str, Metric | None], dict[str, Any]]:
    """Return the headline, the metrics and the labels by output name."""
    headline = _headline(names, labels, score_output)
    metrics, by_output = _metrics(names, headline, metric), _by_output(names, headline, labels)
    for name, chosen in metrics.items():
        if name not in by_output and chosen is not None:
            raise DataError(
                f"a metric needs labels, output {name!r} has none",
                hint="give labels (y, or the output's name), or leave the metric out",
            )
    return headline, metrics, by_output


def _headline(names: Sequence[str], labels: Labels, chosen: str | None) -> str:
    if chosen is not None:
        if chosen not in names:
            raise _unknown(chosen, names, "to score")
        return chosen
    labelled = [name for name in names if name in labels]
    return names[0] if UNNAMED in labels or not labelled else labelled[0]


def _metrics(names: Sequence[str], headline: str, metric: MetricChoice) -> dict[str, Metric | None]:
    """Return the metrics by output name."""
    if not isinstance(metric, Mapping):
        return {} if metric is None else {headline: find_metric(metric)}
    chosen = {}
    for name, given in metric.items():
        if name != UNNAMED and name not in names:
            raise _unknown(name, names, "for a metric")
        chosen[headline if name == UNNAMED else name] = find_metric(given)
    return chosen


def _by_output(names: Sequence[str], headline: str, labels: Labels) -> dict[str, Any]:
    found = {name: array for name, array in labels.items() if name != UNNAMED}
    for name in found:
        if name not in names:
            hint = did_you_mean(name, list(names))
            raise DataError(f"labels for {name!r}, which is no output of the network", hint=hint)
    if UNNAMED in labels:
        if headline in found:
            raise DataError(f"output {headline!r} has labels by its name, and others without one")
        found[headline] = labels[UNNAMED]
    return found


def _unknown(name: str, names: Sequence[str], what: str) -> UsageError:
    return UsageError(
        f"no output {name!r} {what}",
        hint=f"{did_you_mean(name, list(names))}; outputs: {', '.join(names)}",
    )


def _layouts(graph: Graph, given: Mapping[str, Shape]) -> Iterator[OutputLayout]:
    """Yield the layout of every output, in order, with the shape that the file gives it."""
    ends = zip(graph.output_names, graph.outputs, graph.output_functions, strict=True)
    for name, output, functions in ends:
        shape = graph[output].shape
        quantisers = list(takewhile(lambda f: isinstance(f, Quantise), functions))
        named = [f for f in functions if isinstance(f, OutputFunction)]
        axes = [f.axis % len(shape) for f in named if f.kind != "Sigmoid"]
        yield OutputLayout(
            name=name,
            shape=shape,
            given=given[name],
            finish=_applied(functions[len(quantisers) :]),
            rounded=_applied(quantisers),
            class_axis=axes[-1] if axes else None,
            probability=any(f.kind == "Sigmoid" for f in named),
        )


def _applied(
    functions: Sequence[OutputFunction | Quantise],
) -> Callable[[FloatArray], FloatArray] | None:
    def applied(values: FloatArray) -> FloatArray:
        for function in functions:
            values = apply_output_function(function, values)
        return values

    return applied if functions else None


def _hides_decisions(function: OutputFunction | Quantise) -> bool:
    return isinstance(function, OutputFunction) and function.kind in DECIDED_IN_FRONT


def _scores(snn: SpikingModel, samples: Samples) -> dict[str, FloatArray]:
    """Return the ANN's values in front of functions behind which decisions cannot be read."""
    functions = dict(zip(snn.graph.output_names, snn.graph.output_functions, strict=True))
    return logits_of(
        snn, samples, [n for n, fs in functions.items() if any(_hides_decisions(f) for f in fs)]
    )


def logits_of(snn: SpikingModel, samples: Samples, wanted: Sequence[str]) -> dict[str, FloatArray]:
    """Return the ANN's values of some outputs in front of their functions, (n, *shape) each."""
    from snnconvert.convert.stored_graph import original_graph

    if not wanted:
        return {}
    graph = original_graph(snn.model_bytes, snn.input_shapes)
    nodes = dict(zip(graph.output_names, graph.outputs, strict=True))
    parts = [
        graph.evaluate(some_rows(samples, here), [nodes[name] for name in wanted])
        for here in in_batches(samples, BATCH)
    ]
    return {name: np.concatenate([part[nodes[name]] for part in parts]) for name in wanted}
