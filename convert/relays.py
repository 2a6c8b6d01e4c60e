"""Inline relays: replace a shared weighted sum by a path for each pair of source and target."""

from __future__ import annotations

import math
from dataclasses import replace

from snnconvert.convert.linear import Chain
from snnconvert.convert.network import Connection, Network
from snnconvert.convert.simplify import simplify_chain


def inline_relays(network: Network, *, everything: bool = False) -> Network:
    """Return the network without the relays that cost more than they save.

    Parameters
    ----------
    network : Network
    everything : bool
        Inline all of them, whatever it costs: for targets that cannot forward weighted sums.
    """
    for relay in network.relays:
        incoming, outgoing = network.incoming(relay.name), network.outgoing(relay.name)
        joined = [
            Connection(
                a.source, b.target, simplify_chain(a.operators + b.operators), a.delay + b.delay
            )
            for a in incoming
            for b in outgoing
        ]
        kept_cost = _cost([c.operators for c in (*incoming, *outgoing)])
        if not everything and _cost([c.operators for c in joined]) > kept_cost:
            continue
        nodes = tuple(n for n in network.nodes if n.name != relay.name)
        kept = tuple(c for c in network.connections if relay.name not in (c.source, c.target))
        network = replace(network, nodes=nodes, connections=(*kept, *joined))
    return network


def _cost(chains: list[Chain]) -> int:
    """Return multiply-adds, counting a copy of a value as one."""
    operators = [operator for chain in chains for operator in chain]
    return sum(op.multiply_adds + math.prod(op.output_shape) for op in operators)
