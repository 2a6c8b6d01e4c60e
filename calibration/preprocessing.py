"""The preprocessing that a network was trained with: ``(x * scale - mean) / std``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import UsageError
from snnconvert.convert.linear import Shape


@dataclass(frozen=True)
class Preprocessing:
    """Scale, then shift and divide each channel: ``(x * scale - mean) / std``.

    Attributes
    ----------
    scale : float or None
        Factor of the raw values, for example 1/255.
    mean, std : tuple of float or None
        One entry, or one a channel; in units of the scaled values.

    Raises
    ------
    UsageError
        If a number is not finite, a divisor is zero or a tuple is empty.

    Examples
    --------
    >>> halves = Preprocessing(scale=0.5, mean=(1.0,), std=(2.0,))
    >>> halves.apply(np.array([[2.0, 6.0]], np.float32), channel_axis=0).tolist()
    [[0.0, 1.0]]
    """

    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            entries = getattr(self, name)
            if entries is not None:
                entries = _numbers(name, entries)
                object.__setattr__(self, name, entries)
                _require(len(entries) > 0, f"{name} is empty")
                _require(bool(np.isfinite(entries).all()), f"{name} must be finite: {entries}")
        if self.scale is not None:
            object.__setattr__(self, "scale", _numbers("scale", (self.scale,))[0])
            _require(bool(np.isfinite(self.scale)), f"scale must be finite, not {self.scale}")
            _require(self.scale != 0, "scale must not be zero")
        _require(self.std is None or all(self.std), f"std must not hold a zero: {self.std}")

    @classmethod
    def of(
        cls,
        scale: float | None,
        mean: float | Sequence[float] | None,
        std: float | Sequence[float] | None,
    ) -> Preprocessing:
        """Return what users give: one entry may be a number.

        Raises
        ------
        UsageError
        """
        return cls(scale, _entries("mean", mean), _entries("std", std))

    @property
    def is_identity(self) -> bool:
        """Whether samples stay what they are."""
        return self == Preprocessing()

    def apply(self, x: npt.NDArray[Any], channel_axis: int) -> npt.NDArray[np.float32]:
        """Return preprocessed samples.

        Parameters
        ----------
        x : (n, *shape) array
        channel_axis : int
            Axis of `shape` (batch not counted) that `mean` and `std` belong to.
        """
        if self.is_identity:
            return np.asarray(x, np.float32)
        y = np.asarray(x, np.float64)
        if self.scale is not None:
            y = y * self.scale
        if self.mean is not None:
            y = y - _along(self.mean, y.ndim, channel_axis + 1)
        if self.std is not None:
            y = y / _along(self.std, y.ndim, channel_axis + 1)
        return np.asarray(y, np.float32)

    def channel_axis(self, shape: Shape, name: str) -> int:
        """Return the axis of `shape` that has as many entries as `mean` and `std`.

        The first axis where it fits (channels first), else the last.

        Raises
        ------
        UsageError
            If neither axis fits.
        """
        for label, entries in (("mean", self.mean), ("std", self.std)):
            if entries is not None and len(entries) > 1:
                for axis in (0, len(shape) - 1):
                    if shape and shape[axis] == len(entries):
                        return axis
                raise UsageError(
                    f"{label} has {len(entries)} entries, input {name!r} has shape {shape}",
                    hint=f"give one {label}, or one for each channel",
                )
        return 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready dictionary."""
        return {
            "scale": self.scale,
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing that :meth:`to_json` wrote."""
        mean, std = fields.get("mean"), fields.get("std")
        return cls(
            scale=fields.get("scale"),
            mean=None if mean is None else tuple(mean),
            std=None if std is None else tuple(std),
        )


def _numbers(name: str, entries: Iterable[Any]) -> tuple[float, ...]:
    try:
        return tuple(float(entry) for entry in entries)
    except (TypeError, ValueError) as error:
        kind = "a number" if name == "scale" else "a sequence of numbers"
        raise UsageError(f"preprocessing: {name} must be {kind}: {error}") from error


def _entries(name: str, given: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    return _numbers(name, (given,) if isinstance(given, float | int) else np.atleast_1d(given))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(f"preprocessing: {message}")


def _along(entries: Sequence[float], rank: int, axis: int) -> npt.NDArray[np.float64]:
    if len(entries) == 1:
        return np.asarray(entries[0], np.float64)
    return np.asarray(entries, np.float64).reshape([-1 if a == axis else 1 for a in range(rank)])
