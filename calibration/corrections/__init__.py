"""What is changed after the thresholds, under the real spikes, where held-out rows confirm it."""

from snnconvert.calibration.corrections.selection import (
    CORRECTIONS,
    TRIAL_ROWS,
    correct_network,
    parse_corrections,
    trial_error,
    without_data,
)
from snnconvert.calibration.corrections.weight_calibration import Descent

__all__ = [
    "CORRECTIONS",
    "TRIAL_ROWS",
    "Descent",
    "correct_network",
    "parse_corrections",
    "trial_error",
    "without_data",
]
