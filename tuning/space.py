"""What is searched: the options of a conversion, and the values that each may take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from snnconvert.backends.base import Capabilities
from snnconvert.calibration.corrections import CORRECTIONS, parse_corrections
from snnconvert.calibration.methods import get_method
from snnconvert.calibration.schedules import parse_schedule
from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.network import Reset
from snnconvert.convert.neurons import get_neuron_model
from snnconvert.convert.quantize import check_weight_bits
from snnconvert.convert.snap import MAXIMUM_STEPS

LADDER = (2, 4, 8, 16, 32, 64)
"""Timesteps that are tried where the user names none."""

GRANULARITIES = ("channel", "layer")

FULL_BITS = 32
"""What a float weight counts where two configurations are equal in everything else."""


@dataclass(frozen=True)
class Configuration:
    """One choice of every option that is searched.

    Attributes
    ----------
    timesteps : int
        Design T, and length of the run.
    schedule : str
    neuron : str
    method : str
    readout : str
    corrections : str
    granularity : str
        "channel", "layer" or "group:N": what shares a threshold.
    weight_bits : int or None
    """

    timesteps: int
    schedule: str = "none"
    neuron: str = "if"
    method: str = "auto"
    readout: str = "membrane"
    corrections: str = "auto"
    granularity: str = "channel"
    weight_bits: int | None = None

    @property
    def family(self) -> tuple[str, str]:
        """Neuron and schedule: what decides how accuracy grows with time."""
        return self.neuron, self.schedule

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of ``convert_model``."""
        corrections = self.corrections
        if corrections == "auto" and self.method != "auto":
            corrections = ",".join(CORRECTIONS)  # "auto" means none of them with other methods
        return {
            "timesteps": self.timesteps,
            "schedule": self.schedule,
            "neuron": self.neuron,
            "method": self.method,
            "readout": self.readout,
            "corrections": corrections,
            "per_channel": self.granularity != "layer",
            "channel_group": _group(self.granularity),
            "weight_bits": self.weight_bits,
        }

    @property
    def command_options(self) -> dict[str, Any]:
        """The same as long options of the command line, without those that are left out."""
        options = self.options
        per_channel, group = options.pop("per_channel"), options.pop("channel_group")
        bits = options.pop("weight_bits")
        options |= {} if per_channel else {"per-layer": True}
        options |= {} if group is None else {"channel-group": group}
        return options | ({} if bits is None else {"weight-bits": bits})

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"T={self.timesteps}", self.schedule, self.neuron, self.method, self.readout]
        parts += [] if self.granularity == "channel" else [self.granularity]
        parts += [] if self.corrections == "auto" else [f"corrections {self.corrections}"]
        parts += [] if self.weight_bits is None else [f"{self.weight_bits} bits"]
        return " ".join(parts)


@dataclass(frozen=True)
class Space:
    """The values of every option, the most promising first, timesteps ascending.

    Attributes
    ----------
    timesteps, schedule, neuron, method, readout, corrections, granularity, weight_bits : tuple
        As in :class:`Configuration`.
    """

    timesteps: tuple[int, ...]
    schedule: tuple[str, ...] = ("none",)
    neuron: tuple[str, ...] = ("if",)
    method: tuple[str, ...] = ("auto",)
    readout: tuple[str, ...] = ("membrane",)
    corrections: tuple[str, ...] = ("auto",)
    granularity: tuple[str, ...] = ("channel",)
    weight_bits: tuple[int | None, ...] = (None,)

    @property
    def size(self) -> int:
        """How many configurations there are."""
        count = 1
        for field in fields(self):
            count *= len(getattr(self, field.name))
        return count

    def first(self, neuron: str, schedule: str, timesteps: int) -> Configuration:
        """Return a family's configuration with the first value of every other option."""
        return Configuration(
            timesteps,
            schedule,
            neuron,
            self.method[0],
            self.readout[0],
            self.corrections[0],
            self.granularity[0],
            self.weight_bits[0],
        )

    @property
    def families(self) -> tuple[tuple[str, str], ...]:
        """Pairs of neuron and schedule, the most promising first."""
        return tuple((neuron, schedule) for schedule in self.schedule for neuron in self.neuron)

    def neighbours(self, configuration: Configuration) -> Iterator[Configuration]:
        """Yield configurations that differ in one option, of T its next values alone."""
        at = self.timesteps.index(configuration.timesteps)
        near = [self.timesteps[i] for i in (at - 1, at + 1) if 0 <= i < len(self.timesteps)]
        for timesteps in near:
            yield replace(configuration, timesteps=timesteps)
        for name in ("method", "readout", "schedule", "neuron", "granularity", "corrections"):
            for value in getattr(self, name):
                if value != getattr(configuration, name):
                    changed: dict[str, Any] = {name: value}
                    yield replace(configuration, **changed)
        for bits in self.weight_bits:
            if bits != configuration.weight_bits:
                yield replace(configuration, weight_bits=bits)

    def to_json(self) -> dict[str, list[Any]]:
        """Return the fields as lists."""
        return {name: list(values) for name, values in asdict(self).items()}


