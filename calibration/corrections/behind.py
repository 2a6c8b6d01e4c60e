"""What the ANN makes of a layer's values: its own layers behind, as functions of torch.

A layer of the spiking network is judged by the outputs that would follow if everything behind it
were exact. Those outputs can be differentiated by the layer's values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from snnconvert.backends.cpu.dense import BUILDERS, Builder, steps_of
from snnconvert.backends.cpu.gather import Step
from snnconvert.convert.graph import Graph, Relu
from snnconvert.convert.linear import LinearOperator, Matrix
from snnconvert.convert.network import Input, Network, Population, Readout

FLOAT = np.dtype(np.float32)


class Behind:
    """The ANN that a network was built from, from any node on.

    Parameters
    ----------
    network : Network
        As built, in ANN units, nothing corrected: with a ReLU in the place of each neuron it is the
        ANN.
    graph : Graph
        The lowered graph; it has the ceilings of the ReLUs.
    """

    def __init__(self, network: Network, graph: Graph) -> None:
        self._network, self._graph = network, graph
        self._position = {node.name: i for i, node in enumerate(network.nodes)}
        self._steps = {
            (c.source, c.target, i): list(steps_of(c.operators, FLOAT, _DIFFERENTIABLE))
            for target in network.nodes
            for i, c in enumerate(network.incoming(target.name))
        }

    def needed(self, name: str) -> list[str]:
        """Return the nodes up to one whose values nodes behind it read."""
        here = self._position[name]
        read = {
            c.source
            for c in self._network.connections
            if self._position[c.source] <= here < self._position[c.target]
        }
        return sorted(read, key=self._position.__getitem__)

    def outputs(self, name: str, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs (n, *shape) of each readout behind a node.

        Parameters
        ----------
        name : str
            The node.
        values : dict of (n, *shape) float32 tensors
            Of the nodes that :meth:`needed` names, a step's mean, in ANN units.
        """
        found, outputs = dict(values), {}
        for node in self._network.nodes[self._position[name] + 1 :]:
            if isinstance(node, Input):
                continue  # where it is read, its values are given
            value = self._summed(node.name, found)
            if not isinstance(node, Population | Readout):
                found[node.name] = value
                continue
            value = value + _constant(node.bias)
            if isinstance(node, Readout):
                outputs[node.name] = value * _constant(node.scale)
            else:
                ceiling = self._ceiling(node)
                value = torch.relu(value)
                found[node.name] = value if ceiling is None else value.clamp(max=ceiling)
        return outputs

    def _summed(self, name: str, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
        parts = []
        for i, connection in enumerate(self._network.incoming(name)):
            value = found[connection.source]
            for step in self._steps[connection.source, name, i]:
                value = step(value)
            parts.append(value)
        return sum(parts[1:], parts[0])

    def _ceiling(self, population: Population) -> float | None:
        op = None if population.tensor is None else self._graph[population.tensor].op
        return op.ceiling if isinstance(op, Relu) else None


def _constant(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


class _SparseMap(torch.autograd.Function):
    """A linear map as a matrix, for operators that torch has no form of."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: Any, shape: tuple[int, ...]) -> torch.Tensor:
        ctx.matrix, ctx.shape = matrix, x.shape
        mapped = matrix @ x.detach().numpy().reshape(len(x), -1).T
        return torch.from_numpy(np.ascontiguousarray(mapped.T)).reshape(-1, *shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        mapped = ctx.matrix.T @ gradient.numpy().reshape(len(gradient), -1).T
        return torch.from_numpy(np.ascontiguousarray(mapped.T)).reshape(ctx.shape), None, None


def _sparse(operator: LinearOperator) -> Step:
    matrix, shape = operator.to_sparse().astype(FLOAT), operator.output_shape
    apply: Any = _SparseMap.apply  # torch has no types for it
    return lambda x: apply(x, matrix, shape)


def _or_sparse(build: Builder) -> Builder:
    return lambda operator, dtype: build(operator, dtype) or _sparse(operator)


_DIFFERENTIABLE: dict[type[LinearOperator], Builder] = {
    **{kind: _or_sparse(build) for kind, build in BUILDERS.items()},
    Matrix: lambda operator, _: _sparse(operator),
}
