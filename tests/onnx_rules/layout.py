"""Rules for operators that move values about."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx_grammar import BATCH, Sketch, Value, rule


@rule("Reshape", oldest=9)
def _reshape(s: Sketch) -> None:
    s.reshaped(s.value(), s.integer(1, 4))


@rule("Flatten", oldest=9)
def _flatten(s: Sketch) -> None:
    s.add("Flatten", [s.value()], axis=1)


@rule("Transpose", oldest=9)
def _transpose(s: Sketch) -> None:
    x = s.value(1, 4)
    order = list(range(1, len(x.shape) + 1))
    for i in range(len(order) - 1):
        j = s.integer(i, len(order) - 1)
        order[i], order[j] = order[j], order[i]
    s.add("Transpose", [x], perm=[0, *order])


@rule("Unsqueeze", "Squeeze")
def _squeeze(s: Sketch) -> None:
    x = s.value(1, 3)
    axis = s.integer(1, len(x.shape) + 1)
    y = s.add("Unsqueeze", [x, s.integers(axis)])
    if s.flag():
        s.add("Squeeze", [y, s.integers(axis)])


@rule("Concat", oldest=9)
def _concat(s: Sketch) -> None:
    x = s.value(1, 3)
    axis = s.integer(1, len(x.shape))
    parts: list[Value | str] = [x]
    parts += [s.like(x) for _ in range(s.integer(1, 2))]
    s.add("Concat", parts, axis=axis)


@rule("Slice")
def _slice(s: Sketch) -> None:
    x = s.value()
    axis = s.integer(1, len(x.shape))
    extent = x.shape[axis - 1]
    start = s.integer(0, extent - 1)
    bounds = s.pick([(start, extent, 1), (start, extent, 2), (start, -extent - 1, -1)])
    s.add("Slice", [x, *(s.integers(n) for n in (bounds[0], bounds[1], axis, bounds[2]))])


@rule("Split")
def _split(s: Sketch) -> None:
    x = s.value()
    axis = s.integer(1, len(x.shape))
    extent = x.shape[axis - 1]
    if extent < 2:
        s.add("Identity", [x])
        return
    first = s.integer(1, extent - 1)
    lengths = s.integers(first, extent - first)
    s.offer(*s.raw_node("Split", [x, lengths], outputs=2, axis=axis))


@rule("Gather")
def _gather(s: Sketch) -> None:
    x = s.value()
    axis = s.integer(1, len(x.shape))
    extent = x.shape[axis - 1]
    shape = s.pick([(), (2,), (1, 2)])
    positions = s.rng.integers(-extent, extent, shape)
    if len(x.shape) - 1 + len(shape) > 4 or (not shape and len(x.shape) == 1):
        positions = np.atleast_1d(positions.reshape(-1)[0])
    s.add("Gather", [x, s.constant(np.asarray(positions, np.int64))], axis=axis)


def _positions(s: Sketch, x: Value, axis: int) -> np.ndarray:
    """Return positions along an axis, all different, one for each element of a smaller value."""
    shape = [s.integer(1, extent) for extent in x.shape]
    extent = x.shape[axis - 1]
    order = s.rng.permuted(np.tile(np.arange(extent), (math.prod(shape), 1)), axis=1)
    picked = np.moveaxis(order.reshape(*shape, extent), -1, axis - 1)
    first = order[: math.prod(shape) // shape[axis - 1]].reshape(
        *(n for a, n in enumerate(shape) if a != axis - 1), extent
    )
    del picked
    along = np.moveaxis(first, -1, axis - 1)
    kept = np.take(along, np.arange(shape[axis - 1]), axis=axis - 1)
    return np.repeat(kept[None], BATCH, axis=0).astype(np.int64)


@rule("GatherElements", fixed=True)
def _gather_elements(s: Sketch) -> None:
    x = s.value(1, 3)
    axis = s.integer(1, len(x.shape))
    s.add("GatherElements", [x, s.constant(_positions(s, x, axis))], axis=axis)


@rule("GatherND", fixed=True)
def _gather_slices(s: Sketch) -> None:
    x = s.value(1, 3)
    picked = s.rng.integers(0, x.shape[0], (1, s.integer(1, 3), 1))
    positions = s.constant(np.repeat(picked, BATCH, axis=0).astype(np.int64))
    s.add("GatherND", [x, positions], batch_dims=1)


def _scatter(s: Sketch, operator: str, **options: Any) -> None:
    x = s.value(1, 3)
    axis = s.integer(1, len(x.shape))
    positions = _positions(s, x, axis)
    updates = s.input(positions.shape[1:])
    s.add(operator, [x, s.constant(positions), updates], axis=axis, **options)


@rule("ScatterElements", fixed=True)
def _scatter_elements(s: Sketch) -> None:
    options = {"reduction": s.pick(["none", "add"])} if s.opset >= 16 else {}
    _scatter(s, "ScatterElements", **options)


@rule("Scatter", oldest=9, newest=9, fixed=True)
def _old_scatter(s: Sketch) -> None:
    _scatter(s, "Scatter")


@rule("ScatterND", fixed=True)
def _scatter_slices(s: Sketch) -> None:
    x = s.value(1, 3)
    rows = s.rng.permutation(x.shape[0])[: s.integer(1, x.shape[0])]
    positions = np.array([[[sample, row] for row in rows] for sample in range(BATCH)], np.int64)
    updates = s.input((len(rows), *x.shape[1:]))
    options = {"reduction": s.pick(["none", "add"])} if s.opset >= 16 else {}
    s.add("ScatterND", [x, s.constant(positions), updates], **options)


@rule("Pad")
def _pad(s: Sketch) -> None:
    x = s.value(1, 3)
    mode = s.pick(["constant", "constant", "edge", "reflect"])
    low = -1 if mode == "constant" and min(x.shape) > 3 else 0
    high = min(2, *(extent - 1 for extent in x.shape)) if mode == "reflect" else 2
    pads = [0 if i % (len(x.shape) + 1) == 0 else s.integer(low, max(high, 0))
            for i in range(2 * (len(x.shape) + 1))]  # fmt: skip
    inputs: list[Value | str] = [x, s.integers(*pads)]
    if mode == "constant" and s.flag():
        inputs.append(s.floats(s.pick([0.0, 0.5])))
    s.add("Pad", inputs, mode=mode)


@rule("Expand")
def _expand(s: Sketch) -> None:
    x = s.value(1, 3)
    unit = s.reshape(x, (1, *x.shape)) if s.flag() else x
    target = [1, *(s.integer(2, 4) if extent == 1 else extent for extent in unit.shape)]
    s.add("Expand", [unit, s.integers(*target)])


@rule("Tile")
def _tile(s: Sketch) -> None:
    x = s.value(1, 3)
    s.add("Tile", [x, s.integers(1, *(s.integer(1, 2) for _ in x.shape))])


@rule("DepthToSpace")
def _depth_to_space(s: Sketch) -> None:
    height, width = s.shape(2)
    x = s.input((4 * s.integer(1, 2), height, width))
    s.add("DepthToSpace", [x], blocksize=2, mode=s.pick(["DCR", "CRD"]))


@rule("SpaceToDepth")
def _space_to_depth(s: Sketch) -> None:
    x = s.input((s.integer(1, 2), 2 * s.integer(1, 3), 2 * s.integer(1, 2)))
    s.add("SpaceToDepth", [x], blocksize=2)


@rule("Shape")
def _shape(s: Sketch) -> None:
    """Flatten as exporters write it: the batch read from the value's own shape."""
    x = s.value()
    (shape,) = s.raw_node("Shape", [x], batched=False)
    (batch,) = s.raw_node("Gather", [shape, s.integers(0)], batched=False, axis=0)
    (target,) = s.raw_node("Concat", [batch, s.integers(-1)], batched=False, axis=0)
    s.offer(*s.raw_node("Reshape", [x, target], shape=(math.prod(x.shape),)))


@rule("Size", fixed=True)
def _size(s: Sketch) -> None:
    """Divide by the number of elements, then multiply by a constant."""
    x = s.value()
    (size,) = s.raw_node("Size", [x], batched=False)
    (count,) = s.raw_node("Cast", [size], batched=False, to=1)
    (mean,) = s.raw_node("Div", [x, count])
    s.add("Mul", [mean, s.floats(float(BATCH * math.prod(x.shape)))])
