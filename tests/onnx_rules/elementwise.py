"""Rules for operators that work element by element."""

from __future__ import annotations

import numpy as np
from onnx_grammar import Sketch, Value, rule

SMOOTH = (
    *("Abs", "Asinh", "Atan", "Cos", "Erf", "HardSwish", "Mish", "Neg", "Selu", "Sigmoid"),
    *("Sin", "Softplus", "Softsign", "Tanh"),
)
OLD = ("Relu", "Identity")
WITHIN = {
    "Acos": (-0.9, 0.9),
    "Acosh": (1.1, 4.0),
    "Asin": (-0.9, 0.9),
    "Atanh": (-0.9, 0.9),
    "Cosh": (-2.0, 2.0),
    "Exp": (-3.0, 2.0),
    "Log": (0.5, 4.0),
    "Reciprocal": (0.5, 4.0),
    "Sinh": (-2.0, 2.0),
    "Sqrt": (0.25, 4.0),
    "Tan": (-1.0, 1.0),
}
"""Where the functions are defined, and not steep."""


def _plain(name: str, oldest: int) -> None:
    def apply(s: Sketch) -> None:
        s.add(name, [s.value()])

    rule(name, oldest=oldest)(apply)


def _bounded(name: str, low: float, high: float) -> None:
    def apply(s: Sketch) -> None:
        s.add(name, [s.clipped(s.value(), low, high)])

    rule(name)(apply)


for _name in SMOOTH:
    _plain(_name, 14 if _name == "HardSwish" else 18 if _name == "Mish" else 13)
for _name in OLD:
    _plain(_name, 9)
for _name, _bounds in WITHIN.items():
    _bounded(_name, *_bounds)


@rule("Celu", "Elu")
def _exponential(s: Sketch) -> None:
    s.add(s.pick(["Celu", "Elu"]), [s.value()], alpha=s.pick([0.5, 1.0, 1.7]))


@rule("LeakyRelu", oldest=9)
def _leaky(s: Sketch) -> None:
    s.add("LeakyRelu", [s.value()], alpha=s.pick([0.01, 0.3, -0.5, 1.5]))


@rule("HardSigmoid")
def _hard_sigmoid(s: Sketch) -> None:
    s.add("HardSigmoid", [s.value()], alpha=s.pick([0.2, 1 / 6, 0.7]), beta=s.pick([0.5, 0.1]))


@rule("PRelu", oldest=9)
def _prelu(s: Sketch) -> None:
    x = s.value(1, 3)
    s.add("PRelu", [x, s.floats(s.rng.uniform(-0.5, 1.5, _broadcast(s, x)))])


@rule("Gelu", oldest=20)
def _gelu(s: Sketch) -> None:
    s.add("Gelu", [s.value()], approximate=s.pick(["none", "tanh"]))


@rule("Swish", oldest=24)
def _swish(s: Sketch) -> None:
    s.add("Swish", [s.value()], alpha=s.pick([1.0, 1.7, 0.5]))


@rule("Sign")
def _sign(s: Sketch) -> None:
    s.add("Sign", [s.raw()])


@rule("Shrink")
def _shrink(s: Sketch) -> None:
    s.add("Shrink", [s.raw()], lambd=s.pick([0.5, 0.25]), bias=s.pick([0.0, 0.5, 0.25]))


@rule("ThresholdedRelu")
def _thresholded(s: Sketch) -> None:
    s.add("ThresholdedRelu", [s.raw()], alpha=s.pick([0.0, 0.5, 1.0]))


@rule("Clip")
def _clip(s: Sketch) -> None:
    low, high = s.pick([(-1.0, 1.0), (0.0, 6.0), (0.0, None), (None, 0.5), (0.25, 0.75)])
    bounds = ["" if bound is None else s.floats(bound) for bound in (low, high)]
    s.add("Clip", [s.value(), *bounds])


def _broadcast(s: Sketch, x: Value) -> tuple[int, ...]:
    """Return a constant's shape that broadcasts against `x` from behind, batch left out."""
    kept = x.shape[s.integer(0, len(x.shape)) :]
    return tuple(extent if s.flag() else 1 for extent in kept)


def _operands(s: Sketch) -> list[Value | str]:
    """Return two operands: two values of one shape, or a value and a constant on either side."""
    x = s.value()
    if s.flag():
        return [x, s.like(x)]
    constant = s.floats(s.rng.uniform(0.4, 1.5, _broadcast(s, x)) * s.pick([1, -1]))
    return [x, constant] if s.flag() else [constant, x]


@rule("Add", "Sub", oldest=9)
def _sum_of_two(s: Sketch) -> None:
    s.add(s.pick(["Add", "Sub"]), _operands(s))


