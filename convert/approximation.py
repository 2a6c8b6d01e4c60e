"""What stands in for a part of the network without being equal to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Approximation:
    """One node whose spiking form computes another function than the file says.

    Attributes
    ----------
    node : str
        Name of the Graph node.
    kind : str
        What sort of approximation: "curve" (fitted ramps), "quantiser" (rounding left out).
    detail : str
        What stands in for what, for people.
    rms_error, max_error : float or None
        Difference of the node's value on the calibration rows, in ANN units; None where it was
        not measured.
    """

    node: str
    kind: str
    detail: str
    rms_error: float | None = None
    max_error: float | None = None
