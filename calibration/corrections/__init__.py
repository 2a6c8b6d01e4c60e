"""What is changed after the thresholds, under the real spikes, where held-out rows confirm it."""

from snnconvert.calibration.corrections.selection import (
    CORRECTIONS,
    correct_network,
    parse_corrections,
    without_data,
)

__all__ = ["CORRECTIONS", "correct_network", "parse_corrections", "without_data"]
