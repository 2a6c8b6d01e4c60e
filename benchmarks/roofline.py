"""Share of the roofline: each layer's adds a second against the machine's measured peak.

    python benchmarks/roofline.py [--network resnet20] [--timesteps 32] [--batch 100]
        [--weight-bits 16] [--json FILE]

First the peaks, with one thread and with one for each core: float32 multiply-adds a second of a
large matrix product in torch, and adds a second of an event-driven kernel whose weight rows and
list lie in the first-level cache. Then for each layer, on one thread, its kernel and time, the
synaptic operations that the spikes cause (spikes times fan-out) a second as a share of the peak of
adds, and the multiply-adds that a dense simulation would do as a share of the dense peak: above
100 % the layer is faster than any dense one of float32 numbers could be. Layers of tiles, which
skip nothing, have their multiply-adds of bytes (a product for each byte of a weight, without those
of padding) as a share of the machine's peak of these.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import describe, machine_facts, write_results
from peaks import Peaks, measure_peaks
from speed_networks import (
    DESIGN_TIMESTEPS,
    NAMES,
    SHIPPED,
    MissingFilesError,
    subject,
    third_party_files,
)

import snnconvert
from snnconvert.backends.base import RunResult
from snnconvert.backends.cpu import CpuSimulation
from snnconvert.backends.cpu.event_layer import EventLayer
from snnconvert.convert.network import Input, Network
from snnconvert.reports.fan_out import fan_out
from snnconvert.reports.operations import ann_macs


@dataclass(frozen=True)
class Layer:
    """One layer of a run.

    Attributes
    ----------
    name, kernel : str
    seconds : float
    density : float
        Spikes a neuron and step of what the layer reads.
    synops : int
        Spikes times the non-zero weights that they meet.
    dense : int
        Multiply-adds of a dense simulation of all steps.
    products : int
        Of bytes, in tiles.
    """

    name: str
    kernel: str
    seconds: float
    density: float
    synops: int
    dense: int
    products: int = 0


def layers_of(
    network: Network,
    result: RunResult,
    profile: Iterable[tuple[str, str, float]],
    timesteps: int,
    digits: Mapping[str, int],
) -> list[Layer]:
    """Return what each layer did, from a run's spikes and the engine's times.

    Parameters
    ----------
    network : Network
        As executed.
    result : RunResult
    profile : iterable of (node, kernel, seconds)
    timesteps : int
    digits : mapping of str to int
        Bytes of the weights of layers of tiles.
    """
    seconds: dict[str, float] = defaultdict(float)
    kernels: dict[str, dict[str, None]] = defaultdict(dict)
    for node, kernel, time in profile:
        seconds[node] += time
        kernels[node][kernel] = None
    found = []
    for name in seconds:
        work = _work(network, result, name, timesteps)
        products = digits.get(name, 0) * work[-1]
        found.append(Layer(name, " + ".join(kernels[name]), seconds[name], *work, products))
    return found


def _work(network: Network, result: RunResult, name: str, steps: int) -> tuple[float, int, int]:
    samples = len(next(iter(result.spike_counts.values())))
    spikes = neurons = synops = dense = 0
    for connection in network.incoming(name):
        source = network[connection.source]
        macs = ann_macs([connection.operators])
        if isinstance(source, Input):
            dense += macs * samples
            continue
        dense += macs * samples * steps
        if source.name in result.spike_counts:
            counts = result.spike_counts[source.name].reshape(samples, -1).sum(axis=0)
            synops += int(counts @ fan_out(connection.operators, source.shape))
            spikes, neurons = spikes + int(counts.sum()), neurons + counts.size
    return spikes / max(neurons * steps * samples, 1), synops, dense


HEADER = (
    f"{'layer':28} {'kernel':28} {'ms':>8} {'time':>6} {'density':>7} "
    f"{'Gadd/s':>7} {'of peak':>7} {'dense GMAC/s':>12} {'of peak':>7} "
    f"{'byte GMAC/s':>11} {'of peak':>7}"
)


def line(layer: Layer, peaks: Peaks, weights: str, total: float) -> str:
    """Return the row of the table."""
    seconds = max(layer.seconds, 1e-12)
    adds, dense, products = layer.synops / seconds, layer.dense / seconds, layer.products / seconds
    tiles = ""
    if products and peaks.products:
        tiles = f" {products / 1e9:11.1f} {100 * products / peaks.products:6.0f}%"
    return (
        f"{layer.name[-28:]:28} {layer.kernel[:28]:28} {1e3 * layer.seconds:8.2f} "
        f"{100 * layer.seconds / total:5.1f}% {layer.density:7.3f} "
        f"{adds / 1e9:7.2f} {100 * adds / peaks.adds[weights]:6.1f}% "
        f"{dense / 1e9:12.1f} {100 * dense / peaks.multiply_adds:6.0f}%{tiles}"
    )


def whole(layers: list[Layer]) -> Layer:
    """Return all layers as one."""
    return Layer(
        "all",
        "",
        sum(layer.seconds for layer in layers),
        0.0,
        sum(layer.synops for layer in layers),
        sum(layer.dense for layer in layers),
    )


def profiled(simulation: Any, samples: Mapping[str, Any], timesteps: int) -> list[Any]:
    """Return the engine's own times of every node.

    Raises
    ------
    SystemExit
        If the engine does not tell them.
    """
    if not hasattr(simulation, "profile"):
        sys.exit("this engine tells no times of its layers: CpuSimulation.profile is missing")
    return list(simulation.profile(samples, timesteps))


def digits_of(simulation: CpuSimulation) -> dict[str, int]:
    """Return the bytes of the weights of each layer of tiles."""
    program = simulation.program
    layers = (layer for layer in program.layers.values() if isinstance(layer, EventLayer))
    return {
        layer.node.name: layer.numbers.digits
        for layer in layers
        if program.how(layer.node.name) == "tiles"
    }


def main() -> int:
    """Print the peaks and the layers of one network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = "resnet20" if third_party_files() else SHIPPED[0]
    parser.add_argument("--network", choices=NAMES, default=default)
    parser.add_argument("--timesteps", type=int, default=DESIGN_TIMESTEPS)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--weight-bits", type=int, choices=(8, 16))
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        network = subject(options.network)
    except MissingFilesError as error:
        parser.error(str(error))
    facts = machine_facts()
    print(describe(facts))
    weights = "float32" if options.weight_bits is None else "int16"
    alone, *together = [measure_peaks(threads) for threads in sorted({1, facts["cores"]})]
    for peaks in (alone, *together):
        print(
            f"peak, {peaks.threads} thread{'s' * (peaks.threads > 1)}: "
            f"{peaks.multiply_adds / 1e9:.0f} GMAC/s (float32, dense), "
            + ", ".join(f"{rate / 1e9:.0f} Gadd/s ({name})" for name, rate in peaks.adds.items())
            + (f", {peaks.products / 1e9:.0f} GMAC/s (bytes, tiles)" if peaks.products else "")
        )
    built = network.network(weight_bits=options.weight_bits)
    simulation = snnconvert.get_backend("cpu").emit(built, threads=1)
    samples = network.rows(options.batch)
    result = simulation.run(samples, options.timesteps)
    times = profiled(simulation, samples, options.timesteps)
    assert isinstance(simulation, CpuSimulation)
    digits = digits_of(simulation)
    layers = layers_of(simulation.executable, result, times, options.timesteps, digits)
    total = whole(layers)
    print(HEADER)
    for layer in [*layers, total]:
        print(line(layer, alone, weights, total.seconds))
    found = {"network": options.network, "batch": options.batch, "timesteps": options.timesteps}
    found |= {"weight_bits": options.weight_bits}
    found |= {"peaks": [asdict(peaks) for peaks in (alone, *together)]}
    found |= {"layers": [asdict(layer) for layer in [*layers, total]]}
    write_results(options.json, "roofline", found, facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
