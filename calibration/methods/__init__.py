"""Threshold methods, one a file.

Every module of this package is scanned; a method registers itself with :func:`calibration_method`.
"""

from snnconvert.calibration.methods.registry import (
    CalibrationMethod,
    calibration_method,
    calibration_methods,
    get_method,
)

__all__ = ["CalibrationMethod", "calibration_method", "calibration_methods", "get_method"]
