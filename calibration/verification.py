"""Compare an imported graph with onnxruntime on a few rows: a misread file must never pass.

A sum that lies within the last bits of a half level may be rounded either way, and one such level
changes everything behind it. So quantised networks are compared layer by layer: every quantiser's
integers are taken from onnxruntime, and what our graph makes of the integers before it must round
to them. Anything but a different last bit then shows at the layer where it arises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.activations import expose_levels
from snnconvert.calibration.data import SampleSource, sample_rows
from snnconvert.convert.ann import AnnSession
from snnconvert.convert.approximation import Approximation
from snnconvert.convert.errors import CalibrationError, SnnConvertError
from snnconvert.convert.graph import Graph, Node, OutputFunction, apply_output_function
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.lower import exact_graph
from snnconvert.convert.passes.drop_dead_nodes import drop_dead_nodes
from snnconvert.convert.passes.lower_curves import as_ramps, lower_curves
from snnconvert.convert.passes.lower_quantise import lower_quantise
from snnconvert.convert.passes.split_output_functions import split_output_functions
from snnconvert.convert.quantiser import DynamicQuantise, Quantise

VERIFIED_ROWS = 4
IMPORT_TOLERANCE = 1e-3


def verify_import(
    exact: Graph,
    lowered: Graph,
    model: bytes,
    source: SampleSource,
    fitted: Graph | None = None,
) -> float:
    """Compare our graph with onnxruntime on a few calibration rows, and its lowered form with it.

    What is approximated is left out of the second comparison, on both sides: fitted curves are
    their ramps, and nothing is rounded. All else must agree.

    Parameters
    ----------
    exact : Graph
        As imported.
    lowered : Graph
    model : bytes
        The self-contained ONNX model that the graph was made from.
    source : SampleSource
    fitted : Graph, optional
        What `lowered` was made from, its curves fitted; default: `exact`.

    Returns
    -------
    float
        Largest difference relative to the largest output; of a quantiser, how far its integers
        are from what our sums round to, relative to its range.

    Raises
    ------
    SnnConvertError
        If it exceeds ``IMPORT_TOLERANCE``: the importer misread the file, or a pass changed what
        it computes, which must never pass in silence.
    """
    origin = exact if fitted is None else fitted
    exact = split_output_functions(drop_dead_nodes(exact))
    rounding = [n for n in exact.nodes if isinstance(n.op, Quantise | DynamicQuantise)]
    rows = sample_rows(source, VERIFIED_ROWS)
    levels = {f"{node.name}/verified": node for node in rounding}
    session = AnnSession(expose_levels(model, {name: n.op for name, n in levels.items()}))
    expected = session.run(rows)
    _check_finite(expected)
    known = {node.name: _level_values(node, expected[name]) for name, node in levels.items()}
    sources = [node.inputs[0] for node in rounding]
    ours = exact.evaluate(rows, [*sources, *exact.outputs], known=known, dtype=np.float64)
    errors = [_output_error(exact, ours, expected)]
    for node in rounding:
        assert isinstance(node.op, Quantise | DynamicQuantise)
        errors.append(node.op.excess(ours[node.inputs[0]], known[node.name]))
    worst = float(np.max(errors))  # unlike Python's max, it keeps a NaN
    if not worst <= IMPORT_TOLERANCE:
        raise SnnConvertError(
            f"the imported graph differs from onnxruntime by {worst:.2g} of the largest output",
            why="an operator is read differently from what onnxruntime computes",
            hint="please report the model; nothing was converted",
        )
    return max(worst, _verify_lowered(exact_graph(origin), lowered, rows))


def _verify_lowered(origin: Graph, lowered: Graph, rows: Mapping[str, npt.NDArray[Any]]) -> float:
    """Return the largest difference of the logits relative to the largest; raise what is wrong."""
    expected = _approximated(origin)
    theirs = expected.evaluate(rows, dtype=np.float64)
    ours = lowered.evaluate(rows, dtype=np.float64)
    pairs = zip(lowered.outputs, expected.outputs, strict=True)
    worst = float(np.max([_distance(ours[name], theirs[other]) for name, other in pairs]))
    if not worst <= IMPORT_TOLERANCE:
        raise SnnConvertError(
            f"the lowered graph differs from the imported one by {worst:.2g} of the largest output",
            why="writing it as linear maps and rectifiers changed what it computes",
            hint="please report the model; nothing was converted",
        )
    return worst


def _approximated(graph: Graph) -> Graph:
    """Return the graph with all that lowering approximates as it is lowered, and no more."""
    graph = as_ramps(graph)
    if any(isinstance(n.op, Quantise | DynamicQuantise) for n in graph.nodes):
        return lower_quantise(lower_curves(graph))  # in this order: which levels fit is the same
    return graph


def measure_rounding(
    exact: Graph, approximations: Sequence[Approximation], source: SampleSource
) -> tuple[Approximation, ...]:
    """Return the approximations, those of quantisers with their error on a few rows."""
    known = {node.name for node in exact.nodes}
    names = [a.node for a in approximations if a.kind == "quantiser" and a.node in known]
    if not names:
        return tuple(approximations)
    rows = sample_rows(source, VERIFIED_ROWS)
    sources = [exact[name].inputs[0] for name in names]
    values = exact.evaluate(rows, [*names, *sources])
    errors = {n: values[n] - values[s] for n, s in zip(names, sources, strict=True)}
    return tuple(
        replace(
            a,
            rms_error=float(np.sqrt(np.mean(errors[a.node] ** 2))),
            max_error=float(np.abs(errors[a.node]).max()),
        )
        if a.node in errors
        else a
        for a in approximations
    )


def _check_finite(expected: dict[str, FloatArray]) -> None:
    """Refuse a network whose own values overflow: there is nothing to compare with."""
    for name, values in expected.items():
        if not np.isfinite(values).all():
            raise CalibrationError(
                f"output {name!r} of the network is not finite on the calibration rows",
                why="in onnxruntime too a sum overflows float32, or a function is undefined",
                hint="check the preprocessing (--scale, --mean, --std)",
            )


def _level_values(node: Node, exposed: FloatArray) -> FloatArray:
    values = exposed.reshape(len(exposed), *node.shape).astype(np.float64)
    return node.op.from_integers(values) if isinstance(node.op, Quantise) else values


def _output_error(
    graph: Graph, ours: dict[str, FloatArray], expected: dict[str, FloatArray]
) -> float:
    outputs = zip(graph.outputs, graph.output_names, graph.output_functions, strict=True)
    errors = [_difference(ours[name], found, expected[label]) for name, label, found in outputs]
    return float(np.max(errors))


def _difference(
    logits: FloatArray, functions: Sequence[OutputFunction | Quantise], expected: FloatArray
) -> float:
    """Return the largest difference relative to the largest output."""
    for function in functions:
        if isinstance(function, OutputFunction) and function.kind == "ArgMax":
            # An index: what is lost is by how much its logit is smaller.
            axis = function.axis + 1 if function.axis >= 0 else function.axis
            index = expected if function.keepdims else np.expand_dims(expected, axis)
            chosen = np.take_along_axis(logits, index.astype(np.int64), axis)
            lost = logits.max(axis=axis, keepdims=True) - chosen
            return float(lost.max() / max(np.abs(logits).max(), 1e-30))
        logits = apply_output_function(function, logits)
    return _distance(logits, expected.reshape(logits.shape))


def _distance(found: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
