"""The kernels of layers, compiled."""

from __future__ import annotations

from functools import cache

from snnconvert.backends.cpu.kernels.layer import Form, LayerWriter
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel
from snnconvert.backends.cpu.kernels.tiles import TileWriter


@cache
def layer_kernel(form: Form) -> Kernel:
    """Return the compiled kernel of a form."""
    writer = TileWriter if form.method == "tiles" else LayerWriter
    return compile_kernel(form.name, writer(form).emit())
