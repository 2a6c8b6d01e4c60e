"""The graphs of a model: as imported, up to its logits, and lowered, now or from stored bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from snnconvert.calibration.curves import with_ramps
from snnconvert.calibration.recognition import QuantisedNetwork, recognise
from snnconvert.convert.curves.fit_ramps import RampBudget
from snnconvert.convert.curves.ramps import Ramps
from snnconvert.convert.graph import Curve, Graph
from snnconvert.convert.linear import Shape
from snnconvert.convert.lower import exact_graph, lower
from snnconvert.convert.onnx_import import Imported, import_onnx
from snnconvert.convert.passes.count_readout import count_readout
from snnconvert.convert.quantiser import Quantise


def named_graph(imported: Imported) -> Graph:
    """Return the graph under the file's name: exporters call every graph the same."""
    assert imported.graph is not None
    name = imported.graph.name if imported.path is None else Path(imported.path).stem
    return replace(imported.graph, name=name)


def lowered_for(graph: Graph, readout: str, budget: RampBudget | None = None) -> Graph:
    """Return the lowered graph, with the output population that counted spikes need."""
    lowered = lower(graph, budget)
    return count_readout(lowered) if readout == "count" else lowered


def original_graph(model: bytes, input_shapes: Mapping[str, Shape]) -> Graph:
    """Return the graph up to its logits, nothing approximated, of a model imported before."""
    graph = import_onnx(model, input_shapes=input_shapes).graph
    assert graph is not None
    return exact_graph(graph)


def lowered_graph(
    model: bytes,
    input_shapes: Mapping[str, Shape],
    readout: str,
    curves: Mapping[str, Ramps] | None = None,
) -> Graph:
    """Return the lowered graph of a model that was imported before, its curves as fitted then."""
    return lowered_for(with_ramps(original_graph(model, input_shapes), curves or {}), readout)


def recognised(exact: Graph, readout: str) -> QuantisedNetwork | None:
    """Return what quantisers dictate where they dictate every threshold."""
    kinds = {type(node.op) for node in exact.nodes}
    if readout == "count" or Quantise not in kinds or Curve in kinds:
        return None  # an output population has a threshold of its own, so have fitted ramps
    return recognise(lower(exact))
