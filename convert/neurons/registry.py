"""The registry of neuron models, and what their names say."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population, Reset


@dataclass(frozen=True)
class SpikeValues:
    """What a neuron can send in one step: 0, or a whole number from `lowest` to `highest`."""

    lowest: int
    highest: int

    @property
    def binary(self) -> bool:
        """Whether a neuron sends a spike or none: 1 or 0."""
        return (self.lowest, self.highest) == (0, 1)

    @property
    def unit(self) -> bool:
        """Whether a synapse only adds or subtracts its weight: values in {-1, 0, 1}."""
        return self.lowest >= -1 and self.highest <= 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest number type of spike trains: bool for 0 and 1."""
        if self.binary:
            return np.dtype(np.bool_)
        return np.dtype(np.int8 if self.highest <= 127 else np.int16)


@dataclass(frozen=True, eq=False)
class NeuronState:
    """What a step advances in place.

    Attributes
    ----------
    voltage : float64 array
    count : int64 array
        Sum of the spikes sent so far; never negative.
    """

    voltage: FloatArray
    count: npt.NDArray[np.int64]

    @classmethod
    def starting_at(cls, v_init: FloatArray, shape: tuple[int, ...]) -> NeuronState:
        """Return the state before the first step, v_init broadcast to `shape`."""
        voltage = np.broadcast_to(np.asarray(v_init, np.float64), shape).copy()
        return cls(voltage, np.zeros(shape, np.int64))


@runtime_checkable
class NeuronModel(Protocol):
    """Two views of one law, and what a name of the model may say.

    Attributes
    ----------
    form : str
        How users write it: "if", "graded:K".
    resets : frozenset of str
        Resets that the law has.
    """

    form: ClassVar[str]
    resets: ClassVar[frozenset[Reset]]

    @classmethod
    def spike_values(cls, parameter: str | None) -> SpikeValues:
        """Return what a neuron can send; raise a UsageError where the parameter is wrong."""

    @classmethod
    def from_population(cls, population: Population) -> NeuronModel:
        """Take the parameters of a population."""

    def initial_state(self, shape: tuple[int, ...]) -> NeuronState:
        """Return the state before the first step, for neurons of the given shape."""

    def rate(self, current: FloatArray) -> FloatArray:
        """Return the mean spike value a step for constant current as T grows."""

    def step(
        self, current: FloatArray, state: NeuronState, *, firing: bool = True
    ) -> npt.NDArray[Any]:
        """Advance `state` in place by one step and return the spikes."""


_REGISTRY: dict[str, type[NeuronModel]] = {}
_Model = TypeVar("_Model", bound=type[NeuronModel])


def neuron_model(name: str) -> Callable[[_Model], _Model]:
    """Register a neuron model under a name; twice is an error."""

    def register(model: _Model) -> _Model:
        if name in _REGISTRY:
            raise ValueError(f"neuron model {name!r} is registered twice")
        _REGISTRY[name] = model
        return model

    return register


@cache
def _scan() -> None:
    package = importlib.import_module("snnconvert.convert.neurons")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def neuron_models() -> dict[str, type[NeuronModel]]:
    """Return all registered models by name."""
    _scan()
    return dict(_REGISTRY)


def model_name(neuron: str) -> str:
    """Return the model's name without its parameter: "graded" for "graded:4"."""
    return neuron.partition(":")[0]


def get_neuron_model(neuron: str) -> type[NeuronModel]:
    """Return the model of that name, which may end in ``:`` and a parameter.

    Raises
    ------
    UsageError
        If there is none, names the nearest; if the parameter is missing, wrong or not wanted.
    """
    models = neuron_models()
    name = model_name(neuron)
    if name not in models:
        forms = [models[nearest].form for nearest in models]
        hint = did_you_mean(name, list(models)) or f"known: {', '.join(sorted(forms))}"
        raise UsageError(f"unknown neuron model {neuron!r}", hint=hint)
    models[name].spike_values(_parameter(neuron))
    return models[name]


def spike_values(neuron: str) -> SpikeValues:
    """Return what a neuron of that name can send in one step.

    Examples
    --------
    >>> spike_values("graded:4")
    SpikeValues(lowest=0, highest=4)
    """
    return get_neuron_model(neuron).spike_values(_parameter(neuron))


def neuron_of(population: Population) -> NeuronModel:
    """Return the model of a population, with its parameters."""
    return get_neuron_model(population.neuron).from_population(population)


def no_parameter(name: str, parameter: str | None) -> None:
    """Refuse a parameter where the model has none.

    Raises
    ------
    UsageError
    """
    if parameter is not None:
        raise UsageError(
            f"neuron model {name!r} takes no parameter, {f'{name}:{parameter}'!r} was given",
            hint=f"write {name}",
        )


def _parameter(neuron: str) -> str | None:
    _, colon, parameter = neuron.partition(":")
    return parameter if colon else None
