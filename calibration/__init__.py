"""From data to thresholds."""
