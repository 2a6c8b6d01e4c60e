"""NumPy's matrix products on one thread.

OpenBLAS, which NumPy's wheels bring, lets its threads wait for one another by spinning. The many
small products of an evaluation wait often: where other processes wanted the processors too, two
threads took ten to twenty times as long as one.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

FOLDERS = ("../numpy.libs", ".dylibs")
"""Where wheels for Linux and Windows, and for macOS, keep their libraries."""

NAMES = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_")


_lock = threading.Lock()
_before: list[int] = []
"""What was set when each thread of the process came in; the first one's is put back by the last."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy multiply matrices on one thread; nothing happens where it has another library.

    The setting is the process's: what its other threads multiply meanwhile takes one thread too.
    """
    found = _thread_functions()
    if found is None:
        yield
        return
    get, put = found
    noted = False
    try:
        with _lock:
            _before.append(get())
            noted = True  # an interruption before that must not take out what another noted
            put(1)
        yield
    finally:
        if noted:
            with _lock:
                before = _before.pop()
                if not _before:
                    put(before)


@cache
def _thread_functions() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return OpenBLAS's functions that read and set its number of threads."""
    package = Path(np.__file__).parent
    for path in (p for folder in FOLDERS for p in (package / folder).glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))  # loaded already: the very one that NumPy uses
        except OSError:  # a file that is no library: threads are a matter of speed alone
            continue
        for name in NAMES:
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None
