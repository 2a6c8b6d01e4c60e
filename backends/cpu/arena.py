"""Memory for tables, in huge pages where the system has them.

Kernels read the tables of a layer at random. With pages of 4 KiB the processor's list of pages is
too short for a table of a few hundred kilobytes, and looking pages up took as long as all the
additions (16 channels: 1.13 ms a layer and image against 0.62 ms).
"""

from __future__ import annotations

import mmap
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

PAGE = 2**21
"""Bytes of a huge page on usual systems."""

LEAST = 2**15
"""Bytes of arrays that need no large pieces."""

LINE = 64
"""Bytes of a cache line: tables begin at one."""


class Arena:
    """Hands out zeroed arrays from large pieces of memory; they live as long as the arrays."""

    def __init__(self) -> None:
        self._free: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self._lock = threading.Lock()

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """Return an array of zeros."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size < LEAST:
            part = _from(np.zeros(size + LINE, np.uint8), LINE)[:size]
        else:
            with self._lock:
                if size > len(self._free):
                    self._free = _piece(size)
                part, rest = self._free[:size], -(-size // LINE) * LINE
                self._free = self._free[rest:]
        array: npt.NDArray[Any] = part.view(dtype).reshape(shape)
        return array


def _piece(least: int) -> npt.NDArray[np.uint8]:
    """Return at least so many zeroed bytes that begin at a huge page."""
    size = -(-least // PAGE) * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    if hasattr(memory, "madvise") and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return _from(np.frombuffer(memory, np.uint8), PAGE)[:size]


def _from(memory: npt.NDArray[np.uint8], boundary: int) -> npt.NDArray[np.uint8]:
    """Return memory from its first address that is a multiple of so many bytes."""
    return memory[-memory.ctypes.data % boundary :]
