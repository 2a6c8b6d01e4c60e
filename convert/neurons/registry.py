"""The registry of neuron models."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Protocol, TypeVar, runtime_checkable

import numpy.typing as npt
from numpy import bool_

from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.network import Population


@runtime_checkable
class NeuronModel(Protocol):
    """Two views of one law."""

    @classmethod
    def from_population(cls, population: Population) -> NeuronModel:
        """Take the parameters of a population."""

    def initial_voltage(self, shape: tuple[int, ...]) -> FloatArray:
        """Return the voltage before the first step, of the given shape (float64)."""

    def rate(self, current: FloatArray) -> FloatArray:
        """Return the rate for constant current as T grows, in spikes a step."""

    def step(
        self, current: FloatArray, voltage: FloatArray, *, firing: bool = True
    ) -> npt.NDArray[bool_]:
        """Advance `voltage` in place by one step and return the spikes."""


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


def get_neuron_model(name: str) -> type[NeuronModel]:
    """Return the model of that name.

    Raises
    ------
    UsageError
        If there is none; names the nearest.
    """
    models = neuron_models()
    if name not in models:
        raise UsageError(f"unknown neuron model {name!r}", hint=did_you_mean(name, list(models)))
    return models[name]
