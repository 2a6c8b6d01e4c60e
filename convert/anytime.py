"""When a sample's answer is safe enough to stop: thresholds for the margin, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snnconvert.convert.linear import FloatArray


@dataclass(frozen=True, eq=False)
class AnytimeRule:
    """Stop a sample at the first step whose margin reaches that step's threshold.

    The margin is the difference between the two largest decoded values; of a single logit its
    distance from 0. A sample that never reaches a threshold runs to the end.

    Attributes
    ----------
    output : str
        The output whose margin is watched, by its ONNX name.
    thresholds : (T,) float64 array
        In the ANN's units, not negative, never rising; infinite: no sample stops there.
    tolerance : float
        Share of the calibration rows whose answer the rule was allowed to change.
    factor : float
        Thresholds over the spread that margins have around their last value.
    rows : int
        Calibration rows, every other one held out.
    fitted, held_out : float
        Share of the rows of each half that stop with another answer than their last one.
    mean_timesteps : float
        On the calibration rows.
    """

    output: str
    thresholds: FloatArray
    tolerance: float = 0.0
    factor: float = 0.0
    rows: int = 0
    fitted: float = 0.0
    held_out: float = 0.0
    mean_timesteps: float = 0.0

    def __post_init__(self) -> None:
        t = np.asarray(self.thresholds, np.float64)
        if t.ndim != 1 or not t.size or np.isnan(t).any() or (t < 0).any():
            raise ValueError("thresholds of a margin are one number a step, none below 0")
        object.__setattr__(self, "thresholds", t)

    @classmethod
    def constant(cls, output: str, margin: float, timesteps: int) -> AnytimeRule:
        """Return a rule with the same threshold in every step.

        Parameters
        ----------
        output : str
        margin : float
            0 stops at the first step, infinity never.
        timesteps : int
        """
        return cls(output, np.full(timesteps, float(margin)))

    @property
    def timesteps(self) -> int:
        """The window T that it was made for."""
        return len(self.thresholds)

    def stops(self, classes: FloatArray) -> npt.NDArray[np.int64]:
        """Return after how many steps, 1 to T, each sample stops.

        Parameters
        ----------
        classes : (T, n, classes) array
            Decoded values after each step.
        """
        return stopping_times(margins(classes), self.thresholds)


def margins(classes: FloatArray) -> FloatArray:
    """Return the margins (T, n) of decoded values (T, n, classes).

    Examples
    --------
    >>> margins(np.array([[[1.0, 4.0, 2.5]]])), margins(np.array([[[-0.5]]]))
    (array([[1.5]]), array([[0.5]]))
    """
    values = np.asarray(classes, np.float64)
    if values.shape[2] == 1:
        return np.abs(values[:, :, 0])
    largest = np.partition(values, -2, axis=2)
    return np.asarray(largest[:, :, -1] - largest[:, :, -2])


def stopping_times(margin: FloatArray, thresholds: FloatArray) -> npt.NDArray[np.int64]:
    """Return the first step, from 1, at which a margin (T, n) reaches its threshold; else T."""
    reached = margin >= thresholds[:, None]
    reached[-1] = True
    return np.asarray(reached.argmax(axis=0) + 1, np.int64)
