"""Compile Numba kernels once, and keep them outside the package's own folder.

Numba's default is ``__pycache__`` beside the source. Files there that pip did not write survive an
uninstall, and the folder they keep alive then hides a later editable install.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Return where compiled kernels are kept: ``$XDG_CACHE_HOME/snnconvert``, or ``~/.cache``.

    A user without a home gets a folder among the temporary files.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        base = tempfile.gettempdir()
    return Path(base) / "snnconvert" / "numba"


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel without the global interpreter lock, cached on disk where that is possible.

    ``NUMBA_CACHE_DIR`` goes first where it is set; a folder that cannot be written only costs the
    compilation in every process.
    """
    import numba

    settings: Any = numba.config
    before = settings.CACHE_DIR
    if not before:
        settings.CACHE_DIR = str(cache_folder())
    try:
        kernel: Callable[..., Any] = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to cache in
        kernel = numba.njit(nogil=True)(function)
    finally:
        settings.CACHE_DIR = before
    return kernel
