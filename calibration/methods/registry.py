"""The registry of threshold methods, and what all of them share."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.layer_statistics import LayerStatistics
from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.linear import FloatArray

if TYPE_CHECKING:
    from snnconvert.calibration.activations import Observed

FLOOR = 1e-4
"""Smallest threshold of a channel, as a share of the largest in its layer: thresholds further
apart than that would leave the weights of the others too few bits on a common grid."""

SITUATION = frozenset({"timesteps", "levels_per_step", "reset"})
"""Options that every caller states and that a method may have no use for."""


@dataclass(frozen=True, kw_only=True)
class CalibrationMethod(ABC):
    """A way to choose thresholds: the configuration that is logged, saved and reported.

    Attributes
    ----------
    per_channel : bool
        One threshold a channel (or a group of channels), or one a layer.
    channel_group : int
        Neighbouring channels that share a threshold.

    Raises
    ------
    UsageError
        If `channel_group` is not positive, or is given together with one threshold a layer.
    """

    name: ClassVar[str]
    per_channel: bool = True
    channel_group: int = 1

    def __post_init__(self) -> None:
        if self.channel_group < 1:
            raise UsageError(f"a group must have at least 1 channel, not {self.channel_group}")
        if self.channel_group > 1 and not self.per_channel:
            raise UsageError(
                f"groups of {self.channel_group} channels exclude one threshold a layer",
                hint="leave out one of --channel-group and --per-layer",
            )

    @abstractmethod
    def threshold(self, distribution: Distribution) -> float:
        """Return the threshold for the activations of one or several channels, not all zero."""

    def threshold_of(self, layer: LayerStatistics, channels: slice) -> float:
        """Return the threshold that some channels share; at least one of them is alive.

        Methods that need more than the distribution of the activations replace this.
        """
        return self.threshold(layer.histogram.merged(channels))

    def scales(self, observed: Observed) -> dict[str, FloatArray]:
        """Return the thresholds of every population.

        Returns
        -------
        dict of float64 arrays
            By name, in ANN units, positive; one entry a channel (or one in all), broadcastable
            to the population's shape. A dead channel gets the largest threshold of its layer
            (1 when all are dead); the ceiling of an activation is never exceeded.
        """
        return {name: self._layer(layer) for name, layer in observed.layers.items()}

    def _layer(self, layer: LayerStatistics) -> FloatArray:
        size = self.channel_group if self.per_channel else max(layer.channels, 1)
        starts = range(0, layer.channels, size)
        groups = [slice(start, min(start + size, layer.channels)) for start in starts]
        shared = [0.0 if layer.dead[g].all() else self.threshold_of(layer, g) for g in groups]
        if not self.per_channel:
            return _bounded(np.asarray(shared or [0.0]), layer).reshape((1,) * len(layer.shape))
        widths = [group.stop - group.start for group in groups]
        return layer.along_channels(_bounded(np.repeat(shared, widths), layer))

    def to_json(self) -> dict[str, Any]:
        """Return the configuration, ready for JSON."""
        return asdict(self)


def _bounded(thresholds: FloatArray, layer: LayerStatistics) -> FloatArray:
    largest = float(thresholds.max(initial=0.0)) or 1.0
    bounded = np.where(thresholds > 0, np.maximum(thresholds, FLOOR * largest), largest)
    return bounded if layer.ceiling is None else np.minimum(bounded, layer.ceiling)


_REGISTRY: dict[str, type[CalibrationMethod]] = {}
_Method = TypeVar("_Method", bound=type[CalibrationMethod])


def calibration_method(name: str) -> Callable[[_Method], _Method]:
    """Register a method under a name; twice is an error."""

    def register(method: _Method) -> _Method:
        if name in _REGISTRY:
            raise ValueError(f"calibration method {name!r} is registered twice")
        method.name = name
        _REGISTRY[name] = method
        return method

    return register


@cache
def _scan() -> None:
    package = importlib.import_module("snnconvert.calibration.methods")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def calibration_methods() -> dict[str, type[CalibrationMethod]]:
    """Return all registered methods by name."""
    _scan()
    return dict(_REGISTRY)


def get_method(name: str, **options: Any) -> CalibrationMethod:
    """Return a configured method.

    Parameters
    ----------
    name : str
        "auto", "mse", "percentile", "max", or one that was registered.
    **options
        Fields of the method's configuration; None: its default. ``timesteps``,
        ``levels_per_step`` and ``reset`` are passed over by methods that do not depend on them.

    Raises
    ------
    UsageError
        If there is no such method, or it has no such option; names the nearest.
    """
    methods = calibration_methods()
    if name not in methods:
        raise UsageError(
            f"unknown calibration method {name!r}", hint=did_you_mean(name, list(methods))
        )
    known = {field.name for field in fields(methods[name])}
    given = {key: option for key, option in options.items() if option is not None}
    for key in given:
        if key not in known | SITUATION:
            owners = [n for n, m in methods.items() if key in {f.name for f in fields(m)}]
            raise UsageError(
                f"method {name!r} has no option {key!r}",
                hint=f"use --method {owners[0]}" if owners else did_you_mean(key, sorted(known)),
            )
    return methods[name](**{key: option for key, option in given.items() if key in known})
