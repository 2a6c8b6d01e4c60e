"""Gathered figures as plain states, so that an interrupted evaluation goes on where it stopped.

A state holds arrays, numbers, texts, lists and dictionaries only. What gathers figures names the
attributes that grow; a state is a copy of them, and restoring it leaves the object as it was then,
bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

State: TypeAlias = dict[str, Any]


class Checkpoint(Protocol):
    """Where the states of one stage of an evaluation are kept."""

    @property
    def state(self) -> State | None:
        """What an earlier run kept last; None where there is nothing."""

    def keep(self, state: State) -> None:
        """Keep a state in the place of the one before."""


class Stages(Protocol):
    """Where the states of several stages are kept."""

    def stage(self, name: str, /) -> Checkpoint:
        """Return the checkpoint of one of them."""


class Nowhere:
    """Keeps nothing."""

    state: State | None = None

    def keep(self, state: State) -> None:
        """Forget the state."""


class Resumable:
    """What gathers figures in the attributes that ``growing`` names."""

    growing: ClassVar[tuple[str, ...]] = ()

    def state(self) -> State:
        """Return a copy of what was gathered."""
        return {name: _copied(getattr(self, name)) for name in self.growing}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what was gathered before.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the state is of another object.
        """
        for name in self.growing:
            setattr(self, name, _restored(getattr(self, name), state[name], name))


def _copied(value: Any) -> Any:
    if isinstance(value, Resumable):
        return value.state()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {name: _copied(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):  # arrays in lists are never written to again
        return [entry if isinstance(entry, np.ndarray) else _copied(entry) for entry in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _restored(current: Any, stored: Any, name: str) -> Any:
    if isinstance(current, Resumable):
        current.restore(stored)
        return current
    if isinstance(current, np.ndarray):
        if stored.dtype != current.dtype or stored.shape != current.shape:
            raise ValueError(f"{name} has shape {stored.shape}, not {current.shape}")
        return stored.copy()
    if isinstance(current, Mapping) and current:
        return {key: _restored(entry, stored[key], key) for key, entry in current.items()}
    if isinstance(current, list) and current:
        pairs = zip(current, stored, strict=True)
        return [_restored(entry, entries, name) for entry, entries in pairs]
    if is_dataclass(current) and not isinstance(current, type):
        return type(current)(**stored)
    if isinstance(current, int | float) and not isinstance(stored, int | float):
        raise TypeError(f"{name} is {stored!r}, no number")
    return list(stored) if isinstance(current, list) else stored
