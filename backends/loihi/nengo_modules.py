"""Import nengo and nengo-loihi without the warnings that they cause.

Our other modules take both from here.

Importing this module also makes nengo-loihi fit for NumPy 2 (see ``numpy2.py``).
"""

from __future__ import annotations

import warnings

import numpy as np

from snnconvert.backends.loihi import numpy2

with warnings.catch_warnings():
    # nengo 4.1.0 takes np.core.umath.clip, NumPy 2 renamed np.core; fixed on nengo's master.
    warnings.filterwarnings("ignore", "numpy.core is deprecated", DeprecationWarning)
    # nengo-loihi 1.1.0 is its last release and warns of every nengo after 3.2.0.
    warnings.filterwarnings("ignore", "This version of `nengo_loihi` has not been tested")
    import nengo
    import nengo_loihi
    import nengo_loihi.block
    import nengo_loihi.neurons

if numpy2.is_needed(np.__version__, nengo_loihi.__version__):
    numpy2.rebind(nengo_loihi.block, nengo_loihi.neurons)

__all__ = ["nengo", "nengo_loihi"]
