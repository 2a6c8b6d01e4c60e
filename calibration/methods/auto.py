"""The best ladder we have: the default."""

from __future__ import annotations

from dataclasses import dataclass

from snnconvert.calibration.methods.mse import LeastSquares
from snnconvert.calibration.methods.registry import calibration_method


@calibration_method("auto")
@dataclass(frozen=True, kw_only=True)
class Automatic(LeastSquares):
    """Thresholds of least squared error at the design T."""
