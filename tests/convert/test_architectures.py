"""A dozen small networks in the manner of well-known ones, exported by torch.

``benchmarks/architectures.py`` does the same with the originals (docs/architectures.md).
"""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
from conversions import convert_staged, export, import_error, rows_like, run_staged
from small_networks import NETWORKS, build_network

from snnconvert.convert.checking.check import check_model
from snnconvert.convert.network import Network, Population
from snnconvert.convert.onnx_import import import_onnx

DYNAMO = ("residual", "unet", "signal")
"""Few: each takes torch's newer exporter seconds."""


def hold(content: Any) -> None:
    """Compare import, verdict and staged network of a model that converts."""
    result = check_model(content)
    assert not result, [problem.message for problem in result]
    imported = import_onnx(content)
    assert [v.position for v in imported.verdicts] == list(range(1, len(imported.verdicts) + 1))
    assert {v.fate for v in imported.verdicts} <= {"converted", "folded"}
    rows = rows_like(imported, 4)
    assert import_error(imported, rows) < 1e-5
    snn = convert_staged(content, rows)
    staged = run_staged(snn, {name: array[:2] for name, array in rows.items()})
    assert staged.counts > 100
    assert staged.differing == 0, "the simulation differs from the quantised network"
    assert staged.differing_from_graph == 0, "the network differs from the quantised graph"
    assert staged.output_error < 1e-12
    assert staged.snapped < 0.01 * staged.counts


@pytest.mark.parametrize("name", NETWORKS)
def test_torchscript_exporter(name: str) -> None:
    build, shape = NETWORKS[name]
    hold(export(build_network(build, shape), shape, "torchscript"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="torch's newer exporter needs it")
@pytest.mark.parametrize("name", DYNAMO)
def test_dynamo_exporter(name: str) -> None:
    build, shape = NETWORKS[name]
    hold(export(build_network(build, shape), shape, "dynamo"))


def test_the_comparison_sees_that_layers_are_not_staged() -> None:
    build, shape = NETWORKS["residual"]
    content = export(build_network(build, shape), shape, "torchscript")
    rows = rows_like(import_onnx(content), 4)
    snn = convert_staged(content, rows)
    early = replace(snn, network=_unstaged(snn.network))
    assert run_staged(early, rows).differing > 0


def _unstaged(network: Network) -> Network:
    """Let every population fire from the first step on, before its input has arrived."""
    nodes = (
        replace(n, start=0, stop=None, bias_start=0, bias_stop=None)
        if isinstance(n, Population)
        else n
        for n in network.nodes
    )
    return replace(network, nodes=tuple(nodes))
