"""Emit a ``nengo.Network`` that nengo-loihi builds, and build it."""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.loihi.blueprint import Blueprint, Layer
from snnconvert.backends.loihi.cores import Tiling
from snnconvert.backends.loihi.nengo_modules import nengo, nengo_loihi
from snnconvert.backends.loihi.neurons import ResetToZero
from snnconvert.backends.loihi.planner import Plan
from snnconvert.backends.loihi.scales import TileScales
from snnconvert.backends.loihi.synapses import DenseSynapses, SharedKernel, Synapses
from snnconvert.convert.errors import Problem, UnsupportedModelError
from snnconvert.convert.linear import FloatArray

IntArray = npt.NDArray[np.int64]
DT = 0.001
"""Seconds a step; results do not depend on it."""


@dataclass(frozen=True, eq=False)
class Core:
    """One core of the chip: a block of nengo-loihi, and which neurons of its layer it holds.

    Attributes
    ----------
    layer : str
    block : nengo_loihi.block.LoihiBlock
    neurons : (n,) int array
        Flat positions in the layer.
    """

    layer: str
    block: Any
    neurons: IntArray


@dataclass(frozen=True, eq=False)
class Chip:
    """A built network: integers, cut into cores.

    Attributes
    ----------
    network : nengo.Network
    ensembles : dict of str to nengo.Ensemble
        By layer.
    probes : dict of str to nengo.Probe
        The voltages of the readouts.
    simulator : nengo_loihi.Simulator
        On the emulator.
    cores : tuple of Core
        In the order of the simulator's blocks.
    """

    network: Any
    ensembles: dict[str, Any]
    probes: dict[str, Any]
    simulator: Any
    cores: tuple[Core, ...]

    def of_layer(self, name: str) -> tuple[Core, ...]:
        """Return the cores of a layer."""
        return tuple(core for core in self.cores if core.layer == name)


