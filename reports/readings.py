"""One output of the network on some rows, in the forms that metrics read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray, Shape

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class OutputLayout:
    """An output as its readout decodes it, and as the ONNX file gives it.

    Attributes
    ----------
    name : str
        What the ONNX file calls it.
    shape : tuple of int
        Of the readout, batch not counted: the values in front of the output functions.
    given : tuple of int
        Of the ONNX output.
    readout : str
        The network's name for it; empty where that is the same.
    finish : callable or None
        Applies the output functions (Softmax, Sigmoid, ArgMax, ...) to (n, *shape); None where
        there are none.
    rounded : callable or None
        What quantisers at the network's end do to decoded values (..., *shape): no neuron stands
        for them; None where there are none.
    class_axis : int or None
        Axis of `shape` along which a Softmax or an ArgMax goes; None without one.
    probability : bool
        Whether it ends in a Sigmoid.
    """

    name: str
    shape: Shape
    given: Shape
    readout: str = ""
    finish: Callable[[FloatArray], FloatArray] | None = None
    rounded: Callable[[FloatArray], FloatArray] | None = None
    class_axis: int | None = None
    probability: bool = False


class Reading:
    """Values of one output after `steps` timesteps each.

    Parameters
    ----------
    layout : OutputLayout
    axis : int or None
        Axis of the readout's shape that counts the classes; None where every entry is a decision
        of its own, for class 1 where it is positive.
    scores : (steps, n, *shape) array
        In front of the output functions.
    finished : (steps, n, *given) array, optional
        Behind them; default: computed when asked for.
    """

    def __init__(
        self,
        layout: OutputLayout,
        axis: int | None,
        scores: Array,
        finished: Array | None = None,
    ) -> None:
        self.layout, self.axis = layout, axis
        self.scores = scores
        self._finished = finished

    @property
    def size(self) -> tuple[int, int]:
        """Steps and rows."""
        return self.scores.shape[0], self.scores.shape[1]

    def rows(self, here: slice) -> Reading:
        """Return the reading of some rows."""
        finished = None if self._finished is None else self._finished[:, here]
        return Reading(self.layout, self.axis, self.scores[:, here], finished)

    @cached_property
    def classes(self) -> Array:
        """(steps, n, classes, positions): one class means a decision by the sign."""
        if self.axis is None:
            return self.scores.reshape(*self.size, 1, math.prod(self.layout.shape))
        moved = np.moveaxis(self.scores, 2 + self.axis, 2)
        return moved.reshape(*moved.shape[:3], math.prod(moved.shape[3:]))

    @cached_property
    def decided(self) -> Labels:
        """(steps, n, positions) classes: the largest score, the first of several."""
        if self.classes.shape[2] == 1:
            return np.asarray(self.classes[:, :, 0] > 0, np.int64)
        return np.asarray(self.classes.argmax(axis=2))

    @cached_property
    def finished(self) -> Array:
        """(steps, n, *given): what the ONNX file would give."""
        if self._finished is not None:
            return self._finished
        steps, rows = self.size
        flat = self.scores.reshape(-1, *self.scores.shape[2:])
        if self.layout.finish is not None:
            flat = self.layout.finish(flat)
        return flat.reshape(steps, rows, *self.layout.given)

    @property
    def entries(self) -> FloatArray:
        """(steps, n, entries): the same, flat and in float64."""
        entries = math.prod(self.layout.given)
        return np.asarray(self.finished, np.float64).reshape(*self.size, entries)


def vector_axis(shape: Shape) -> int | None:
    """Return the only axis longer than 1, None where there is no such axis or more than one."""
    longer = [axis for axis, extent in enumerate(shape) if extent > 1]
    return longer[0] if len(longer) == 1 else None
