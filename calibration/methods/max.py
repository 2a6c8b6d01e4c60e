"""The largest activation as threshold: nothing saturates, small activations need many steps."""

from __future__ import annotations

from dataclasses import dataclass

from snnconvert.calibration.histogram import Distribution
from snnconvert.calibration.methods.registry import CalibrationMethod, calibration_method


@calibration_method("max")
@dataclass(frozen=True, kw_only=True)
class Maximum(CalibrationMethod):
    """Data-based normalisation by the maximum (Diehl et al. 2015)."""

    def threshold(self, distribution: Distribution) -> float:
        """Return the largest activation."""
        return distribution.maximum
