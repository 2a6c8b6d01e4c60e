"""Rules for quantised operators.

Scales are powers of two and inputs are the network's own, so that nothing is rounded but where the
operators say so: a sum that is a hair away from a tie would be a matter of who rounds. Zero points
are even: some of onnxruntime's kernels add them before they round halves to even, others after.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx_grammar import MICROSOFT, Sketch, Value, rule

Triple = list["Value | str"]


def _how(s: Sketch, *, signed: bool | None = None) -> list[str]:
    """Return a scale and a zero point."""
    signed = bool(s.flag()) if signed is None else signed
    zero = np.int8(2 * s.integer(-10, 10)) if signed else np.uint8(2 * s.integer(0, 100))
    return [s.floats(2.0 ** s.integer(-6, -4)), s.constant(zero)]


def _quantised(s: Sketch, x: Value, *, signed: bool | None = None) -> Triple:
    """Return integers, scale and zero point of a network input."""
    how = _how(s, signed=signed)
    (integers,) = s.raw_node("QuantizeLinear", [x, *how])
    return [integers, *how]


def _real(s: Sketch, integers: Value, how: list[str]) -> None:
    s.add("DequantizeLinear", [integers, *how])


def _weights(s: Sketch, *shape: int) -> Triple:
    """Return constant integers, scale and zero point."""
    integers = s.rng.integers(-100, 101, shape).astype(np.int8)
    exponent = -8 - math.ceil(math.log2(max(math.prod(shape[1:]), 1)) / 2)
    return [s.constant(integers), s.floats(2.0**exponent), s.constant(np.int8(0))]


@rule("QuantizeLinear", "DequantizeLinear")
def _pair(s: Sketch) -> None:
    integers, *how = _quantised(s, s.raw(s.integer(1, 3)))
    s.add("DequantizeLinear", [integers, *how])


@rule("com.microsoft.QuantizeLinear", "com.microsoft.DequantizeLinear")
def _other_pair(s: Sketch) -> None:
    x, how = s.raw(), _how(s)
    (integers,) = s.raw_node("QuantizeLinear", [x, *how], domain=MICROSOFT, shape=x.shape)
    (y,) = s.raw_node("DequantizeLinear", [integers, *how], domain=MICROSOFT, shape=x.shape)
    s.offer(y)


@rule("QLinearConv")
def _convolution(s: Sketch) -> None:
    x = s.raw(3)
    how = _how(s, signed=False)
    weights = _weights(s, s.integer(1, 3), x.shape[0], 2, 2)
    operands = [*_quantised(s, x, signed=False), *weights, *how]
    (y,) = s.raw_node("QLinearConv", operands, kernel_shape=[2, 2], pads=[s.flag(), 0, 0, 1])
    _real(s, y, how)


@rule("QLinearMatMul")
def _matrix_product(s: Sketch) -> None:
    x = s.raw(s.integer(1, 2))
    how = _how(s, signed=False)
    weights = _weights(s, x.shape[-1], s.integer(1, 4))
    operands = [*_quantised(s, x, signed=False), *weights, *how]
    (y,) = s.raw_node("QLinearMatMul", operands)
    _real(s, y, how)


@rule("ConvInteger")
def _integer_convolution(s: Sketch) -> None:
    x = s.raw(3)
    integers, _, zero = _quantised(s, x, signed=False)
    weights = s.constant(s.rng.integers(0, 255, (2, x.shape[0], 2, 2)).astype(np.uint8))
    middle = s.constant(np.uint8(128))
    (sums,) = s.raw_node("ConvInteger", [integers, weights, zero, middle], kernel_shape=[2, 2])
    _scaled(s, sums)


@rule("MatMulInteger")
def _integer_product(s: Sketch) -> None:
    x = s.raw(s.integer(1, 2))
    integers, _, zero = _quantised(s, x, signed=False)
    weights = s.constant(s.rng.integers(-100, 100, (x.shape[-1], 2)).astype(np.int8))
    (sums,) = s.raw_node("MatMulInteger", [integers, weights, zero])
    _scaled(s, sums)


def _scaled(s: Sketch, sums: Value) -> None:
    (real,) = s.raw_node("Cast", [sums], to=1)
    s.add("Mul", [real, s.floats(2.0**-13)])


@rule("DynamicQuantizeLinear")
def _dynamic(s: Sketch) -> None:
    """Quantise by the batch's own range, as onnxruntime's dynamic quantisation writes it."""
    x = s.raw(1)
    integers, scale, zero = _dynamic_outputs(s, x)
    weights = s.constant(s.rng.integers(-100, 100, (x.shape[0], 3)).astype(np.int8))
    (sums,) = s.raw_node("MatMulInteger", [integers, weights, zero])
    (real,) = s.raw_node("Cast", [sums], to=1)
    (scales,) = s.raw_node("Mul", [scale, s.floats(2.0**-8)], batched=False)
    (y,) = s.raw_node("Mul", [real, scales])
    s.end(y)
    s.rough = True


def _dynamic_outputs(s: Sketch, x: Value) -> tuple[Value, Value, Value]:
    made = s.raw_node("DynamicQuantizeLinear", [x], outputs=3, batched=False)
    return made[0], made[1], made[2]


def _microsoft(
    s: Sketch,
    operator: str,
    operands: Triple,
    shape: tuple[int, ...],
    how: list[str],
    **options: Any,
) -> None:
    """Add an operator of integers and real values behind it."""
    (y,) = s.raw_node(operator, operands, domain=MICROSOFT, shape=shape, **options)
    (real,) = s.raw_node("DequantizeLinear", [y, *how], domain=MICROSOFT, shape=shape)
    s.offer(real)


@rule("com.microsoft.QGemm")
def _gemm(s: Sketch) -> None:
    x, outputs, how = s.raw(1), s.integer(1, 4), _how(s, signed=False)
    operands = [*_quantised(s, x, signed=False), *_weights(s, x.shape[0], outputs)]
    bias = s.constant(s.rng.integers(-500, 500, outputs).astype(np.int32)) if s.flag() else ""
    _microsoft(s, "QGemm", [*operands, bias, *how], (outputs,), how)


@rule("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def _two(s: Sketch) -> None:
    x, how = s.raw(), _how(s, signed=False)
    other = s.constant(s.rng.integers(0, 255, (1, *x.shape)).astype(np.uint8))
    operands = [*_quantised(s, x, signed=False), other, *_how(s, signed=False), *how]
    name = s.pick(["QLinearAdd", "QLinearMul"])
    _microsoft(s, name, operands, x.shape, how)


@rule("com.microsoft.QLinearAveragePool")
def _average(s: Sketch) -> None:
    x, how = s.raw(3), _how(s, signed=False)
    operands = [*_quantised(s, x, signed=False), *how]
    shape = (x.shape[0], x.shape[1] - 1, x.shape[2] - 1)
    _microsoft(s, "QLinearAveragePool", operands, shape, how, kernel_shape=[2, 2])


@rule("com.microsoft.QLinearGlobalAveragePool")
def _global_average(s: Sketch) -> None:
    x, how = s.input((s.integer(1, 3), 4, 2)), _how(s, signed=False)
    operands = [*_quantised(s, x, signed=False), *how]
    _microsoft(s, "QLinearGlobalAveragePool", operands, (x.shape[0], 1, 1), how)


@rule("com.microsoft.QLinearLeakyRelu")
def _leaky(s: Sketch) -> None:
    x, how = s.raw(), _how(s, signed=False)
    operands = [*_quantised(s, x, signed=False), *how]
    _microsoft(s, "QLinearLeakyRelu", operands, x.shape, how, alpha=0.25)


@rule("com.microsoft.QLinearSigmoid")
def _sigmoid(s: Sketch) -> None:
    x = s.raw()
    how = [s.floats(2.0**-8), s.constant(np.uint8(0))]
    _microsoft(s, "QLinearSigmoid", [*_quantised(s, x, signed=False), *how], x.shape, how)


@rule("com.microsoft.QLinearConcat")
def _concat(s: Sketch) -> None:
    x, how = s.raw(), _how(s, signed=False)
    other = _quantised(s, s.input(x.shape), signed=False)
    operands = [*how, *_quantised(s, x, signed=False), *other]
    shape = (2 * x.shape[0], *x.shape[1:])
    _microsoft(s, "QLinearConcat", operands, shape, how, axis=1)