@rule("Max", "Min", "Mean", "Sum")
def _several(s: Sketch) -> None:
    operands = _operands(s)
    if s.flag():
        operands.append(next(v for v in operands if isinstance(v, Value)))
    s.add(s.pick(["Max", "Min", "Mean", "Sum"]), operands)


@rule("Mul")
def _product(s: Sketch) -> None:
    x = s.value()
    if s.integer(0, 2):
        constant = s.floats(s.rng.uniform(-1.5, 1.5, _broadcast(s, x)))
        s.add("Mul", [x, constant] if s.flag() else [constant, x])
    else:  # a gate of its own: one function of one variable
        (gate,) = s.raw_node(s.pick(["Sigmoid", "Tanh", "HardSigmoid"]), [x])
        s.add("Mul", [gate, x] if s.flag() else [x, gate])


@rule("Div")
def _quotient(s: Sketch) -> None:
    x = s.value()
    if s.integer(0, 2):
        s.add("Div", [x, s.floats(s.rng.uniform(0.6, 2.0, _broadcast(s, x)))])
    else:
        (size,) = s.raw_node("Abs", [x])
        (below,) = s.raw_node("Add", [size, s.floats(1.0)])
        s.add("Div", [x, below])


@rule("Pow")
def _power(s: Sketch) -> None:
    x = s.value()
    exponent = s.pick([2.0, 3.0, 1.5, 0.5, -1.0])
    positive = exponent not in (2.0, 3.0)
    x = s.clipped(x, 0.5, 2.0) if positive else s.clipped(x, -2.0, 2.0)
    s.add("Pow", [x, s.floats(exponent)])


@rule("Where")
def _where(s: Sketch) -> None:
    x = s.value()
    condition = s.constant(s.rng.integers(0, 2, _broadcast(s, x)).astype(bool))
    other = s.like(x) if s.flag() else s.floats(0.5)
    s.add("Where", [condition, x, other])


@rule("Cast", oldest=9)
def _cast(s: Sketch) -> None:
    s.add("Cast", [s.value()], to=1)


@rule("CastLike", oldest=15)
def _cast_like(s: Sketch) -> None:
    s.add("CastLike", [s.value(), s.floats([1.0])])


@rule("Dropout")
def _dropout(s: Sketch) -> None:
    s.add("Dropout", [s.value(), s.floats(0.5)])


@rule("Softmax", "LogSoftmax")
def _softmax(s: Sketch) -> None:
    x = s.value()
    (y,) = s.raw_node(s.pick(["Softmax", "LogSoftmax"]), [x], axis=s.integer(1, len(x.shape)))
    s.end(y)


@rule("ArgMax")
def _arg_max(s: Sketch) -> None:
    x = s.raw()
    (y,) = s.raw_node("ArgMax", [x], axis=s.integer(1, len(x.shape)), keepdims=s.flag())
    s.end(y)


@rule("BatchNormalization")
def _batch_normalisation(s: Sketch) -> None:
    x = s.value(1, 4)
    count = x.shape[0]
    constants = [s.rng.uniform(0.5, 1.5, count), *s.rng.standard_normal((2, count))]
    constants.append(s.rng.uniform(0.5, 2.0, count))
    s.add("BatchNormalization", [x, *map(s.floats, constants)], epsilon=s.pick([1e-5, 1e-3]))


@rule("Trilu", oldest=14)
def _triangle(s: Sketch) -> None:
    offset = [s.constant(np.int64(s.integer(-2, 2)))] if s.flag() else []
    s.add("Trilu", [s.value(2, 3), *offset], upper=s.flag())


@rule("CumSum", oldest=14)
def _running_sum(s: Sketch) -> None:
    x = s.value(1, 3)
    axis = s.constant(np.int64(s.integer(1, len(x.shape))))
    s.add("CumSum", [x, axis], exclusive=s.flag(), reverse=s.flag())


@rule("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _by_cases(s: Sketch) -> None:
    """Choose between functions of one value by comparing it with a number."""
    x = s.raw()
    names = ["Greater", "Less"]
    if s.opset >= 16:  # onnx infers no shape for the earlier ones
        names += ["GreaterOrEqual", "LessOrEqual"]
    name = s.pick(names)
    (condition,) = s.raw_node(name, [x, s.floats(s.pick([0.0, 0.5, -0.25]))])
    (other,) = s.raw_node(s.pick(["Tanh", "Neg", "Softplus"]), [x])
    s.add("Where", [condition, x, other])


@rule("ai.onnx.ml.Scaler")
def _scaler(s: Sketch) -> None:
    x = s.value(1, 1)
    offset, scale = (list(map(float, s.rng.uniform(0.5, 2.0, x.shape[0]))) for _ in range(2))
    (y,) = s.raw_node("Scaler", [x], domain="ai.onnx.ml", shape=x.shape, offset=offset, scale=scale)
    s.offer(y)
