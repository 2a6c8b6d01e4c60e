"""A percentile of the activations as threshold: outliers saturate, all others gain precision."""

from __future__ import annotations

from dataclasses import dataclass

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.methods.registry import CalibrationMethod, calibration_method
from snnconvert.convert.errors import UsageError


@calibration_method("percentile")
@dataclass(frozen=True, kw_only=True)
class Percentile(CalibrationMethod):
    """The p-th percentile of all activations of the calibration set, zeros included.

    Implementations differ: SNN Toolbox leaves zeros out, others average the percentiles of
    batches. This is one percentile of the whole set.

    Attributes
    ----------
    percentile : float
        In (0, 100]; 100 is the maximum.

    Raises
    ------
    UsageError
        If it is out of range, or at most 1 and so meant as a share.

    References
    ----------
    Rueckauer et al. 2017, "Conversion of continuous-valued deep networks to efficient
    event-driven networks for image classification", section 2.2.2.
    """

    percentile: float = 99.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.percentile <= 100:
            raise UsageError(f"percentile must be in (0, 100], not {self.percentile:g}")
        if self.percentile <= 1:
            raise UsageError(
                f"percentile {self.percentile:g} would make nearly every neuron saturate",
                hint="percentiles go up to 100: did you mean 99.9?",
            )

    def threshold(self, distribution: Distribution) -> float:
        """Return the percentile; the maximum where fewer activations are positive than it skips."""
        return distribution.quantile(self.percentile / 100) or distribution.maximum
