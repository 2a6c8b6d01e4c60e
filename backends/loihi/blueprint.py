"""What is put on the chip: layers of compartments, the synapses between them, and host currents.

A blueprint is the normalised network without relays, in floats: every threshold is 1, a spike
carries 1. Nothing here knows nengo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from snnconvert.backends.loihi.synapses import (
    DenseSynapses,
    SharedKernel,
    SparseSynapses,
    Synapses,
    as_image,
    synapses_of,
)
from snnconvert.convert.linear import Chain, FloatArray, Matrix, Shape, absolute_chain, apply_chain
from snnconvert.convert.network import Input, Network, Population, Readout
from snnconvert.convert.normalize import normalize
from snnconvert.convert.relays import inline_relays

InputKind: TypeAlias = Literal["host", "neurons"]

INPUT_THRESHOLD = 0.9375
"""Threshold of an input neuron over the largest input: values above it fire in every step."""


@dataclass(frozen=True, eq=False)
class Drive:
    """A current that the host computes for each sample and writes as the layer's bias.

    Attributes
    ----------
    input : str
        Name of the network's input.
    chain : tuple of LinearOperator
    bound : (size,) float array
        Largest current, for samples within ``Input.bound``.
    """

    input: str
    chain: Chain
    bound: FloatArray


@dataclass(frozen=True, eq=False)
class Layer:
    """Compartments of one population, readout or input.

    Attributes
    ----------
    name : str
    shape : tuple of int
    kind : {"input", "population", "readout"}
    bias : (size,) float array
        Constant part of the current, in thresholds a step (a readout: in ANN units).
    drives : tuple of Drive
        Parts of the bias that differ between samples.
    arrival : int
        First step in which this layer can see the sample.
    gain : (size,) float array
        What weights, bias and threshold of each neuron are multiplied with on the chip; the
        projections' weights include it, `bias` and `drives` do not. See ``balance.py``.
    threshold : (size,) float array
        As handed to nengo-loihi, gain included. A readout's lies above anything that it is meant
        to hold.
    """

    name: str
    shape: Shape
    kind: Literal["input", "population", "readout"]
    bias: FloatArray
    drives: tuple[Drive, ...] = ()
    arrival: int = 0
    gain: FloatArray = field(default_factory=lambda: np.ones(1))
    threshold: FloatArray = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        for name in ("gain", "threshold"):
            full = np.broadcast_to(getattr(self, name), (self.size,))
            object.__setattr__(self, name, full)

    @property
    def size(self) -> int:
        """Number of compartments."""
        return math.prod(self.shape)

    @property
    def tile_shape(self) -> Shape:
        """The shape that is cut into tiles: images stay images, anything else is flat."""
        return self.shape if as_image(self.shape) is not None else (self.size,)


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one layer to another; a spike arrives one step later."""

    source: str
    target: str
    synapses: Synapses

    @cached_property
    def matrix(self) -> sp.csr_array:
        """The weights as a CSR matrix (targets, sources), float64."""
        return self.synapses.to_sparse()

    @cached_property
    def largest_weights(self) -> FloatArray:
        """The largest magnitude of a weight into each target neuron."""
        rows = np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))
        largest = np.zeros(self.matrix.shape[0])
        np.maximum.at(largest, rows, np.abs(self.matrix.data))
        return largest


