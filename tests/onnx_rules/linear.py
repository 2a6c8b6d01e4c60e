"""Rules for layers, pools and reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx_grammar import Sketch, Value, rule


def _divisor(s: Sketch, number: int) -> int:
    divisor: int = s.pick([d for d in range(1, number + 1) if number % d == 0])
    return divisor


def _window(s: Sketch, x: Value, *, dilations: bool = True) -> dict[str, Any]:
    """Return a window that fits, with strides, dilations and any spelling of the padding."""
    size, strides, spread, begins, ends = [], [], [], [], []
    for extent in x.shape[1:]:
        kernel = s.integer(1, min(3, extent))
        dilation = s.integer(1, 2) if dilations and (kernel - 1) * 2 < extent else 1
        size.append(kernel)
        spread.append(dilation)
        strides.append(s.integer(1, min(2, kernel)))
        begins.append(s.integer(0, kernel - 1))
        ends.append(s.integer(0, kernel - 1))
    window: dict[str, Any] = {"kernel_shape": size, "strides": strides}
    mode = s.pick(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    if mode == "NOTSET":
        window["pads"] = [*begins, *ends]
    else:
        window["auto_pad"] = mode
    if not mode.startswith("SAME"):
        window["dilations"] = spread
    return window


@rule("Conv", oldest=9)
def _convolution(s: Sketch) -> None:
    x = s.image()
    window = _window(s, x)
    group = _divisor(s, x.shape[0])
    channels = group * s.integer(1, 2)
    inputs: list[Value | str] = [
        x,
        s.constant(s.weights(channels, x.shape[0] // group, *window["kernel_shape"])),
    ]
    if s.flag():
        inputs.append(s.constant(s.weights(channels)))
    s.add("Conv", inputs, group=group, **window)


@rule("ConvTranspose")
def _transposed_convolution(s: Sketch) -> None:
    x = s.image()
    rank = len(x.shape) - 1
    group = _divisor(s, x.shape[0])
    kernel = [s.integer(1, 3) for _ in range(rank)]
    strides = [s.integer(1, 2) for _ in range(rank)]
    pads = [s.integer(0, (k - 1) // 2) for k in kernel]
    more = [s.integer(0, stride - 1) for stride in strides]
    weight = s.weights(x.shape[0], s.integer(1, 3), *kernel)
    inputs: list[Value | str] = [x, s.constant(weight)]
    if s.flag():
        inputs.append(s.constant(s.weights(group * weight.shape[1])))
    s.add(
        "ConvTranspose",
        inputs,
        group=group,
        kernel_shape=kernel,
        strides=strides,
        pads=[*pads, *pads],
        output_padding=more,
    )


@rule("Gemm")
def _gemm(s: Sketch) -> None:
    x = s.value(1, 1)
    outputs, transposed = s.integer(1, 5), s.flag()
    weight = s.weights(outputs, x.shape[0])
    inputs: list[Value | str] = [x, s.constant(weight if transposed else weight.T.copy())]
    if s.flag():
        inputs.append(s.constant(s.weights(s.pick([1, outputs]))))
    s.add("Gemm", inputs, transB=transposed, alpha=s.pick([1.0, 0.5]), beta=s.pick([1.0, -2.0]))


@rule("MatMul", oldest=9)
def _matrix_product(s: Sketch) -> None:
    x = s.value(1, 3)
    if len(x.shape) > 1 and s.flag():
        s.add("MatMul", [s.constant(s.weights(s.integer(1, 4), x.shape[-2])), x])
        return
    weight = s.weights(s.integer(1, 4), x.shape[-1]).T.copy()
    if len(x.shape) == 3 and s.flag():  # a matrix for each position of the leading axis
        weight = np.stack([weight * factor for factor in np.linspace(0.5, 1.5, x.shape[0])])
    s.add("MatMul", [x, s.constant(np.ascontiguousarray(weight, np.float32))])


@rule("Einsum")
def _einsum(s: Sketch) -> None:
    x = s.value(2, 3)
    letters = "abc"[: len(x.shape)]
    summed = s.pick(list(letters))
    weight = s.constant(s.weights(x.shape[letters.index(summed)], 4))
    out = letters.replace(summed, "k")
    s.add("Einsum", [x, weight], equation=f"n{letters},{summed}k->n{''.join(sorted(out))}")


@rule("AveragePool")
def _average(s: Sketch) -> None:
    x = s.image()
    window = _window(s, x, dilations=False)
    window.pop("dilations", None)
    s.add("AveragePool", [x], count_include_pad=s.flag(), **window)


@rule("MaxPool")
def _maximum(s: Sketch) -> None:
    x = s.image()
    s.add("MaxPool", [x], **_window(s, x))


@rule("GlobalAveragePool", "GlobalMaxPool", oldest=9)
def _global_pool(s: Sketch) -> None:
    s.add(s.pick(["GlobalAveragePool", "GlobalMaxPool"]), [s.image()])


@rule("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
def _reduction(s: Sketch) -> None:
    x = s.value(1, 4)
    name = s.pick(["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"])
    count = s.integer(1, len(x.shape))
    first = s.integer(1, len(x.shape) - count + 1)
    axes = list(range(first, first + count))
    keepdims = s.flag()
    if name == "ReduceSum" or s.opset >= 18:
        y = s.add(name, [x, s.integers(*axes)], keepdims=keepdims)
    else:
        y = s.add(name, [x], axes=axes, keepdims=keepdims)
    if name == "ReduceSum":  # keeps values near 1
        scale = 1 / math.prod(x.shape[a - 1] for a in axes)
        s.add("Mul", [y, s.floats(scale)])


@rule("ReduceL1")
def _magnitudes(s: Sketch) -> None:
    x = s.value(1, 4)
    axis = s.integer(1, len(x.shape))
    if s.opset >= 18:
        y = s.add("ReduceL1", [x, s.integers(axis)], keepdims=s.flag())
    else:
        y = s.add("ReduceL1", [x], axes=[axis], keepdims=s.flag())
    s.add("Mul", [y, s.floats(1 / x.shape[axis - 1])])  # keeps values near 1


@rule("Resize")
def _resize(s: Sketch) -> None:
    x = s.image(2)
    mode = s.pick(["nearest", "linear", "cubic"])
    factors = [s.pick([2.0, 3.0, 1.5, 1.0, 0.5 if n > 1 else 1.0]) for n in x.shape[1:]]
    scales = s.floats([1.0, 1.0, *factors])
    options: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": s.pick(["half_pixel", "asymmetric", "align_corners"]),
    }
    if mode == "nearest":
        options["nearest_mode"] = s.pick(["floor", "round_prefer_floor", "ceil"])
    s.add("Resize", [x, "", scales], **options)


@rule("Upsample", oldest=9, newest=9)
def _upsample(s: Sketch) -> None:
    scales = s.floats([1.0, 1.0, float(s.integer(1, 3)), float(s.integer(1, 2))])
    s.add("Upsample", [s.image(2), scales], mode=s.pick(["nearest", "linear"]))
