"""Nengo itself: imported without the one warning that it causes, used in double precision."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

with warnings.catch_warnings():
    # nengo 4.1.0 takes np.core.umath.clip, NumPy 2 renamed np.core; fixed on nengo's master.
    warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
    import nengo

__all__ = ["double_precision", "nengo"]


@contextmanager
def double_precision() -> Iterator[None]:
    """Let Nengo build in float64, whatever the user's nengorc says: sums are exact there."""
    bits = nengo.rc.get("precision", "bits")
    nengo.rc.set("precision", "bits", "64")
    try:
        yield
    finally:
        nengo.rc.set("precision", "bits", bits)
