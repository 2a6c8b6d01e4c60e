"""Let nengo-loihi 1.1.0 run with NumPy 2.

It calls ``np.array(x, ..., copy=False)`` in six places and means NumPy 1's "copy only if needed".
NumPy 2 made that "raise if a copy is needed" and spells the old meaning ``copy=None``. The two
modules that make the calls get a stand-in for their name ``np``; NumPy itself is left alone.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

LAST_AFFECTED = (1, 1)
"""Major and minor version of the last release of nengo-loihi that makes the calls."""


class NumPy1Array:
    """NumPy, except that ``array(copy=False)`` copies where it has to, as NumPy 1 did."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def array(obj: Any, *args: Any, copy: bool | None = True, **keywords: Any) -> npt.NDArray[Any]:
        """Return ``numpy.array``, with ``copy=False`` as "copy only if needed"."""
        return np.array(obj, *args, copy=None if copy is False else copy, **keywords)


def is_needed(numpy_version: str, nengo_loihi_version: str) -> bool:
    """Tell whether these two versions clash."""
    major, minor = (int(part) for part in nengo_loihi_version.split(".")[:2])
    return int(numpy_version.split(".")[0]) >= 2 and (major, minor) <= LAST_AFFECTED


def rebind(*modules: ModuleType) -> None:
    """Give the modules the stand-in as their name ``np``; a second time changes nothing."""
    for module in modules:
        if not isinstance(vars(module)["np"], NumPy1Array):
            vars(module)["np"] = NumPy1Array()
