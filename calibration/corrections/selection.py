"""Choose the corrections that bring the outputs for held-out rows closest to the ANN's.

A recipe is a sequence of corrections that every population goes through, in order, on the spikes of
the corrected populations before it. What one correction brings depends on the others, and there are
few: every recipe is tried on some rows. What a refit of weights brings also depends on how many
rows make it, so the best recipes then compete on more of them ("successive halving", Jamieson and
Talwalkar 2016), and all rows make the chosen one. Labels are not needed: the logits are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy.typing as npt

from snnconvert.calibration.corrections.passes import LEAST_GAIN, Count, Pass, Progress
from snnconvert.calibration.corrections.weight_calibration import (
    LEAST_ROWS,
    Descent,
    tune_weights,
)
from snnconvert.calibration.readout import EVEN, READINGS
from snnconvert.calibration.replay import FITTED, Teacher
from snnconvert.convert.blas import one_blas_thread
from snnconvert.convert.errors import UsageError, did_you_mean
from snnconvert.convert.graph import Graph
from snnconvert.convert.network import Network
from snnconvert.reports.checkpoint import Checkpoint, Nowhere

CORRECTIONS = ("weights", "thresholds", "bias", "potentials")
"""All of them, in the order in which a population goes through them."""

TRIAL_ROWS = 64
"""Rows on which corrections are tried before all rows make the chosen ones."""

WHOLE_TRIAL_ROWS = 256
"""The same where steps need not be replayed one by one."""

MEANS = frozenset({"bias", "potentials"})
"""Both move the mean of a channel: a recipe has one of them."""

FINALISTS = 3
"""Recipes that are tried again on more rows."""

SHARE_AGAIN = 0.5
"""Share of the rows on which they are, where steps are replayed one by one: the time that it takes
goes into more rows for the chosen one."""


def parse_corrections(corrections: str | Sequence[str], *, whole: bool = False) -> tuple[str, ...]:
    """Return the names of the corrections to try, in order.

    Parameters
    ----------
    corrections : "auto", "none" or names
        Names as a sequence, or between commas.
    whole : bool
        Whether all of a population's charge is there before it fires. "auto" then leaves the
        thresholds alone: those of the histograms are for just such currents. Potentials it leaves
        out as well: they are biases then, within narrower bounds.

    Raises
    ------
    UsageError
        If a name is unknown; names the nearest.
    """
    if isinstance(corrections, str):
        if corrections in ("auto", "none"):
            if corrections == "none":
                return ()
            return ("weights", "bias") if whole else CORRECTIONS
        corrections = [name.strip() for name in corrections.split(",")]
    for name in corrections:
        if name in ("auto", "none"):
            raise UsageError(
                f"{name!r} cannot be one of several corrections", hint=f"give {name} alone"
            )
        if name not in CORRECTIONS:
            raise UsageError(
                f"unknown correction {name!r}",
                hint=did_you_mean(name, [*CORRECTIONS, "auto", "none"]),
            )
    return tuple(name for name in CORRECTIONS if name in corrections)


def without_data(corrections: Sequence[str], ranges_known: bool) -> tuple[str, ...]:
    """Return the corrections that rows of random samples may make.

    Statistics of random samples say little about real inputs. Potentials stay within half a
    threshold whatever they say; where the file has the ranges of all activations, nothing at all
    is to be learnt from such samples.
    """
    return tuple(name for name in corrections if name == "potentials" and not ranges_known)


@one_blas_thread()  # its sums of several threads differ in the last bit, and recipes with them
def correct_network(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    *,
    corrections: Sequence[str] = CORRECTIONS,
    holdoff: int = 0,
    late_readout: bool = True,
    descent: Descent | None = None,
    progress: Progress | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with the corrections that held-out rows confirm.

    Parameters
    ----------
    network : Network
        With reset by subtraction, in ANN units. Delays and windows are not looked at.
    graph : Graph
        The lowered graph that it was built from.
    rows : dict of (n, *shape) arrays
        Preprocessed calibration rows by input name; as many are used as memory allows. Corrections
        are tried on the first of them, the best again on half of them (all where the charge
        arrives first), where every other row makes them and the remaining ones judge them; all
        rows then make the chosen ones.
    timesteps : int
        The design T.
    corrections : sequence of str
        Those to try, of ``CORRECTIONS``.
    holdoff : int
        Steps for which each population of a staged network waits.
    late_readout : bool
        Whether readouts may favour late steps: the error then is that of the best reading.
    descent : Descent, optional
        Weights are to be tuned by gradient descent after the recipe.
    progress : callable, optional
        Called with the number of populations done and in all.

    Returns
    -------
    network : Network
    record : dict
        ``corrections``: the accepted ones, the relative error of the outputs on the rows held out
        with each recipe that was tried on few rows and again on more, and the rows that made
        them; ready for JSON. ``weight_calibration``: see :func:`tune_weights`.
    """
    whole = holdoff >= timesteps
    teacher = Teacher.of(network, graph, rows, 1 if whole else timesteps)
    asked = bool(corrections) or descent is not None
    if teacher.count < 2 or not asked or not network.populations:
        return network, {"corrections": {"accepted": []}}
    size = len(network.populations)
    few = teacher.first(WHOLE_TRIAL_ROWS if whole else TRIAL_ROWS)
    more = teacher
    if not whole and teacher.count >= few.count / SHARE_AGAIN:
        more = teacher.first(int(SHARE_AGAIN * teacher.count))
    recipes = len(_recipes(corrections))
    again = min(FINALISTS + 1, recipes) if few.count < more.count else 0
    count = Count(progress, size * (recipes + again + 1))
    readings = READINGS if late_readout else (EVEN,)
    trial = Pass(network, graph, few, timesteps, holdoff, readings, FITTED, count)
    final = replace(trial, teacher=teacher)
    chosen: Checkpoint = Nowhere() if descent is None else descent.kept.stage("corrections")
    choice = chosen.state or _choose(trial, replace(trial, teacher=more), corrections).to_json()
    chosen.keep(choice)
    accepted = tuple(choice["accepted"])
    record: dict[str, Any] = {"corrections": choice | {"rows": teacher.count}}
    if descent is not None and teacher.count >= LEAST_ROWS:
        tuned, record["weight_calibration"] = tune_weights(final, accepted, descent)
        if tuned is not None:
            return tuned, record
    if not accepted:
        return network, record
    return replace(final, fitted=slice(None)).run(accepted).network, record