def space_for(
    capabilities: Capabilities,
    reset: Reset,
    given: Mapping[str, Any] | None = None,
    *,
    most_steps: float = MAXIMUM_STEPS,
) -> Space:
    """Return what can be searched on a target.

    Parameters
    ----------
    capabilities : Capabilities
    reset : {"subtract", "zero"}
    given : dict of sequences, optional
        Values that the user wants tried, by field of :class:`Space`, or one value; checked here.
    most_steps : float
        Timesteps beyond it cannot be of use.

    Raises
    ------
    UsageError
        If a value is unknown, or all timesteps are too many.
    """
    windows = capabilities.windows and capabilities.delays and reset == "subtract"
    neurons = [
        name
        for name in ("if", "signed")
        if name in capabilities.neurons and reset in get_neuron_model(name).resets
    ]
    defaults: dict[str, tuple[Any, ...]] = {
        "timesteps": LADDER,
        "schedule": ("none", "full", "1", "2") if windows else ("none",),
        "neuron": tuple(neurons),
        "method": ("auto", "gauss", "balance", "percentile"),
        "readout": ("membrane", "count"),
        "corrections": ("auto",),
        "granularity": GRANULARITIES,
        "weight_bits": (None,),
    }
    for name, values in (given or {}).items():
        if name not in defaults:
            raise UsageError(f"cannot search {name!r}", hint=did_you_mean(name, list(defaults)))
        one = isinstance(values, str) or not isinstance(values, Iterable)
        several = [] if values is None else [values] if one else list(values)
        if several:
            tried = [_checked(name, value, reset) for value in several]
            defaults[name] = tuple(dict.fromkeys(tried))
    steps = tuple(sorted(t for t in defaults["timesteps"] if t <= most_steps))
    if not steps:
        least = min(defaults["timesteps"])
        raise UsageError(
            f"a latency of at most {most_steps:g} steps, the least timesteps are {least}",
            hint="give fewer --timesteps",
        )
    return Space(**(defaults | {"timesteps": steps}))


def _checked(name: str, value: Any, reset: Reset) -> Any:
    """Return a value that a user gave, or refuse it."""
    if name == "timesteps":
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise UsageError(f"timesteps must be a whole number, not {value!r}")
        if not 1 <= value <= MAXIMUM_STEPS:
            raise UsageError(f"timesteps must be between 1 and {MAXIMUM_STEPS}, not {value}")
        return int(value)
    if name == "weight_bits":
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise UsageError(f"weight bits must be a whole number, not {value!r}")
        check_weight_bits(int(value))
        return int(value)
    text = str(value)
    if name == "corrections" and not isinstance(value, str):
        text = ",".join(map(str, value))
    if name == "schedule":
        parse_schedule(text, 1)
    elif name == "neuron":
        get_neuron_model(text)
    elif name == "method":
        get_method(text, timesteps=8, reset=reset)
    elif name == "corrections":
        parse_corrections(text)
    elif name == "granularity":
        _group(text)
    elif name == "readout" and text not in ("membrane", "count"):
        raise UsageError(f"unknown readout {text!r}", hint="known: membrane, count")
    return text


def _group(granularity: str) -> int | None:
    """Return the channels of a group; None for whole layers and single channels."""
    if granularity in GRANULARITIES:
        return None
    name, _, number = granularity.partition(":")
    if name != "group" or not number.isdecimal() or int(number) < 1:
        raise UsageError(
            f"unknown granularity {granularity!r}", hint="known: channel, layer, group:N"
        )
    return int(number)
