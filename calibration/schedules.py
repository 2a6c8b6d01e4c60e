"""Stagger the layers in time: every population fires in its own window of T steps.

With a hold-off of d steps a population integrates for d steps before it may fire::

    start_j             = 0 if constant currents alone feed it, else d + max over sources of start_i
    firing window       = [start_j, start_j + T)
    bias window         = [start_j - d, start_j - d + T)
    delay of edge i, j  = start_j - d - start_i

so that everything of a sample reaches j in the same T steps. Relays pass on without a hold-off;
the readout starts with its last source and counts every step. The latency is its start.

With d >= T all of j's charge is there before it fires: reset by subtraction then gives exactly
``clip(floor((charge + v_init) / threshold), 0, T)`` spikes, the network quantised to T+1 levels
(``quantised.py``), whatever the order of arrival. Delays into populations are not needed then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.network import (
    Connection,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
)

NAMES = ("none", "full", "auto")
LONG_RUN = 16
"""From so many timesteps on a short hold-off loses accuracy with plain neurons (measured)."""


def parse_schedule(schedule: str | int, timesteps: int) -> int:
    """Return the hold-off in steps; 0 for "none", `timesteps` for "full".

    "auto" counts as "none" until ``schedule_choice.py`` has chosen.

    Raises
    ------
    UsageError
        If it is neither a known name nor a whole number from 0 on.
    """
    text = str(schedule).strip()
    if text in ("none", "auto"):
        return 0
    if text == "full":
        return timesteps
    if text.isdecimal():
        return int(text)
    hint = "use none, full, auto or a number of steps"
    if text.isalpha():
        hint = did_you_mean(text, NAMES)
    raise UsageError(f"unknown schedule {text!r}", hint=hint)


def apply_schedule(
    network: Network, schedule: str | int, timesteps: int
) -> tuple[Network, tuple[str, ...]]:
    """Return the network with firing and bias windows, delays and readout windows set.

    Parameters
    ----------
    network : Network
        Without windows and delays.
    schedule : {"none", "full"} or int
        Hold-off of each layer: none at all, `timesteps`, or so many steps.
    timesteps : int
        Length of each window.

    Returns
    -------
    Network
        The same one for "none".
    tuple of str
        What the user should know.

    Raises
    ------
    UsageError
        If `schedule` is not understood.
    """
    holdoff = parse_schedule(schedule, timesteps)
    if holdoff == 0:
        return network, ()
    starts = _starts(network, holdoff)
    nodes = [_staged(node, starts[node.name], holdoff, timesteps) for node in network.nodes]
    connections = [
        replace(c, delay=_delay(network, c, starts, holdoff, timesteps))
        for c in network.connections
    ]
    staged = replace(
        network, nodes=tuple(nodes), connections=tuple(connections), timesteps=timesteps
    )
    return staged, _notes(network, holdoff, timesteps)


def waiting_layers(network: Network) -> int:
    """Return how many populations wait for one another on the longest path to a readout."""
    starts = _starts(network, 1)
    return max((starts[r.name].start for r in network.readouts), default=0)


def describe_timing(network: Network, timesteps: int) -> str:
    """Return window, latency and throughput of a network as a line."""
    latency, every = network.latency(timesteps), pipelined_steps(network, timesteps)
    return (
        f"window of {timesteps} steps, latency of {latency} steps, one sample every {every} steps "
        "when samples follow one another"
    )


def pipelined_steps(network: Network, timesteps: int) -> int:
    """Return the steps after which a network that is full of samples can take the next one.

    A membrane serves one sample from its first charge to its last spike: T steps where nothing is
    held off, T plus the hold-off where populations wait.
    """
    busy = [p.stop - p.bias_start for p in network.populations if p.stop is not None]
    return max(busy, default=timesteps)


def constant_fed(network: Network) -> frozenset[str]:
    """Return the nodes that constant currents alone feed: their populations need not wait."""
    steady: set[str] = set()
    fed: set[str] = set()
    for node in network.nodes:
        if isinstance(node, Input):
            if node.encoding == "current":
                steady.add(node.name)
            continue
        if all(c.source in steady for c in network.incoming(node.name)):
            fed.add(node.name)
            if isinstance(node, Relay):
                steady.add(node.name)
    return frozenset(fed)


@dataclass(frozen=True)
class _Start:
    """First step of a node's window, and steps between the first arrival and it."""

    start: int
    holdoff: int = 0


def _starts(network: Network, holdoff: int) -> dict[str, _Start]:
    starts: dict[str, _Start] = {}
    fed = constant_fed(network)
    for node in network.nodes:
        sources = [c.source for c in network.incoming(node.name)]
        latest = max((starts[s].start for s in sources), default=0)
        waits = isinstance(node, Population) and node.name not in fed
        starts[node.name] = _Start(latest + holdoff, holdoff) if waits else _Start(latest)
    return starts


def _staged(node: NetworkNode, when: _Start, holdoff: int, timesteps: int) -> NetworkNode:
    stop = when.start + timesteps
    first = when.start - when.holdoff
    if isinstance(node, Population):
        return replace(
            node, start=when.start, stop=stop, bias_start=first, bias_stop=first + timesteps
        )
    if isinstance(node, Readout):
        even = replace(node, discard=0.0, rising=False)
        return replace(even, start=when.start, bias_start=when.start, bias_stop=stop)
    if isinstance(node, Input):
        return replace(node, stop=timesteps)
    return node


def _delay(
    network: Network,
    connection: Connection,
    starts: Mapping[str, _Start],
    holdoff: int,
    timesteps: int,
) -> int:
    source, target = starts[connection.source], starts[connection.target]
    direct = not isinstance(network[connection.source], Relay)
    if direct and target.holdoff and holdoff >= timesteps:
        return 0
    return target.start - target.holdoff - source.start


def _notes(network: Network, holdoff: int, timesteps: int) -> tuple[str, ...]:
    notes = []
    plain = all(p.neuron == "if" for p in network.populations)
    if plain and timesteps >= LONG_RUN and 4 * holdoff < 3 * timesteps:
        notes.append(
            f"a hold-off of {holdoff} steps loses accuracy at {timesteps} timesteps: plain neurons "
            f"need at least {-(-3 * timesteps // 4)}; use --schedule none or full"
        )
    if network.reset == "zero":
        notes.append(
            "staging is exact with reset by subtraction only: reset to zero loses the charge "
            "above the threshold"
        )
    return tuple(notes)
