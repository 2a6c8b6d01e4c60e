"""Choose when samples may stop: thresholds for the margin, from calibration rows without labels.

A decoded value settles as steps go by. Its spread around the last value, measured for each step as
a quantile over rows, is the shape of the thresholds; one factor scales them all. The factor is the
smallest from which on at most the tolerated share of rows, in either half of them, stops with
another answer than the one at T. Stopping where the lead of the best class is large is the idea
of Li et al., "SEENN" (NeurIPS 2023), and of Wu et al., "Optimising event-driven spiking neural
network with regularisation and cutoff" (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.backends.base import get_backend
from snnconvert.calibration.replay import FITTED, HELD_OUT
from snnconvert.convert.anytime import AnytimeRule, margins, stopping_times
from snnconvert.convert.errors import DataError, UsageError
from snnconvert.convert.judges import judges_of
from snnconvert.convert.linear import FloatArray
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.anytime import why_not_anytime

ROWS = 512
"""Calibration rows that are simulated."""

LEAST_ROWS = 8
BATCH = 64

SPREAD = 0.95
"""Quantile of the margins' distances from their last value."""

FACTORS = np.concatenate([[0.0], np.geomspace(0.01, 100.0, 129), [np.inf]])
"""Tried; 0 stops at once, infinity never."""

TOLERANCE = 0.01


def calibrate_anytime(
    snn: SpikingModel,
    rows: Mapping[str, npt.NDArray[Any]],
    *,
    tolerance: float = TOLERANCE,
    output: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> AnytimeRule:
    """Return the rule by which samples of a network may stop, on the target it was made for.

    Parameters
    ----------
    snn : SpikingModel
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows.
    tolerance : float
        Share of rows, in [0, 1), that may stop with another answer than at T.
    output : str, optional
        Default: the first.
    progress : callable, optional
        Called with the rows done and in all.

    Raises
    ------
    UsageError
        If the output is no decision between classes, or the tolerance is out of range.
    DataError
        If there are too few rows.
    """
    check_tolerance(tolerance)
    count = len(next(iter(rows.values())))
    if count < LEAST_ROWS:
        raise DataError(f"{count} calibration rows are too few to say when samples may stop")
    judge = judges_of(snn, rows, {}, score_output=output)[0]
    reason = why_not_anytime(judge)
    if reason:
        raise UsageError(reason, hint="leave out --anytime")
    parts = []
    backend = get_backend(snn.target)
    options = {"timesteps": snn.timesteps} if "timesteps" in backend.capabilities.options else {}
    emitted = backend.emit(snn, **options)
    for start in range(0, count, BATCH):
        batch = {name: array[start : start + BATCH] for name, array in rows.items()}
        result = emitted.run(batch, snn.timesteps)
        outputs = result.outputs[judge.layout.readout or judge.layout.name]
        parts.append(judge.reading(outputs).classes[..., 0])
        if progress is not None:
            progress(min(start + BATCH, count), count)
    return choose_rule(np.concatenate(parts, axis=1), judge.layout.name, tolerance)


def check_tolerance(tolerance: float) -> None:
    """Refuse a share out of range.

    Raises
    ------
    UsageError
    """
    share = "the share of answers that anytime may change"
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.number):
        raise UsageError(f"{share} is a number, not {tolerance!r}")
    if not 0 <= tolerance < 1:
        raise UsageError(f"{share} is in [0, 1), not {tolerance:g}")


def choose_rule(classes: FloatArray, output: str, tolerance: float) -> AnytimeRule:
    """Return the rule for decoded values (T, n, classes) of calibration rows."""
    margin = margins(classes)
    changed = _answers(classes) != _answers(classes[-1:])
    spread = _spread(classes, margin, slice(FITTED.start, None, FITTED.step))
    best = len(FACTORS) - 1
    shares: list[tuple[float, float]] = []
    for factor in FACTORS[::-1]:
        stops = stopping_times(margin, _scaled(spread, factor))
        wrong = changed[stops - 1, np.arange(len(stops))]
        share = (float(wrong[FITTED].mean()), float(wrong[HELD_OUT].mean()))
        if max(share) > tolerance:
            break
        shares.append(share)
        best = len(FACTORS) - len(shares)
    thresholds = _scaled(spread, FACTORS[best])
    return AnytimeRule(
        output=output,
        thresholds=thresholds,
        tolerance=tolerance,
        factor=float(FACTORS[best]),
        rows=margin.shape[1],
        fitted=shares[-1][0],
        held_out=shares[-1][1],
        mean_timesteps=float(stopping_times(margin, thresholds).mean()),
    )


def _answers(classes: FloatArray) -> npt.NDArray[np.int64]:
    if classes.shape[2] == 1:
        return np.asarray(classes[:, :, 0] > 0, np.int64)
    return np.asarray(classes.argmax(axis=2))


def _scaled(spread: FloatArray, factor: float) -> FloatArray:
    """Return factor times spread; an infinite factor lets nothing stop, a spread of 0 included."""
    if np.isinf(factor):
        return np.full(len(spread), np.inf)
    return np.asarray(factor * spread)


def _spread(classes: FloatArray, margin: FloatArray, rows: slice) -> FloatArray:
    """Return how far the last answer's lead is from its last value at each step, never rising."""
    lead = _lead(classes[:, rows])
    distance = np.quantile(np.abs(lead - lead[-1:]), SPREAD, axis=1)
    return np.asarray(np.maximum.accumulate(distance[::-1])[::-1])


def _lead(classes: FloatArray) -> FloatArray:
    """Return by how much the last step's answer is ahead of the best other class, (T, n)."""
    if classes.shape[2] == 1:
        return np.asarray(classes[:, :, 0] * np.sign(classes[-1:, :, 0]))
    last = classes[-1].argmax(axis=1)
    own = np.take_along_axis(classes, last[None, :, None], axis=2)[..., 0]
    others = classes.copy()
    np.put_along_axis(others, np.broadcast_to(last[None, :, None], (*own.shape, 1)), -np.inf, 2)
    return np.asarray(own - others.max(axis=2))