@dataclass(frozen=True, eq=False)
class Blueprint:
    """Layers in topological order, and projections.

    Attributes
    ----------
    network : Network
        The normalised network without relays that it stands for.
    layers : tuple of Layer
    projections : tuple of Projection
        At most one between two layers.
    """

    network: Network
    layers: tuple[Layer, ...]
    projections: tuple[Projection, ...]

    def __getitem__(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    def incoming(self, name: str) -> tuple[Projection, ...]:
        """Return the projections into a layer."""
        return tuple(p for p in self.projections if p.target == name)

    def outgoing(self, name: str) -> tuple[Projection, ...]:
        """Return the projections out of a layer."""
        return tuple(p for p in self.projections if p.source == name)

    @property
    def latency(self) -> int:
        """Steps before the last readout sees the sample through its longest path."""
        return max((x.arrival for x in self.layers if x.kind == "readout"), default=0)


def draw(network: Network, kind: InputKind, *, signed: bool = True) -> Blueprint:
    """Return the blueprint of a network.

    Parameters
    ----------
    network : Network
        In any units.
    kind : {"host", "neurons"}
        How inputs enter: as currents of the layers that they feed, or as the bias of neurons of
        their own.
    signed : bool
        With input neurons: a second neuron for each value, which sees its negative.
    """
    network = normalize(inline_relays(network, everything=True))
    layers: dict[str, Layer] = {}
    projections: list[Projection] = []
    for node in network.nodes:
        if isinstance(node, Input):
            if kind == "neurons":
                layers[neurons_of(node)] = _input_layer(node, signed)
            continue
        assert isinstance(node, Population | Readout)
        drives, arrivals = [], [0]
        chains: dict[str, list[Chain]] = {}
        for c in network.incoming(node.name):
            source = network[c.source]
            if isinstance(source, Input) and kind == "host":
                drives.append(Drive(source.name, c.operators, _reach(source, c.operators)))
            else:
                chains.setdefault(source.name, []).append(c.operators)
        for name, parallel in chains.items():
            source = network[name]
            synapses = synapses_of(parallel, source.shape, node.shape)
            if isinstance(source, Input):
                name = neurons_of(source)
                synapses = _from_neurons(synapses, source, signed)
            projections.append(Projection(name, node.name, synapses))
            arrivals.append(layers[name].arrival + 1)
        layers[node.name] = Layer(
            name=node.name,
            shape=node.shape or (1,),
            kind="population" if isinstance(node, Population) else "readout",
            bias=np.broadcast_to(node.bias, node.shape).astype(np.float64).reshape(-1),
            drives=tuple(drives),
            arrival=max(arrivals),
        )
    return Blueprint(network, tuple(layers.values()), tuple(projections))


def _reach(source: Input, chain: Chain) -> FloatArray:
    """Return the largest current that a sample within the input's bound can cause."""
    full = np.full((1, *source.shape), source.bound)
    return apply_chain(absolute_chain(chain), full).reshape(-1)


def neurons_of(node: Input) -> str:
    """Return the name of the layer of neurons that an input drives."""
    return f"{node.name}/neurons"


def _input_layer(node: Input, signed: bool) -> Layer:
    shape = node.shape or (1,)
    size = math.prod(shape)
    signs = [1.0, -1.0] if signed else [1.0]
    shape = (len(signs) * shape[0], *shape[1:])
    parts = [sp.diags_array(np.full(size, sign / node.bound)) for sign in signs]
    matrix = sp.csr_array(sp.vstack(parts))
    return Layer(
        name=neurons_of(node),
        shape=shape,
        kind="input",
        bias=np.zeros(math.prod(shape)),
        drives=(Drive(node.name, (Matrix(node.shape, matrix, shape),), np.ones(math.prod(shape))),),
        threshold=np.full(1, INPUT_THRESHOLD),
    )


def _from_neurons(synapses: Synapses, source: Input, signed: bool) -> Synapses:
    """Scale to what a spike of an input neuron stands for; negative for the second of a pair."""

    def doubled(weight: FloatArray, axis: int) -> FloatArray:
        weight = weight * (source.bound * INPUT_THRESHOLD)
        return np.concatenate([weight, -weight], axis=axis) if signed else weight

    if isinstance(synapses, SharedKernel):
        weight = doubled(synapses.weight, 1)
        shape = (weight.shape[1], *synapses.input_shape[1:])
        return replace(synapses, weight=weight, input_shape=shape)
    if isinstance(synapses, DenseSynapses):
        return DenseSynapses(doubled(synapses.weight, 1))
    matrix = synapses.matrix * (source.bound * INPUT_THRESHOLD)
    return SparseSynapses(sp.csr_array(sp.hstack([matrix, -matrix])) if signed else matrix)


def host_currents(
    layer: Layer, samples: Mapping[str, npt.NDArray[np.generic]]
) -> FloatArray | None:
    """Return the layer's currents (N, size), constant part included; None where none differ.

    Parameters
    ----------
    layer : Layer
    samples : dict of (N, *shape) arrays
        By input name.
    """
    if not layer.drives:
        return None
    total: FloatArray | None = None
    for drive in layer.drives:
        x = np.asarray(samples[drive.input], np.float64)
        current = apply_chain(drive.chain, x).reshape(len(x), -1)
        total = current if total is None else total + current
    assert total is not None
    return np.asarray(total + layer.bias)
