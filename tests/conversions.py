"""What an architecture must show: import, verdict, and its staged network, on a few rows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from onnx_models import random_feeds, run_onnxruntime

from snnconvert.backends.base import get_backend
from snnconvert.calibration.quantised import quantised_forward
from snnconvert.convert.graph import Node
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Network
from snnconvert.convert.onnx_import import Imported
from snnconvert.convert.pipeline import convert_model
from snnconvert.convert.spiking_model import SpikingModel

Exporter = Literal["torchscript", "dynamo"]
Array = npt.NDArray[Any]

TIMESTEPS = 4
OPSET = {"torchscript": 17, "dynamo": 18}


def export(network: torch.nn.Module, shape: tuple[int, ...], exporter: Exporter) -> bytes:
    """Return a torch module as ONNX, its batch free."""
    target = io.BytesIO()
    dynamo = exporter == "dynamo"
    sample = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    free: dict[str, Any]
    if dynamo:
        free = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
    else:
        free = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of their own age, and of one another
        torch.onnx.export(
            network,
            (sample,),
            target,  # type: ignore[arg-type]  # its stub knows paths only, the exporters both
            dynamo=dynamo,
            opset_version=OPSET[exporter],
            input_names=["input"],
            output_names=["output"],
            verbose=False,
            **free,
        )
    return target.getvalue()


def import_error(imported: Imported, feeds: Mapping[str, Array]) -> float:
    """Return the Graph's largest difference from onnxruntime over the output's largest value."""
    graph = imported.graph
    assert graph is not None
    expected = run_onnxruntime(imported.model_bytes, feeds)
    values = graph.evaluate(feeds, dtype=np.float64)
    worst = 0.0
    for name, want in zip(graph.outputs, expected, strict=True):
        assert values[name].shape == want.shape
        error = np.abs(values[name] - want.astype(np.float64)).max(initial=0)
        worst = max(worst, float(error / max(np.abs(want).max(initial=0), 1e-30)))
    return worst


@dataclass(frozen=True)
class Staged:
    """A fully staged run against the network quantised to T + 1 levels.

    Attributes
    ----------
    populations, neurons : int
    counts : int
        Spike counts that were compared.
    differing : int
        Those of the simulation that are not the ones of the quantised network.
    differing_from_graph : int
        Those of the network in double precision that are not the ones of the lowered graph.
    output_error : float
        Largest difference of outputs from the lowered graph's, over their largest value.
    snapped : int
        Counts that the exact grids of the engine change against double precision.
    """

    populations: int
    neurons: int
    counts: int
    differing: int
    differing_from_graph: int
    output_error: float
    snapped: int


def convert_staged(model: Any, rows: Mapping[str, Array]) -> SpikingModel:
    """Return a network of T = 4 in which every layer fires after its input has arrived."""
    return convert_model(model, dict(rows), timesteps=TIMESTEPS, schedule="full", method="max")


def run_staged(snn: SpikingModel, rows: Mapping[str, Array]) -> Staged:
    """Compare the simulated counts with the quantised network's, and those with the graph's."""
    emitted = get_backend("cpu").emit(snn)
    result = emitted.run(dict(rows), TIMESTEPS)
    quantised = quantised_forward(emitted.executable, rows, TIMESTEPS)
    wide = quantised_forward(snn.network, rows, TIMESTEPS)
    values = _quantised_graph(snn, rows)
    counts, differing, from_graph, snapped = 0, 0, 0, 0
    for p in snn.network.populations:
        counts += wide[p.name].size
        differing += int((result.spike_counts[p.name] != quantised[p.name]).sum())
        snapped += int((wide[p.name] != quantised[p.name]).sum())
        from_graph += int((wide[p.name] != values[p.name]).sum())
    worst = 0.0
    for readout in snn.network.readouts:
        want = values[str(readout.tensor)]
        error = np.abs(wide[readout.name] - want).max() / max(np.abs(want).max(), 1e-30)
        worst = max(worst, float(error))
        differing += int((result.outputs[readout.name][-1] != quantised[readout.name]).sum())
    populations = snn.network.populations
    return Staged(
        len(populations), snn.network.neurons, counts, differing, from_graph, worst, snapped
    )


def _quantised_graph(snn: SpikingModel, rows: Mapping[str, Array]) -> dict[str, Array]:
    """Return the counts of the lowered graph with quantised activations, and its outputs."""
    network: Network = snn.network
    neurons = {str(p.tensor): p for p in network.populations}
    counts: dict[str, Array] = {}

    def quantise(node: Node, z: FloatArray) -> FloatArray:
        p = neurons[node.name]
        charge = TIMESTEPS * z + p.v_init
        spikes = np.clip(np.floor(charge / p.threshold), 0, TIMESTEPS)
        counts[p.name] = spikes.astype(np.int64)
        return np.asarray(spikes * p.amplitude / TIMESTEPS)

    outputs: dict[str, Array] = snn.graph.evaluate(rows, activation=quantise, dtype=np.float64)
    return {**counts, **outputs}


def rows_like(imported: Imported, count: int, seed: int = 0) -> dict[str, Array]:
    """Return normal input rows."""
    rows: dict[str, Array] = random_feeds(imported, np.random.default_rng(seed), count)
    return rows
