"""Fit every curve of a network on the density of its input over the calibration rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from snnconvert.calibration.activations import record
from snnconvert.calibration.data import SampleSource
from snnconvert.calibration.histogram import ChannelHistogram
from snnconvert.convert.curves.fit_ramps import Density, RampBudget, fit_ramps
from snnconvert.convert.curves.functions import Expression
from snnconvert.convert.curves.piecewise import straight_pieces
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.errors import CalibrationError
from snnconvert.convert.graph import Curve, Graph, Node
from snnconvert.convert.linear import FloatArray


class InputDensity:
    """Counts the inputs of one curve; bit for bit the same in any order of rows."""

    def __init__(self) -> None:
        self.histogram = ChannelHistogram(2)
        """Positive values, and the magnitudes of negative ones."""

    def update(self, values: FloatArray) -> None:
        """Take in rows of inputs."""
        flat = np.asarray(values, np.float32).reshape(-1)
        self.histogram.update(np.stack([flat, -flat]))

    def density(self) -> Density:
        """Return the density; the outermost points are the extremes themselves."""
        points: list[FloatArray] = [np.zeros(1)]
        counts: list[FloatArray] = [np.zeros(1)]
        seen = 0
        for channel, sign in ((0, 1.0), (1, -1.0)):
            part = self.histogram.channel(channel)
            filled = np.flatnonzero(part.counts)
            centres = part.centres[filled].copy()
            if len(centres):
                centres[-1] = part.maximum
            points.append(sign * centres)
            counts.append(part.counts[filled].astype(np.float64))
            seen += part.positive
        counts[0][0] = self.histogram.total - seen
        x, n = np.concatenate(points), np.concatenate(counts)
        order = np.argsort(x[n > 0])
        return Density(x[n > 0][order], n[n > 0][order] / self.histogram.total)


def fit_curves(
    graph: Graph,
    model_bytes: bytes,
    source: SampleSource,
    budget: RampBudget,
    *,
    threads: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Ramps]:
    """Fit bounded ramps to every curve that has no straight pieces.

    Parameters
    ----------
    graph : Graph
        Exact, as :func:`snnconvert.convert.lower.exact_graph` returns it.
    model_bytes : bytes
        The self-contained ONNX model that the graph was made from.
    source : SampleSource
    budget : RampBudget
    threads, progress
        As for :func:`snnconvert.calibration.activations.observe`.

    Returns
    -------
    dict of Ramps
        By name of Curve node; the same for any order of the rows.

    Raises
    ------
    CalibrationError
        If a function is not finite on its inputs.
    """
    curved = {n.name: n for n in graph.nodes if isinstance(n.op, Curve) and not n.op.ramps}
    curved = {name: n for name, n in curved.items() if straight_pieces(_function(n)) is None}
    if not curved:
        return {}
    observed = {name: InputDensity() for name in curved}
    record(graph, model_bytes, source, observed, threads=threads, progress=progress)
    fitted: dict[str, Ramps] = {}
    for name, node in curved.items():
        density = observed[name].density()
        _check_domain(node, density)
        fitted[name] = fit_ramps(_function(node), density, budget)
    return fitted


def with_ramps(graph: Graph, fitted: Mapping[str, Ramps]) -> Graph:
    """Return the graph with its curves fitted."""
    return graph.with_nodes(
        replace(n, op=replace(n.op, ramps=fitted[n.name]))
        if isinstance(n.op, Curve) and n.name in fitted
        else n
        for n in graph.nodes
    )


def _function(node: Node) -> Expression:
    assert isinstance(node.op, Curve)
    return node.op.function


def _check_domain(node: Node, density: Density) -> None:
    values = _function(node).evaluate(density.points)
    outside = ~np.isfinite(values)
    if outside.any():
        x = density.points[outside]
        raise CalibrationError(
            f"the curve {node.name!r}, {_function(node)}, is not finite on the calibration rows",
            where=f"node {node.name!r}",
            why=f"{density.weights[outside].sum():.2%} of its inputs lie outside of its domain, "
            f"such as {x[0]:.4g}",
            hint="check the preprocessing (--scale, --mean, --std)",
        )
