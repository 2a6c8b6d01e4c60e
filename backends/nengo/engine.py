"""Import nengo without the one warning that it causes; our modules take it from here."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # nengo 4.1.0 takes np.core.umath.clip, NumPy 2 renamed np.core; fixed on nengo's master.
    warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
    import nengo

__all__ = ["nengo"]