def trial_error(
    network: Network,
    graph: Graph,
    rows: Mapping[str, npt.NDArray[Any]],
    timesteps: int,
    recipe: Sequence[str],
    *,
    holdoff: int = 0,
    late_readout: bool = True,
) -> float:
    """Return the relative error of the outputs on held-out rows, corrected by a recipe.

    Parameters as for :func:`correct_network`; every other row makes the corrections.
    """
    teacher = Teacher.of(network, graph, rows, timesteps).first(TRIAL_ROWS)
    readings = READINGS if late_readout else (EVEN,)
    count = Count(None, 0)
    trial = Pass(network, graph, teacher, timesteps, holdoff, readings, FITTED, count)
    return trial.error(trial.run(recipe))


def _choose(few: Pass, more: Pass, corrections: Sequence[str]) -> _Choice:
    """Try every recipe on few rows, the best again on more; choose the shortest near the best."""
    tried = {recipe: few.error(few.run(recipe)) for recipe in _recipes(corrections)}
    errors = tried
    if more.teacher.count > few.teacher.count:
        best = sorted(tried, key=tried.__getitem__)[:FINALISTS]
        finalists = dict.fromkeys([*best, ()])  # whether any helps at all is asked again
        errors = {recipe: more.error(more.run(recipe)) for recipe in finalists}
    least = min(errors.values())
    near = [recipe for recipe in errors if (1 - LEAST_GAIN) * errors[recipe] <= least]
    return _Choice(min(near, key=lambda r: (len(r), errors[r])), tried, errors)


@dataclass(frozen=True)
class _Choice:
    """A recipe, and the errors that speak for it.

    Attributes
    ----------
    accepted : tuple of str
    tried, confirmed : dict of float
        Error by recipe, on few rows and on more.
    """

    accepted: tuple[str, ...]
    tried: Mapping[tuple[str, ...], float]
    confirmed: Mapping[tuple[str, ...], float]

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
        tried, confirmed = (
            {" + ".join(recipe) or "none": error for recipe, error in errors.items()}
            for errors in (self.tried, self.confirmed)
        )
        return {"accepted": list(self.accepted), "tried": tried, "confirmed": confirmed}


def _recipes(corrections: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all recipes, the shortest first, each in the order of the corrections."""
    recipes = (c for n in range(len(corrections) + 1) for c in combinations(corrections, n))
    return [recipe for recipe in recipes if len(MEANS.intersection(recipe)) <= 1]
