"""Schedules: when the neurons of each layer may fire.

A hold-off of d steps lets a layer integrate d steps before it fires. With d = T every layer fires
only after all of its input has arrived, so its spike count is that of the ANN with T + 1 levels,
integer for integer. For every node, with `start_i` of its sources::

    start_j = 0 if only analog inputs feed it, else d + max start_i
    firing window [start_j, start_j + T), bias window the T steps from start_j - d
    delay of an edge i -> j = start_j - d - start_i

Relays and readouts do not hold off: they take the latest start of their sources, and their edges
are delayed to match.
"""

from __future__ import annotations

from dataclasses import replace

from snnconvert.convert.errors import UsageError
from snnconvert.convert.network import Connection, Input, Network, NetworkNode, Population, Relay

NONE, FULL = "none", "full"
TRAP_STEPS = 16
"""From this T on, a hold-off below three quarters of T is worse than none with plain neurons."""


def apply_schedule(
    network: Network, schedule: str | int, timesteps: int
) -> tuple[Network, tuple[str, ...]]:
    """Return the network with firing windows, bias windows and delays set.

    Parameters
    ----------
    network : Network
        Without windows and delays.
    schedule : {"none", "full"} or int
        No windows; a hold-off of T steps; a hold-off of that many steps.
    timesteps : int
        T.

    Returns
    -------
    network : Network
    warnings : tuple of str

    Raises
    ------
    UsageError
        If the schedule is unknown or the hold-off out of range.
    """
    hold_off = _hold_off(schedule, timesteps)
    if hold_off is None:
        return network, ()
    starts = _starts(network, hold_off)
    nodes = [_windowed(network, node, starts, hold_off, timesteps) for node in network.nodes]
    connections = tuple(_delayed(network, c, starts, hold_off) for c in network.connections)
    staged = replace(network, nodes=tuple(nodes), connections=connections, timesteps=timesteps)
    return staged, _warnings(hold_off, timesteps)


def _hold_off(schedule: str | int, timesteps: int) -> int | None:
    if schedule == NONE:
        return None
    if schedule == FULL:
        return timesteps
    if not isinstance(schedule, int):
        raise UsageError(
            f"unknown schedule {schedule!r}", hint="known: none, full, or a hold-off in steps"
        )
    if schedule < 0:
        raise UsageError(f"a hold-off is 0 steps or more, not {schedule}")
    return schedule


def _starts(network: Network, hold_off: int) -> dict[str, int]:
    starts: dict[str, int] = {}
    for node in network.nodes:
        sources = [c.source for c in network.incoming(node.name)]
        latest = max((starts[s] for s in sources), default=0)
        spiking = any(not isinstance(network[s], Input) for s in sources)
        waits = isinstance(node, Population) and spiking
        starts[node.name] = latest + hold_off if waits else latest
    return starts


def _charges_from(network: Network, name: str, starts: dict[str, int], hold_off: int) -> int:
    """Return the step at which a node's input begins to arrive."""
    node = network[name]
    spiking = any(not isinstance(network[c.source], Input) for c in network.incoming(name))
    return starts[name] - (hold_off if isinstance(node, Population) and spiking else 0)


def _windowed(
    network: Network, node: NetworkNode, starts: dict[str, int], hold_off: int, timesteps: int
) -> NetworkNode:
    start = starts[node.name]
    if isinstance(node, Input):
        return replace(node, start=0, stop=timesteps)
    charge = _charges_from(network, node.name, starts, hold_off)
    if isinstance(node, Population):
        return replace(
            node,
            start=start,
            stop=start + timesteps,
            bias_start=charge,
            bias_stop=charge + timesteps,
        )
    if isinstance(node, Relay):
        return node
    return replace(node, start=start, bias_start=start, bias_stop=start + timesteps, discard=0.0)


def _delayed(
    network: Network, connection: Connection, starts: dict[str, int], hold_off: int
) -> Connection:
    charge = _charges_from(network, connection.target, starts, hold_off)
    return replace(connection, delay=charge - starts[connection.source])


def _warnings(hold_off: int, timesteps: int) -> tuple[str, ...]:
    if timesteps >= TRAP_STEPS and 0 < 4 * hold_off < 3 * timesteps:
        return (
            f"a hold-off of {hold_off} steps at T = {timesteps} usually loses accuracy with plain "
            f"neurons; use --schedule none, full, or at least {-(-3 * timesteps // 4)} steps",
        )
    return ()
