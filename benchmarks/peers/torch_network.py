"""A neutral network as a torch module: what the simulators that are built on torch have in common.

Each of them brings its neurons and its way through time; convolutions, dense layers and the like
are torch's own in all of them, with biases folded in as ``nn.Conv2d`` and ``nn.Linear`` have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from neutral import Node, Operator, Task
from torch import Tensor, nn

Layer = Callable[[nn.Module], nn.Module]
"""What makes a layer without state run on the data that flow through the network."""


class SlicePad(nn.Module):
    """A slice of each axis between zeros, as in the shortcuts of the classic ResNets."""

    def __init__(self, axes: list[dict[str, int] | None]) -> None:
        super().__init__()
        self.slices = tuple(
            slice(None) if a is None else slice(a["start"], a["stop"], a["step"]) for a in axes
        )
        pads = [(0, 0) if a is None else (a["before"], a["after"]) for a in axes]
        self.padding = [side for pair in reversed(pads) for side in pair]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[(slice(None), *self.slices)], self.padding)


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.factor = nn.Parameter(factor, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Bias(nn.Module):
    """Add a constant."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Reshape(nn.Module):
    """Reshape each sample."""

    def __init__(self, shape: list[int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape)


class Network(nn.Module):
    """A neutral network whose layers without state are torch's.

    Parameters
    ----------
    task : Task
    layer : callable
        Wraps a module without state for the data that flow here: one step, or many.
    neurons : callable
        Returns a layer of neurons.

    Attributes
    ----------
    neurons : dict of nn.Module
        By the names of the layers.
    """

    def __init__(self, task: Task, layer: Layer, neurons: Callable[[Node], nn.Module]) -> None:
        super().__init__()
        self.nodes = task.nodes
        last = {c.source: node.name for node in task.nodes for c in node.incoming}
        self.released = [[s for s, by in last.items() if by == n.name] for n in task.nodes]
        self.wired = nn.ModuleList()
        self.wiring: list[list[tuple[str, nn.Module]]] = []
        self.firing: list[nn.Module | None] = []
        for node in task.nodes:
            chains = [
                (c.source, layer(nn.Sequential(*ops)) if (ops := list(chain)) else nn.Identity())
                for c, chain in zip(node.incoming, _modules(node), strict=True)
            ]
            self.wired.extend(module for _, module in chains)
            self.wiring.append(chains)
            self.firing.append(neurons(node) if node.kind == "neurons" else None)
        self.neurons = nn.ModuleList(module for module in self.firing if module is not None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output's current for the input's, with one step or many."""
        values: dict[str, Tensor] = {}
        current = x
        for position, node in enumerate(self.nodes):
            for i, (source, chain) in enumerate(self.wiring[position]):
                arriving = chain(values[source])
                current = arriving if i == 0 else current + arriving
            fire = self.firing[position]
            values[node.name] = current = current if fire is None else fire(current)
            for source in self.released[position]:
                del values[source]
        return current


def _modules(node: Node) -> Iterator[Iterator[nn.Module]]:
    """Yield the modules of each connection, the node's bias within the first one that can."""
    bias: torch.Tensor | None = torch.from_numpy(node.bias) if np.any(node.bias) else None
    for position, connection in enumerate(node.incoming):
        taken = bias if position == 0 else None
        yield _chain(connection.operators, taken, node)


def _chain(operators: tuple[Operator, ...], bias: Tensor | None, node: Node) -> Iterator[nn.Module]:
    for i, operator in enumerate(operators):
        last = i == len(operators) - 1
        held = bias if last and operator.kind in ("conv2d", "linear") else None
        if held is not None and (flat := _one_a_channel(held, node)) is not None:
            yield _MODULES[operator.kind](operator, flat)
            return
        yield _MODULES[operator.kind](operator, None)
    if bias is not None:
        yield Bias(bias)


def _one_a_channel(bias: Tensor, node: Node) -> Tensor | None:
    """Return a bias as one number a channel, where it is that."""
    channels = node.shape[0]
    shaped = bias.expand(1) if bias.ndim == 0 else bias
    if shaped.numel() == 1:
        return shaped.reshape(1).expand(channels).clone()
    aligned = shaped.shape[0] == channels and shaped.ndim == len(node.shape)
    return shaped.reshape(channels) if aligned and shaped.numel() == channels else None


def _conv2d(operator: Operator, bias: Tensor | None) -> nn.Module:
    weight = torch.from_numpy(operator.arguments["weight"])
    groups = operator.arguments["groups"]
    (stride, along), (pad, beside) = operator.arguments["stride"], operator.arguments["padding"]
    module = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        stride=(stride, along),
        padding=(pad, beside),
        groups=groups,
        bias=bias is not None,
    )
    return _filled(module, weight, bias)


def _linear(operator: Operator, bias: Tensor | None) -> nn.Module:
    weight = torch.from_numpy(operator.arguments["weight"])
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _filled(module, weight, bias)


def _filled(
    module: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor | None
) -> nn.Conv2d | nn.Linear:
    module.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias, requires_grad=False)
    return module


def _sum_pool2d(operator: Operator, _: Tensor | None) -> nn.Module:
    size, stride = (tuple(operator.arguments[key]) for key in ("size", "stride"))
    return nn.AvgPool2d(size, stride, divisor_override=1)


_MODULES: dict[str, Callable[[Operator, Tensor | None], nn.Module]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "reshape": lambda operator, _: Reshape(operator.arguments["shape"]),
    "scale": lambda operator, _: Scale(torch.from_numpy(operator.arguments["factor"])),
    "slice_pad": lambda operator, _: SlicePad(operator.arguments["axes"]),
    "sum_pool2d": _sum_pool2d,
}


class SpikeCounter:
    """Counts the spikes that layers of neurons send while it is open.

    Parameters
    ----------
    network : Network
    spikes : callable
        Takes a layer's output to its spikes, (..., n, *shape) or (n, ..., *shape), summed over
        time: (n, *shape).
    """

    def __init__(self, network: Network, spikes: Callable[[object], Tensor]) -> None:
        self._network, self._spikes = network, spikes
        self.total = torch.zeros(0)

    def __enter__(self) -> SpikeCounter:
        self.total = torch.zeros(0)
        self._hooks = [m.register_forward_hook(self._take) for m in self._network.neurons]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _take(self, _module: nn.Module, _inputs: object, output: object) -> None:
        found = self._spikes(output)
        summed = found.reshape(len(found), -1).sum(dim=1, dtype=torch.float64)
        self.total = summed if not len(self.total) else self.total + summed
