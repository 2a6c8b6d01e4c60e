"""Networks handed to other simulators compute what ours do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from neutral import STARTS_AT, Task, read_task, write_task
from peer_file import NotNeutralError, write_matrices, write_network
from torch import Tensor, nn
from torch_network import Network as TorchNetwork
from torch_network import SpikeCounter

from snnconvert.backends.reference import ReferenceSimulation
from snnconvert.convert.linear import (
    Convolution,
    Dense,
    LinearOperator,
    Reshape,
    Scale,
    Select,
    SumPool,
    Window,
    apply_chain,
)
from snnconvert.convert.network import Connection, Input, Network, Population, Readout

TIMESTEPS = 6


def population(name: str, shape: tuple[int, ...], bias: float) -> Population:
    one = np.ones(1)
    channels = np.full((shape[0], 1, 1), bias)
    return Population(name, shape, one, one, one, channels, one * STARTS_AT)


@pytest.fixture
def network(rng: np.random.Generator) -> Network:
    """Two convolutions with the channel-padding shortcut of a ResNet, pooled and read out."""

    def weight(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return rng.integers(-8, 9, shape) / 16

    pads = ((1, 1), (1, 1))
    narrow, wide = (2, 8, 8), (4, 4, 4)
    first = Convolution(narrow, weight(2, 2, 3, 3), (1, 1), pads, (1, 1))
    second = Convolution(narrow, weight(4, 2, 3, 3), (2, 2), ((1, 0), (1, 0)), (1, 1))
    every_second = np.arange(0, 8, 2)
    shortcut = Select(narrow, (np.array([-1, 0, 1, -1]), every_second, every_second))
    pool = SumPool(wide, Window((4, 4), (4, 4), ((0, 0), (0, 0)), (1, 1)))
    return Network(
        "small",
        (
            Input("x", narrow),
            population("a/1", narrow, 1 / 16),
            population("b", wide, -1 / 16),
            Readout("y", (3,), weight(3), np.ones(1)),
        ),
        (
            Connection("x", "a/1", (first,)),
            Connection("a/1", "b", (second,)),
            Connection("a/1", "b", (shortcut, Scale(wide, weight(4, 1, 1)))),
            Connection("b", "y", (pool, Reshape((4, 1, 1), (4,)), Dense((4,), weight(3, 4)))),
        ),
    )


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (rng.integers(0, 17, (5, 2, 8, 8)) / 16).astype(np.float32)


@pytest.fixture
def task(
    network: Network,
    images: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    tmp_path: Path,
) -> Task:
    write_network(network, tmp_path)
    write_task(tmp_path, images, TIMESTEPS, 1)
    return read_task(tmp_path)


class Neurons(nn.Module):
    """Integrate and fire, for one step."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | float = STARTS_AT

    def forward(self, current: Tensor) -> Tensor:
        v = self.v + current
        spikes = (v >= 1).float()
        self.v = v - spikes
        return spikes


def test_a_torch_module_of_the_file_sends_the_same_spikes(network: Network, task: Task) -> None:
    expected = ReferenceSimulation(network).run(task.images, TIMESTEPS)
    module = TorchNetwork(task, lambda layer: layer, lambda _: Neurons())
    spikes = torch.zeros(len(task.images), dtype=torch.float64)
    total = torch.zeros(len(task.images), 3)
    for _ in range(TIMESTEPS):
        with SpikeCounter(module, lambda sent: sent) as counter:
            total = total + module(torch.from_numpy(task.images))
        spikes += counter.total
    counts = [c.reshape(len(c), -1).sum(axis=1) for c in expected.spike_counts.values()]
    assert np.array_equal(spikes.numpy(), np.sum(counts, axis=0))
    assert spikes.sum() > 0
    assert np.allclose(total.numpy() / TIMESTEPS, expected.logits[-1], atol=1e-6)


def test_biases_are_inside_the_layers(task: Task) -> None:
    module = TorchNetwork(task, lambda layer: layer, lambda _: Neurons())
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [layer.bias is not None for layer in layers] == [True, True, True]
    assert layers[1].padding == (1, 1)  # the stride never reaches the end


def test_layers_without_state_are_wrapped(task: Task) -> None:
    wrapped: list[nn.Module] = []

    def layer(module: nn.Module) -> nn.Module:
        wrapped.append(module)
        return module

    TorchNetwork(task, layer, lambda _: Neurons())
    assert len(wrapped) == 4


def test_matrices_are_the_connections(
    network: Network, tmp_path: Path, rng: np.random.Generator
) -> None:
    write_matrices(network, tmp_path)
    for node in network.nodes[1:]:
        for i, connection in enumerate(network.incoming(node.name)):
            with np.load(tmp_path / f"matrix-{node.name.replace('/', '|')}-{i}.npz") as stored:
                source, target, weight = (stored[k] for k in ("source", "target", "weight"))
            x = rng.normal(size=(1, *network[connection.source].shape))
            size = int(np.prod(node.shape))
            found = np.bincount(target, weight * x.reshape(-1)[source], size)
            expected = apply_chain(connection.operators, x).reshape(-1)
            assert np.allclose(found, expected, atol=1e-5)
            assert np.all(weight != 0)


def changed(network: Network, **fields: object) -> Network:
    population = network["b"]
    assert isinstance(population, Population)
    return network.replace_nodes([replace(population, **fields)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"neuron": "signed"}, "neuron of 'b'"),
        ({"reset": "zero"}, "neuron of 'b'"),
        ({"threshold": np.full(1, 2.0)}, "thresholds of 'b'"),
        ({"start": 3}, "windows of 'b'"),
        ({"v_init": np.zeros(1)}, "v_init of 'b'"),
    ],
)
def test_what_not_every_simulator_has_is_refused(
    network: Network, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(NotNeutralError, match=message):
        write_network(changed(network, **fields), tmp_path)


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Select((2, 8, 8), (np.array([1, 0]), None, None)), "selection"),
        (
            Convolution((2, 8, 8), np.ones((2, 2, 2, 2)), (1, 1), ((1, 0), (1, 0)), (1, 1)),
            "convolution with pads",
        ),
        (
            Convolution((2, 8, 8), np.ones((2, 2, 3, 3)), (1, 1), ((2, 2), (2, 2)), (2, 2)),
            "operator Convolution",
        ),
    ],
)
def test_other_operators_are_refused(
    tmp_path: Path, operator: LinearOperator, message: str
) -> None:
    shape = (2, 8, 8)
    other = Network(
        "other",
        (Input("x", shape), Readout("y", shape, np.zeros(1), np.ones(1))),
        (Connection("x", "y", (operator,)),),
    )
    with pytest.raises(NotNeutralError, match=message):
        write_network(other, tmp_path)


def test_delays_are_refused(network: Network, tmp_path: Path) -> None:
    late = tuple(replace(c, delay=1) for c in network.connections)
    with pytest.raises(NotNeutralError, match="delays"):
        write_network(replace(network, connections=late), tmp_path)
