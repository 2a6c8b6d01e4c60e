"""What is decided before a run: number types, and how many steps and samples go together."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import Chain, Shape
from snnconvert.convert.network import Input, Network, Population, Readout, Relay
from snnconvert.convert.neurons import spike_values
from snnconvert.convert.snap import Executable
from snnconvert.convert.threads import default_threads, most_threads

LONGEST_CHUNK = 64
"""Steps at a time: more would not make the operators faster."""

MEMORY_SHARE = 0.25
"""Share of the free memory that a run takes unless told otherwise."""

WORKING_SET = 16 * 2**20
"""Bytes of the widest layer's chunk beyond which larger batches only miss the cache."""

LEAST_MEMORY = 2**28
"""Bytes to plan for where little is free: pages that only cache files do not count as free."""

UNKNOWN_MEMORY = 2**32
"""Bytes that count as free where the system does not say."""


@dataclass(frozen=True)
class Plan:
    """How a network is run.

    Attributes
    ----------
    sums : mapping of str to dtype
        Number type of one step's sums into each node.
    sends : mapping of str to dtype
        Number type of what each population and relay sends.
    reach : mapping of str to int
        Largest delay of the connections out of each node.
    chunk : int
        Steps at a time.
    batch : int
        Samples at a time, in each thread.
    threads : int
        Fewer than allowed where memory holds no more samples.
    """

    sums: Mapping[str, np.dtype[np.floating]]
    sends: Mapping[str, np.dtype[np.floating]]
    reach: Mapping[str, int]
    chunk: int
    batch: int
    threads: int


def free_memory() -> int:
    """Return the bytes of memory that are free, ``UNKNOWN_MEMORY`` where the system is silent."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MEMORY


def make_plan(executable: Executable, threads: int | None, memory_bytes: int | None) -> Plan:
    """Choose number types, chunk length and batch size.

    Parameters
    ----------
    executable : Executable
    threads : int or None
        None: all processors that the process may use. At most a few for each processor are used.
    memory_bytes : int or None
        What spikes, sums and voltages may take together (results come on top). None: a share of
        the memory that is free now.

    Raises
    ------
    UsageError
        If `threads` is no whole number or below 1, `memory_bytes` no number, or one sample for one
        step does not fit the memory.
    """
    if threads is not None and not isinstance(threads, int | np.integer):
        raise UsageError(f"threads must be a whole number, not {threads!r}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    network = executable.network
    sums, sends = number_types(executable)
    reach = {
        node.name: max((c.delay for c in network.outgoing(node.name)), default=0)
        for node in network.nodes
    }
    if memory_bytes is None:
        budget = max(int(free_memory() * MEMORY_SHARE), LEAST_MEMORY)
    else:
        try:
            budget = int(memory_bytes)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"memory_bytes must be a number, not {memory_bytes!r}") from error
    step = step_bytes(network, sums, sends)
    state = state_bytes(network, sends, reach)
    if step + state > budget:
        raise UsageError(
            f"one sample for one step takes {step + state:,} bytes, memory_bytes is {budget:,}",
            hint=f"allow at least {step + state:,} bytes",
        )
    threads = min(int(threads or default_threads()), most_threads(), budget // (step + state))
    share = budget // threads
    chunk = min(LONGEST_CHUNK, (share - state) // step)
    widest = 4 * max(math.prod(node.shape) for node in network.nodes)
    batch = min(share // (chunk * step + state), max(WORKING_SET // (chunk * widest), 1))
    return Plan(sums, sends, reach, chunk, batch, threads)


def number_types(
    executable: Executable,
) -> tuple[dict[str, np.dtype[np.floating]], dict[str, np.dtype[np.floating]]]:
    """Return the number types of the sums into each node, and of what each node sends.

    A sum is float32 where the network says that it is exact, and where nothing analog takes part:
    the bound of an analog value is the calibration's, and a sample may exceed it.
    """
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    network = executable.network
    sums: dict[str, np.dtype[np.floating]] = {}
    sends: dict[str, np.dtype[np.floating]] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            sends[node.name] = double
            continue
        sources = [network[c.source] for c in network.incoming(node.name)]
        moving = [s for s in sources if not (isinstance(s, Input) and s.encoding == "current")]
        narrow = node.name in executable.single and all(sends[s.name] == single for s in moving)
        sums[node.name] = single if narrow else double
        analog = len(moving) < len(sources)
        if isinstance(node, Population) or (isinstance(node, Relay) and narrow and not analog):
            sends[node.name] = single
        elif isinstance(node, Relay):
            sends[node.name] = double
    return sums, sends


def step_bytes(
    network: Network,
    sums: Mapping[str, np.dtype[np.floating]],
    sends: Mapping[str, np.dtype[np.floating]],
) -> int:
    """Return the bytes that one sample takes in one step while a chunk is computed."""
    last_use = {c.source: i for i, n in enumerate(network.nodes) for c in network.incoming(n.name)}
    peak = live = 0
    leaving: dict[int, int] = {}
    for position, node in enumerate(network.nodes):
        size = math.prod(node.shape)
        if isinstance(node, Input):
            continue
        incoming = network.incoming(node.name)
        scratch = max((_scratch(c.operators, network[c.source].shape) for c in incoming), default=0)
        arriving = sums[node.name].itemsize * (scratch + size * min(len(incoming), 2))
        if isinstance(node, Readout):
            arriving += 8 * size
        else:
            own = size * sends[node.name].itemsize
            live += own
            gone = last_use.get(node.name, position)
            leaving[gone] = leaving.get(gone, 0) + own
        peak = max(peak, live + arriving)
        live -= leaving.get(position, 0)
    return max(peak, 1)


def _scratch(chain: Chain, shape: Shape) -> int:
    """Return the largest number of values held between the operators of a chain."""
    sizes = [math.prod(shape), *(math.prod(operator.output_shape) for operator in chain)]
    return max((a + b for a, b in itertools.pairwise(sizes)), default=0)


def state_bytes(
    network: Network, sends: Mapping[str, np.dtype[np.floating]], reach: Mapping[str, int]
) -> int:
    """Return the bytes that one sample takes throughout: voltages, counts, constants, delays."""
    total = 0
    for node in network.nodes:
        size = math.prod(node.shape)
        fed = sum(isinstance(network[c.source], Input) for c in network.incoming(node.name))
        total += 8 * size * (fed + 1)
        if isinstance(node, Population):
            total += 16 * size if spike_values(node.neuron).binary else 24 * size
        total += reach[node.name] * size * sends[node.name].itemsize if node.name in sends else 0
    return total
