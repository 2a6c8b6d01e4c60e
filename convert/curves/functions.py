"""Functions of one variable: small frozen expression trees with a NumPy evaluator.

``x * sigmoid(1.702 * x)`` is one function, however many nodes of a file spell it. Trees are built
with Python's operators from :data:`X`, numbers and :func:`call`; printing one gives such a text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special

from snnconvert.convert.linear import FloatArray

MAX_SIZE = 128
"""Parts of the largest expression that is followed: what is built on top starts anew."""


@dataclass(frozen=True)
class Expression(ABC):
    """A function of one variable; the sub-classes are its forms.

    Attributes
    ----------
    size : int
        Parts of the tree.
    """

    size: int = field(init=False, compare=False, repr=False, default=1)

    def evaluate(self, x: npt.NDArray[Any]) -> FloatArray:
        """Return the function of every element, in double precision.

        Outside the domain of a function the result is NaN or infinite, without a warning.
        """
        with np.errstate(all="ignore"):
            return np.asarray(self._value(np.asarray(x, np.float64)), np.float64)

    @abstractmethod
    def at(self, inner: Expression) -> Expression:
        """Return this function of another function."""

    @property
    def names(self) -> frozenset[str]:
        """The functions that occur in it."""
        return frozenset()

    @abstractmethod
    def _value(self, x: FloatArray) -> FloatArray: ...

    def __add__(self, other: Expression | float) -> Expression:
        return call("add", self, other)

    def __radd__(self, other: float) -> Expression:
        return call("add", other, self)

    def __sub__(self, other: Expression | float) -> Expression:
        return call("subtract", self, other)

    def __rsub__(self, other: float) -> Expression:
        return call("subtract", other, self)

    def __mul__(self, other: Expression | float) -> Expression:
        return call("multiply", self, other)

    def __rmul__(self, other: float) -> Expression:
        return call("multiply", other, self)

    def __truediv__(self, other: Expression | float) -> Expression:
        return call("divide", self, other)

    def __rtruediv__(self, other: float) -> Expression:
        return call("divide", other, self)

    def __pow__(self, other: Expression | float) -> Expression:
        return call("power", self, other)


@dataclass(frozen=True)
class Variable(Expression):
    """The variable x."""

    def at(self, inner: Expression) -> Expression:
        """Return the inner function."""
        return inner

    def _value(self, x: FloatArray) -> FloatArray:
        return x

    def __str__(self) -> str:
        return "x"


@dataclass(frozen=True)
class Number(Expression):
    """A constant."""

    value: float

    def at(self, inner: Expression) -> Expression:
        """Return the constant."""
        return self

    def _value(self, x: FloatArray) -> FloatArray:
        return np.full_like(x, self.value)

    def __str__(self) -> str:
        return f"{self.value:.4g}"


@dataclass(frozen=True)
class Call(Expression):
    """A function of the arguments' values.

    Attributes
    ----------
    name : str
        Of a function in :data:`FUNCTIONS`.
    arguments : tuple of Expression
    """

    name: str
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(a.size for a in self.arguments))

    def at(self, inner: Expression) -> Expression:
        """Return the function of the arguments' functions of another function."""
        if isinstance(inner, Variable):
            return self
        return call(self.name, *(argument.at(inner) for argument in self.arguments))

    @property
    def names(self) -> frozenset[str]:
        """The functions that occur in it."""
        return frozenset({self.name}).union(*(argument.names for argument in self.arguments))

    def _value(self, x: FloatArray) -> FloatArray:
        return FUNCTIONS[self.name](*(argument._value(x) for argument in self.arguments))

    def __str__(self) -> str:
        if self.name not in _SYMBOLS:
            return f"{self.name}({', '.join(map(str, self.arguments))})"
        symbol, strength = _SYMBOLS[self.name]
        left, right = self.arguments
        below = ("subtract", "divide", "power", "greater", "less")
        strict = strength + (self.name in below)  # a - (b - c)
        first = str(left) if isinstance(left, Number) else _inner(left, strength)
        return f"{first} {symbol} {_inner(right, strict)}"


_SYMBOLS = {
    "greater": (">", 0),
    "greater_or_equal": (">=", 0),
    "less": ("<", 0),
    "less_or_equal": ("<=", 0),
    "add": ("+", 1),
    "subtract": ("-", 1),
    "multiply": ("*", 2),
    "divide": ("/", 2),
    "power": ("**", 3),
}


def _inner(argument: Expression, strength: int) -> str:
    text = str(argument)
    if isinstance(argument, Call) and argument.name in _SYMBOLS:
        weak = _SYMBOLS[argument.name][1] < strength
    else:
        weak = isinstance(argument, Number) and argument.value < 0 and strength > 1
    return f"({text})" if weak else text


def _truth(compare: Callable[..., Any]) -> Callable[..., FloatArray]:
    return lambda *arguments: np.asarray(compare(*arguments), np.float64)


Operation: TypeAlias = Callable[..., FloatArray]

FUNCTIONS: dict[str, Operation] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "relu": lambda x: np.maximum(x, 0.0),
    "abs": np.abs,
    "sign": np.sign,
    "greater": _truth(np.greater),
    "greater_or_equal": _truth(np.greater_equal),
    "less": _truth(np.less),
    "less_or_equal": _truth(np.less_equal),
    "where": lambda condition, x, y: np.asarray(np.where(condition != 0, x, y)),
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "erf": special.erf,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
}
"""What each name of a Call computes, elementwise; truth values are 0 and 1."""

X = Variable()


def call(name: str, *arguments: Expression | float) -> Expression:
    """Return a function of the arguments; of constants alone it is a constant.

    Sums with 0 and products with 1 are left out.
    """
    parts = tuple(a if isinstance(a, Expression) else Number(float(a)) for a in arguments)
    if all(isinstance(part, Number) for part in parts):
        return Number(float(Call(name, parts).evaluate(np.zeros(()))))
    if name == "add" and Number(0.0) in parts:
        return parts[0] if parts[1] == Number(0.0) else parts[1]
    if name == "multiply" and Number(1.0) in parts:
        return parts[0] if parts[1] == Number(1.0) else parts[1]
    if name in ("subtract", "divide") and parts[1] == Number(0.0 if name == "subtract" else 1.0):
        return parts[0]
    return Call(name, parts)


SIGMOID = call("sigmoid", X)


def is_rectifying(expression: Expression) -> bool:
    """Tell whether sums, scales and bounds alone make the function: it is piecewise linear."""
    if not isinstance(expression, Call):
        return True
    fixed = [isinstance(argument, Number) for argument in expression.arguments]
    allowed = expression.name in ("add", "subtract", "relu", "abs", "maximum", "minimum")
    allowed = allowed or (expression.name == "multiply" and any(fixed))
    allowed = allowed or (expression.name == "divide" and fixed[1])
    return allowed and all(is_rectifying(argument) for argument in expression.arguments)
