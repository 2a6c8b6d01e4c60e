"""Activations as torch's exporters write them: imported exactly, and one curve or none."""

import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import onnx_models
import pytest
import torch
from torch import nn

from snnconvert.convert.graph import Curve
from snnconvert.convert.lower import exact_graph, lower

F = nn.functional
Function = Callable[[torch.Tensor], torch.Tensor]

CURVES: dict[str, Function] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardswish": F.hardswish,
    "mish": F.mish,
    "softplus": F.softplus,
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 0.7),
    "tanh": torch.tanh,
    "sigmoid": lambda x: torch.sigmoid(x) * 1.0 + 0.0 * x,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "square": lambda x: x**2,
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "swish of swish": lambda x: F.silu(F.silu(x)),
}
STRAIGHT: dict[str, Function] = {
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 2.0),
    "hardsigmoid": F.hardsigmoid,
    "leaky": lambda x: F.leaky_relu(x, 0.2),
    "abs": torch.abs,
    "maximum": lambda x: torch.maximum(x, 0.1 * x),
    "softshrink": lambda x: torch.where(
        x > 0.5, x - 0.5, torch.where(x < -0.5, x + 0.5, torch.zeros_like(x))
    ),
    "threshold": lambda x: torch.where(x >= 0, x, 0.2 * x),
}


class Module(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def exported(function: Function, *, dynamo: bool) -> bytes:
    file = io.BytesIO()
    x = torch.zeros(2, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of one another
        if dynamo:
            program = torch.onnx.export(Module(function), (x,), dynamo=True, verbose=False)
            assert program is not None
            program.save(file)  # type: ignore[arg-type]
        else:
            torch.onnx.export(
                Module(function),
                (x,),
                file,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=17,
                input_names=["x"],
                dynamic_axes={"x": {0: "N"}},
            )
    return file.getvalue()


NEEDS_ONNXSCRIPT = pytest.mark.skipif(
    find_spec("onnxscript") is None, reason="the dynamo exporter needs onnxscript"
)
DYNAMO = ("silu", "gelu by tanh", "softplus", "celu", "mish")  # it takes a second for each


@pytest.mark.parametrize(
    ("name", "dynamo"),
    [(name, False) for name in CURVES]
    + [pytest.param(name, True, marks=NEEDS_ONNXSCRIPT) for name in DYNAMO],
)
def test_a_curve(name: str, dynamo: bool, rng: np.random.Generator) -> None:
    model = exported(CURVES[name], dynamo=dynamo)
    graph = onnx_models.assert_agrees(model, rng, spread=2).graph
    assert graph is not None
    exact = exact_graph(graph)
    assert sum(isinstance(node.op, Curve) for node in exact.nodes) == 1
    assert len(lower(exact).approximations) == 1


@pytest.mark.parametrize("name", STRAIGHT)
def test_straight_pieces(name: str, rng: np.random.Generator) -> None:
    model = exported(STRAIGHT[name], dynamo=False)
    graph = onnx_models.assert_agrees(model, rng, spread=3).graph
    assert graph is not None
    lowered = lower(graph)
    assert not lowered.approximations
    samples = {lowered.inputs[0].name: 3 * rng.standard_normal((5, 3, 4))}
    (before,) = graph.evaluate(samples, dtype=np.float64).values()
    (after,) = lowered.evaluate(samples, dtype=np.float64).values()
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
