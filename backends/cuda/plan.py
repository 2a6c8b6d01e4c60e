"""What is decided before a run on a device: number types, and how much goes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnconvert.backends.cpu.plan import LONGEST_CHUNK, number_types, state_bytes, step_bytes
from snnconvert.backends.cuda.half import half_nodes
from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import Network, Population
from snnconvert.convert.snap import Executable

COPIES = 2
"""Parts of values that an operator holds besides what it reads and writes."""

LARGEST_BATCH = 1024


@dataclass(frozen=True)
class DevicePlan:
    """How a network is run on a device.

    Attributes
    ----------
    sums : mapping of str to dtype
        Number type of one step's sums into each node.
    sends : mapping of str to dtype
        Number type of what each population and relay sends.
    reach : mapping of str to int
        Largest delay of the connections out of each node.
    chunk, batch : int
        Steps and samples at a time.
    """

    sums: Mapping[str, np.dtype[np.floating]]
    sends: Mapping[str, np.dtype[np.floating]]
    reach: Mapping[str, int]
    chunk: int
    batch: int


def make_device_plan(executable: Executable, memory_bytes: int, *, half: bool) -> DevicePlan:
    """Choose number types, chunk length and batch size.

    Parameters
    ----------
    executable : Executable
    memory_bytes : int
        What spikes, sums and voltages may take together.
    half : bool
        Whether the device computes in half precision, which is used where it is exact.

    Raises
    ------
    UsageError
        If one sample for one step does not fit the memory.
    """
    network = executable.network
    sums, sends = number_types(executable)
    if half:
        narrow = half_nodes(network, sums)
        sums = {n: np.dtype(np.float16) if n in narrow else d for n, d in sums.items()}
        sends = {n: _narrowest(network, n, d, narrow) for n, d in sends.items()}
    reach = {
        node.name: max((c.delay for c in network.outgoing(node.name)), default=0)
        for node in network.nodes
    }
    step = COPIES * step_bytes(network, sums, sends)
    state = state_bytes(network, sends, reach)
    if step + state > memory_bytes:
        raise UsageError(
            f"one sample for one step takes {step + state:,} bytes of the device's memory, "
            f"{memory_bytes:,} may be used",
            hint=f"allow at least {step + state:,} bytes (memory_bytes)",
        )
    chunk = min(LONGEST_CHUNK, (memory_bytes - state) // step)
    batch = min(memory_bytes // (chunk * step + state), LARGEST_BATCH)
    return DevicePlan(sums, sends, reach, chunk, batch)


def _narrowest(
    network: Network, name: str, dtype: np.dtype[np.floating], narrow: frozenset[str]
) -> np.dtype[np.floating]:
    """Return half precision for a population that is read in nothing wider."""
    readers = [c.target for c in network.outgoing(name)]
    fits = isinstance(network[name], Population) and readers and narrow.issuperset(readers)
    return np.dtype(np.float16) if fits else dtype
