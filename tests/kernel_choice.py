"""The ways to compute a layer, for tests that choose one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from snnconvert.backends.cpu.event_layer import EventLayer
from snnconvert.backends.cpu.kernels.layer import Method
from snnconvert.backends.cpu.kernels.native import processor

METHODS: tuple[Method, ...] = tuple(
    method for method in get_args(Method) if method != "tiles" or processor().tiles
)
"""Those of this machine."""

needs_tiles = pytest.mark.skipif(
    not processor().tiles, reason="this processor, or its system, has no tiles (AMX)"
)


def always(method: Method) -> Callable[..., Method]:
    """Return what stands for `cheapest`: one method, and events where a layer cannot have it."""

    def chosen(layer: EventLayer, *_: Any) -> Method:
        return "events" if method == "tiles" and not layer.tiled else method

    return chosen