def emit_network(
    blueprint: Blueprint,
    plan: Plan,
    scales: Mapping[str, TileScales],
    bias: Mapping[str, FloatArray],
    *,
    seed: int,
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return a ``nengo.Network`` for nengo-loihi, its ensembles and its probes by layer.

    Parameters
    ----------
    blueprint : Blueprint
    plan : dict of str to Tiling
    scales : dict of str to TileScales
    bias : dict of str to (size,) float arrays
        The bias of every ensemble; where the host writes currents, the largest of them.
    seed : int
    """
    with nengo.Network(label=blueprint.network.name, seed=seed) as network:
        nengo_loihi.add_params(network)
        ensembles, probes = {}, {}
        for layer in blueprint.layers:
            ensemble = _ensemble(layer, scales[layer.name], bias[layer.name])
            network.config[ensemble].block_shape = _block_shape(plan[layer.name])
            ensembles[layer.name] = ensemble
            if layer.kind == "readout":
                probe = nengo.Probe(ensemble.neurons, "voltage", label=layer.name)
                probes[layer.name] = probe
        for projection in blueprint.projections:
            nengo.Connection(
                ensembles[projection.source].neurons,
                ensembles[projection.target].neurons,
                transform=_transform(projection.synapses),
                synapse=None,
                label=f"{projection.source} -> {projection.target}",
            )
    return network, ensembles, probes


def _ensemble(layer: Layer, scales: TileScales, bias: FloatArray) -> Any:
    # The chip clips voltages at 1 - 2**k of its own units, k at most 23, and nengo-loihi rounds k.
    # Just below the point where the finest tile's k would be rounded to 24, most tiles get 23.
    lowest = -(2.0**23.49) / scales.scale.max()
    return nengo.Ensemble(
        layer.size,
        dimensions=1,
        neuron_type=ResetToZero(layer.threshold, lowest),
        gain=np.ones(layer.size),
        bias=bias / DT,
        label=layer.name,
    )


def _block_shape(tiling: Tiling) -> Any:
    return nengo_loihi.BlockShape(
        tuple(int(n) for n in tiling.tile), tuple(int(n) for n in tiling.shape)
    )


def _transform(synapses: Synapses) -> Any:
    """Return the transform; its weights are copies, because discretising overwrites them."""
    if isinstance(synapses, SharedKernel):
        return nengo.Convolution(
            n_filters=synapses.output_shape[0],
            input_shape=synapses.input_shape,
            kernel_size=synapses.weight.shape[2:],
            strides=synapses.strides,
            padding=synapses.padding,
            channels_last=False,
            init=np.array(synapses.weight.transpose(2, 3, 1, 0)),
        )
    if isinstance(synapses, DenseSynapses):
        return nengo.Dense(synapses.weight.shape, init=np.array(synapses.weight))
    matrix = synapses.matrix.tocoo()
    rows, columns = matrix.coords
    return nengo.Sparse(
        matrix.shape, indices=np.stack([rows, columns], axis=1), init=np.array(matrix.data)
    )


def build(
    network: Any, ensembles: Mapping[str, Any], probes: Mapping[str, Any], *, seed: int
) -> Chip:
    """Build, split, discretise and validate a network with nengo-loihi.

    Raises
    ------
    UnsupportedModelError
        If nengo-loihi refuses it; names the layer.
    """
    model = nengo_loihi.builder.Model(dt=DT, label=network.label)
    model.validation_level = nengo_loihi.builder.builder.ValidationLevel.FULL
    with _translated(ensembles), _known_warnings():
        simulator = nengo_loihi.Simulator(
            network, dt=DT, seed=seed, model=model, target="sim", progress_bar=False
        )
    chip = Chip(network, dict(ensembles), dict(probes), simulator, cores_of(simulator, ensembles))
    # nengo-loihi warns of simulators that are deleted while they are open
    weakref.finalize(chip, simulator.close)
    return chip


def cores_of(simulator: Any, ensembles: Mapping[str, Any]) -> tuple[Core, ...]:
    """Return the cores that a ``nengo_loihi.Simulator`` made of the ensembles."""
    model = simulator.model
    layer_of = {
        id(block): name
        for name, ensemble in ensembles.items()
        for block in _blocks(model.objs[ensemble]["in"])
    }
    return tuple(
        Core(layer_of[id(block)], block, np.array(model.block_comp_map[block].list, np.int64))
        for block in model.blocks
    )


def _blocks(built: Any) -> list[Any]:
    return built if isinstance(built, list) else [built]


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence what nengo-loihi 1.1.0 warns of in every build of ours."""
    with warnings.catch_warnings():
        # It casts NaN to int32 to mark state that is not filled in yet.
        warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
        # Expected where a threshold is large for its weights; resources() reports the bits.
        warnings.filterwarnings("ignore", "Lost . extra bits in weight rounding", UserWarning)
        # NumPy 2.5 deprecates assigning array.dtype, which is how it turns floats into integers.
        warnings.filterwarnings("ignore", "Setting the dtype on a NumPy array", DeprecationWarning)
        yield


@contextmanager
def _translated(ensembles: Mapping[str, Any]) -> Iterator[None]:
    """Turn nengo-loihi's errors into ours."""
    try:
        yield
    except (nengo.exceptions.BuildError, AssertionError, NotImplementedError) as error:
        layer = _named_layer(str(error), ensembles)
        where = f"layer {layer!r}" if layer else "the network"
        text = re.sub(r"\s+", " ", str(error)) or f"{type(error).__name__} without a message"
        problem = Problem(
            code="core-limit" if "exceeded max" in text else "build-error",
            message=f"nengo-loihi cannot build {where}: {text}",
            node=layer or "",
            place=where,
        )
        raise UnsupportedModelError([problem]) from error


def _named_layer(message: str, ensembles: Mapping[str, Any]) -> str | None:
    """Return the layer whose ensemble a message of nengo-loihi names."""
    named = [name for name, ensemble in ensembles.items() if str(ensemble) in message]
    return max(named, key=len, default=None)
