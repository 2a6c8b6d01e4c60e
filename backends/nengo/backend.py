"""What the target can do, and whether nengo is there. Nothing here imports nengo."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, ClassVar

from snnconvert.backends.base import Capabilities, check_capabilities, network_of, prepare
from snnconvert.convert.errors import (
    MissingExtraError,
    Problem,
    UnsupportedModelError,
    UsageError,
)
from snnconvert.convert.network import Network, Reset

if TYPE_CHECKING:
    from snnconvert.backends.nengo.emitted import NengoEmitted

MAXIMUM_ODD_PART = 2**14
"""Sums of one step have at most 38 bits (see ``snap.py``); spikes of height 1/dt add the bits of
the odd part of 1/dt, and float64 holds 53."""


class NengoBackend:
    """Emit a ``nengo.Network`` that spikes exactly as the reference does.

    Raises
    ------
    MissingExtraError
        If nengo is not installed.
    """

    name: ClassVar[str] = "nengo"
    default_reset: ClassVar[Reset] = "subtract"
    capabilities: ClassVar[Capabilities] = Capabilities(
        neurons=frozenset({"if", "signed", "graded"}),
        options=frozenset({"dt", "seed", "probes", "restart_every"}),
        summary="a labelled nengo.Network to run or embed, spike for spike as the reference",
    )

    def __init__(self) -> None:
        if importlib.util.find_spec("nengo") is None:
            raise MissingExtraError(
                "target 'nengo' needs the package nengo, which is not installed",
                hint='pip install "snnconvert[nengo]"',
            )

    def check(self, network: Network) -> list[Problem]:
        """Return every reason why Nengo cannot run the network."""
        empty = [
            Problem(
                code="target-limit",
                message="Nengo has no nodes without values",
                node=node.name,
                place=f"node {node.name!r} of shape {node.shape}",
                hint="remove the node from the model",
            )
            for node in network.nodes
            if 0 in node.shape
        ]
        return check_capabilities(self.name, self.capabilities, network) + empty

    def emit(
        self,
        model: Any,
        *,
        dt: float = 0.001,
        seed: int = 0,
        probes: bool = True,
        restart_every: int | None = None,
    ) -> NengoEmitted:
        """Build the ``nengo.Network`` of a SpikingModel (or a Network).

        Inside a ``with nengo.Network():`` block it becomes a part of that network, as any other
        Nengo network does.

        Parameters
        ----------
        model : SpikingModel or Network
        dt : float
            Seconds a step; spikes have height 1/dt. 1/dt must be a whole number.
        seed : int
            Seed of the ``nengo.Network``. Nothing that is emitted is random; objects that you add
            to the network draw from it.
        probes : bool
            Whether the network holds probes of all spikes and outputs. They take 8 bytes a neuron
            and step, so leave them out of an embedding that runs for long.
        restart_every : int, optional
            Steps after which all state begins anew, as if the simulation did: for a larger model
            that shows one sample after the other, each for so long.

        Raises
        ------
        UsageError
            If 1/dt is not a whole number, or too fine for exact sums; if `restart_every` ends
            before the first output.
        UnsupportedModelError
            If Nengo cannot run the network.
        """
        check_step(dt)
        network = network_of(model)
        problems = self.check(network)
        if problems:
            raise UnsupportedModelError(problems, model=f"network {network.name!r}")
        if restart_every is not None and restart_every < network.latency(1):
            raise UsageError(
                f"restart_every must be at least {network.latency(1)}, not {restart_every}",
                why="the first output comes after so many steps",
            )
        from snnconvert.backends.nengo.emitted import NengoEmitted

        return NengoEmitted(
            prepare(network), dt=dt, seed=seed, probes=probes, restart_every=restart_every
        )


def check_step(dt: float) -> None:
    """Raise a UsageError unless sums of spikes of height 1/dt are exact."""
    rate = round(1 / dt) if dt > 0 else 0
    if rate < 1 or dt != 1 / rate:
        raise UsageError(
            f"1/dt must be a whole number, not 1/{dt:g}",
            why="spikes have height 1/dt, and sums of them must be exact",
            hint="use for example dt=0.001 or dt=0.002",
        )
    odd_part = rate // (rate & -rate)
    if odd_part > MAXIMUM_ODD_PART:
        raise UsageError(
            f"dt={dt:g} is too fine: 1/dt has an odd divisor of {odd_part:,}, the limit for exact "
            f"sums is {MAXIMUM_ODD_PART:,}",
            hint="use a power of two or of ten, for example dt=0.0001",
        )
