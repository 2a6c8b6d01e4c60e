"""What the target can do, and whether nengo-loihi is there. Nothing here imports it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from snnconvert.backends.base import Capabilities, check_capabilities, network_of
from snnconvert.backends.loihi.blueprint import draw
from snnconvert.backends.loihi.planner import fan_in_problems
from snnconvert.convert.errors import (
    MissingExtraError,
    Problem,
    UnsupportedModelError,
    UsageError,
    did_you_mean,
)
from snnconvert.convert.linear import weights_of
from snnconvert.convert.network import Network, Population, Readout, Reset

if TYPE_CHECKING:
    from snnconvert.backends.loihi.emitted import LoihiEmitted

INPUTS = {"auto": "host", "host": "host", "neurons": "neurons"}
"""What each choice of `input` means; docs/loihi.md has the measurement behind "auto"."""
ENGINES = ("fast", "emulator")


class LoihiBackend:
    """Put a network on an emulated Loihi chip, with nengo-loihi.

    Raises
    ------
    MissingExtraError
        If nengo-loihi is not installed.
    """

    name: ClassVar[str] = "loihi"
    default_reset: ClassVar[Reset] = "zero"
    capabilities: ClassVar[Capabilities] = Capabilities(
        resets=frozenset({"zero"}),
        encodings=frozenset({"current"}),
        windows=False,
        delays=False,
        relays=False,
        weight_bits=False,
        exact=False,
        options=frozenset(
            {"input", "signed_input", "parity_samples", "engine", "seed", "timesteps"}
        ),
        summary="nengo-loihi's emulator of the Loihi chip: 8-bit weights, cores, reset to zero",
    )

    def __init__(self) -> None:
        missing = [name for name in ("nengo", "nengo_loihi") if not importlib.util.find_spec(name)]
        if missing:
            raise MissingExtraError(
                f"target 'loihi' needs the package {missing[-1].replace('_', '-')}, which is not "
                "installed",
                hint='pip install "snnconvert[loihi]"',
            )

    def check(self, network: Network) -> list[Problem]:
        """Return every reason why the chip cannot run the network."""
        problems = check_capabilities(self.name, self.capabilities, network)
        problems += _value_problems(network)
        return problems or fan_in_problems(draw(network, "host"))

    def emit(
        self,
        model: Any,
        *,
        input: Literal["auto", "host", "neurons"] = "auto",
        signed_input: bool = True,
        parity_samples: int = 4,
        engine: Literal["fast", "emulator"] = "fast",
        seed: int = 0,
        timesteps: int = 64,
    ) -> LoihiEmitted:
        """Build the chip of a SpikingModel (or a Network).

        Parameters
        ----------
        model : SpikingModel or Network
        input : {"auto", "host", "neurons"}
            "host": the current of the first layers is computed outside the chip and written to
            their bias registers. "neurons": input values are the bias of neurons of their own.
            "auto" is "host", which keeps more of the accuracy.
        signed_input : bool
            With input neurons: two for each value, the second for negative values.
        parity_samples : int
            Samples that ``parity`` also runs on nengo-loihi's emulator.
        engine : {"fast", "emulator"}
            What runs the samples: the integer network read back from the chip, or the emulator,
            hundreds of times slower.
        seed : int
            Of the ``nengo.Network`` and the simulator; nothing that is emitted is random.
        timesteps : int
            The readouts' membranes are given room for a window of this length.

        Raises
        ------
        UsageError
            If an option is unknown or out of range.
        UnsupportedModelError
            If the network does not fit the chip; lists every reason.
        """
        for value, known in ((input, tuple(INPUTS)), (engine, ENGINES)):
            if value not in known:
                raise UsageError(f"unknown option {value!r}", hint=did_you_mean(value, known))
        if parity_samples < 0 or timesteps < 1:
            raise UsageError("parity_samples must be at least 0 and timesteps at least 1")
        network = network_of(model)
        problems = self.check(network)
        if problems:
            raise UnsupportedModelError(problems, model=f"network {network.name!r}")
        from snnconvert.backends.loihi.emitted import LoihiEmitted, Options

        kind: Literal["host", "neurons"] = "neurons" if INPUTS[input] == "neurons" else "host"
        options = Options(kind, signed_input, parity_samples, engine, seed, timesteps)
        return LoihiEmitted(draw(network, kind, signed=signed_input), options)


def _value_problems(network: Network) -> list[Problem]:
    """Return a problem for each node or connection whose numbers no chip can hold."""
    problems = []
    for connection in network.connections:
        weights = [w for op in connection.operators if (w := weights_of(op)) is not None]
        if not all(np.isfinite(w).all() for w in weights):
            name = f"{connection.source} -> {connection.target}"
            problems.append(_not_finite(f"the weights {name!r}", connection.target))
    for node in network.nodes:
        if isinstance(node, Population | Readout) and not np.isfinite(node.bias).all():
            problems.append(_not_finite(f"the bias of {node.name!r}", node.name))
        if isinstance(node, Population) and not (
            (node.threshold > 0).all() and np.isfinite(node.threshold).all()
        ):
            problems.append(_not_finite(f"the thresholds of {node.name!r}", node.name))
    return problems


def _not_finite(what: str, node: str) -> Problem:
    return Problem(
        code="not-finite",
        message=f"{what} are infinite, NaN or not positive",
        node=node,
        place=f"node {node!r}",
        why="nengo-loihi would take such values without a word and ruin all others of the layer",
        hint="check the model's weights, and calibrate again",
    )
