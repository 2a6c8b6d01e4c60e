"""The answer that outputs give, and how answers are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.convert.errors import DataError
from snnconvert.convert.linear import FloatArray
from snnconvert.reports.statistics import paired_difference_interval, wilson_interval

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.integer[Any]]


def decide(outputs: Array) -> Labels:
    """Return the class that each row of outputs stands for.

    Parameters
    ----------
    outputs : (..., N, classes, 1, ...) array, see `rows_of_classes`
        Logits, before any softmax or sigmoid. The first of several largest wins. A single output
        is a binary decision: class 1 where it is positive.

    Returns
    -------
    (..., N) int array
    """
    if outputs.shape[-1] == 1:
        return np.asarray(outputs[..., 0] > 0, np.int64)
    return np.asarray(outputs.argmax(axis=-1))


def rows_of_classes(outputs: Array, leading: int) -> Array:
    """Flatten everything after the first `leading` axes, for heads that end in (classes, 1, 1)."""
    return outputs.reshape(*outputs.shape[:leading], -1)


def accuracy_of(outputs: Array, labels: Labels) -> float:
    """Return the share of rows of (N, classes) outputs whose answer is the label."""
    return float((decide(rows_of_classes(outputs, 1)) == labels).mean())


def agreement_of(outputs: Array, ann_outputs: Array) -> float:
    """Return the share of rows whose answer is the ANN's."""
    return accuracy_of(outputs, decide(rows_of_classes(ann_outputs, 1)))


def check_labels(labels: Array | None, rows: int, classes: int) -> Labels | None:
    """Return the labels as an int array.

    Raises
    ------
    DataError
        If there are not as many as rows, or they are no class numbers.
    """
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape != (rows,):
        raise DataError(
            f"labels of shape {labels.shape} for {rows:,} samples",
            hint="give one class number a sample",
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels of type {labels.dtype}", hint="labels are class numbers, of an integer type"
        )
    answers = max(classes, 2)
    if labels.min() < 0 or labels.max() >= answers:
        wrong = int(labels.min() if labels.min() < 0 else labels.max())
        raise DataError(
            f"label {wrong} is out of range: the network has {answers:,} classes",
            hint=f"labels are counted from 0 to {answers - 1}",
        )
    return labels


@dataclass(frozen=True)
class AccuracyRow:
    """How good the answer is after `timesteps` steps of the readout window.

    Attributes
    ----------
    timesteps : int
    latency : int
        Steps from the first input to this answer.
    accuracy : float or None
        Share of samples whose answer is the label; None without labels.
    agreement : float
        Share of samples whose answer is the ANN's.
    ci95 : (float, float) or None
        Wilson interval of the accuracy.
    """

    timesteps: int
    latency: int
    accuracy: float | None
    agreement: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class AnnResult:
    """The ANN on the same samples.

    Attributes
    ----------
    accuracy : float or None
        None without labels, like everything else here.
    ci95 : (float, float) or None
        Wilson interval.
    only_ann_correct, only_snn_correct : int or None
        Samples that only one of the two got right, the spiking network at its last timestep.
    difference : float or None
        Accuracy of the spiking network minus the ANN's.
    difference_ci95 : (float, float) or None
        Paired interval (Agresti and Min 2005).
    """

    accuracy: float | None = None
    ci95: tuple[float, float] | None = None
    only_ann_correct: int | None = None
    only_snn_correct: int | None = None
    difference: float | None = None
    difference_ci95: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class FinalAnswers:
    """Which samples were answered how at T, so that subsets of them can be compared.

    Attributes
    ----------
    agrees : (N,) bool array
        The spiking network's answer is the ANN's.
    right, ann_right : (N,) bool array or None
        The answer of either is the label; None without labels.
    """

    agrees: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_] | None = None
    ann_right: npt.NDArray[np.bool_] | None = None


class Answers:
    """Counts right and agreeing answers after every timestep, batch by batch.

    Parameters
    ----------
    timesteps : int
    labelled : bool
        Whether labels come with the rows.
    """

    def __init__(self, timesteps: int, labelled: bool) -> None:
        self.timesteps = timesteps
        self.labelled = labelled
        self.rows = 0
        self.agreeing = np.zeros(timesteps, np.int64)
        self.correct = np.zeros(timesteps, np.int64)
        self.ann_correct = 0
        self.only_ann = 0
        self.only_snn = 0
        self._final: list[tuple[npt.NDArray[np.bool_], ...]] = []

    def add(self, outputs: FloatArray, ann_outputs: Array, labels: Labels | None) -> None:
        """Count a batch.

        Parameters
        ----------
        outputs : (T, n, *shape) array
        ann_outputs : (n, *shape) array
        labels : (n,) int array or None
        """
        answers = decide(rows_of_classes(outputs, 2))
        ann = decide(rows_of_classes(ann_outputs, 1))
        self.rows += len(ann)
        agrees = answers == ann
        self.agreeing += agrees.sum(axis=1)
        if labels is None:
            self._final.append((agrees[-1],))
            return
        right = answers == labels
        ann_right = ann == labels
        self.correct += right.sum(axis=1)
        self.ann_correct += int(ann_right.sum())
        self.only_ann += int((ann_right & ~right[-1]).sum())
        self.only_snn += int((right[-1] & ~ann_right).sum())
        self._final.append((agrees[-1], right[-1], ann_right))

    def table(self, latency: int) -> tuple[AccuracyRow, ...]:
        """Return a row for every timestep; `latency` comes before the first of them."""
        n = self.rows
        return tuple(
            AccuracyRow(
                timesteps=t + 1,
                latency=latency + t + 1,
                accuracy=int(self.correct[t]) / n if self.labelled else None,
                agreement=int(self.agreeing[t]) / n,
                ci95=wilson_interval(int(self.correct[t]), n) if self.labelled else None,
            )
            for t in range(self.timesteps)
        )

    def final(self) -> FinalAnswers:
        """Return how each sample was answered at T."""
        return FinalAnswers(*(np.concatenate(parts) for parts in zip(*self._final, strict=True)))

    def ann(self) -> AnnResult:
        """Return the ANN's result and the paired comparison."""
        if not self.labelled:
            return AnnResult()
        return AnnResult(
            accuracy=self.ann_correct / self.rows,
            ci95=wilson_interval(self.ann_correct, self.rows),
            only_ann_correct=self.only_ann,
            only_snn_correct=self.only_snn,
            difference=(int(self.correct[-1]) - self.ann_correct) / self.rows,
            difference_ci95=paired_difference_interval(self.only_ann, self.only_snn, self.rows),
        )
