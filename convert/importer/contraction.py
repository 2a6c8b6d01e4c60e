"""Products of an activation and a constant, summed over any axes: Einsum's notation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    LinearOperator,
    ReduceSum,
    Reshape,
    Scale,
    Shape,
    Transpose,
)


def contract(
    shape: Shape, letters: str, weight: FloatArray, constant: str, result: str
) -> tuple[Chain, Shape]:
    """Return the operators that multiply an activation by a constant, and the result's shape.

    Parameters
    ----------
    shape : tuple of int
        Of the activation, batch not counted.
    letters, constant, result : str
        A letter for each axis of the activation, the constant and the result. Axes of the same
        letter are multiplied; letters that the result lacks are summed over. None occurs twice in
        one of them.
    weight : float array
    """
    extents = dict(zip(letters, shape, strict=True)) | dict(
        zip(constant, weight.shape, strict=True)
    )
    wanted = "".join(c for c in constant if c in letters or c in result)
    weight = np.einsum(f"{constant}->{wanted}", weight)
    chain = _Chain(shape, letters)
    chain.drop("".join(c for c in letters if c not in wanted and c not in result))
    alike = "".join(c for c in chain.letters if c in wanted and c in result)
    summed = "".join(c for c in chain.letters if c in wanted and c not in result)
    kept = "".join(c for c in chain.letters if c not in wanted)
    new = "".join(c for c in result if c not in chain.letters)
    sizes = [math.prod(extents[c] for c in part) for part in (alike, summed, new, kept)]
    ordered = np.einsum(f"{wanted}->{alike}{new}{summed}", weight)
    if not summed and not new:
        if wanted or weight != 1:
            chain.scale(ordered, alike)
    elif alike:
        chain.grouped(ordered.reshape(sizes[0] * sizes[2], sizes[1], 1), alike, summed, new, kept)
    else:
        chain.multiply(ordered.reshape(sizes[2], sizes[1]), summed, new, kept)
    chain.split(extents, result)
    return tuple(chain.operators), tuple(extents[c] for c in result)


class _Chain:
    """Operators in the making, with a letter for each axis of the value behind them."""

    def __init__(self, shape: Shape, letters: str) -> None:
        self.operators: list[LinearOperator] = []
        self.shape, self.letters = shape, letters

    def _add(self, operator: LinearOperator, letters: str) -> None:
        self.operators.append(operator)
        self.shape, self.letters = operator.output_shape, letters

    def drop(self, letters: str) -> None:
        """Sum over axes."""
        if not letters:
            return
        self._add(ReduceSum(self.shape, tuple(map(self.letters.index, letters))), self.letters)
        left = "".join(c for c in self.letters if c not in letters)
        rest = tuple(e for e, c in zip(self.shape, self.letters, strict=True) if c in left)
        self._add(Reshape(self.shape, rest), left)

    def order(self, letters: str) -> None:
        """Bring the axes into an order."""
        if letters != self.letters:
            self._add(Transpose(self.shape, tuple(map(self.letters.index, letters))), letters)

    def reshape(self, shape: Sequence[int]) -> None:
        """Take axes together; the letters are those of the axes they hold."""
        if tuple(shape) != self.shape:
            self._add(Reshape(self.shape, tuple(shape)), self.letters)

    def scale(self, weight: FloatArray, letters: str) -> None:
        """Multiply along some of the axes."""
        inserted = [weight.shape[letters.index(c)] if c in letters else 1 for c in self.letters]
        in_order = np.einsum(
            f"{letters}->{''.join(c for c in self.letters if c in letters)}", weight
        )
        self._add(Scale(self.shape, in_order.reshape(inserted)), self.letters)

    def multiply(self, weight: FloatArray, summed: str, new: str, kept: str) -> None:
        """Multiply by one matrix: a dense layer along the last axis."""
        self.order(kept + summed)
        lead = math.prod(self.shape[: len(kept)])
        self.reshape((lead, weight.shape[1]) if kept else (weight.shape[1],))
        self._add(Dense(self.shape, np.ascontiguousarray(weight)), kept + new)

    def grouped(self, weight: FloatArray, alike: str, summed: str, new: str, kept: str) -> None:
        """Multiply by a stack of matrices: a convolution with groups and windows of one."""
        self.order(alike + summed + kept)
        count = len(alike) + len(summed)
        groups = math.prod(self.shape[: len(alike)])
        self.reshape((groups * weight.shape[1], math.prod(self.shape[count:])))
        one = (1,)
        self._add(Convolution(self.shape, weight, one, ((0, 0),), one, groups), alike + new + kept)

    def split(self, extents: dict[str, int], result: str) -> None:
        """Take the axes apart again, in the result's order."""
        self.reshape([extents[c] for c in self.letters])
        self.order(result)
