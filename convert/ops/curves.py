"""Functions of one variable without parameters: Tanh, Exp, Erf and their like."""

from __future__ import annotations

from snnconvert.convert.curves.functions import SIGMOID, Expression, X, call
from snnconvert.convert.importer.builder import GraphBuilder
from snnconvert.convert.importer.elementwise import apply_function
from snnconvert.convert.importer.node import OnnxNode
from snnconvert.convert.importer.registry import operator

_CURVES: dict[str, tuple[int, Expression]] = {
    "Tanh": (6, call("tanh", X)),
    "Softplus": (1, call("softplus", X)),
    "Softsign": (1, call("softsign", X)),
    "Erf": (9, call("erf", X)),
    "Mish": (18, X * call("tanh", call("softplus", X))),
    "HardSwish": (14, X * call("minimum", call("maximum", X / 6 + 0.5, 0), 1)),
    "Exp": (6, call("exp", X)),
    "Log": (6, call("log", X)),
    "Sqrt": (6, call("sqrt", X)),
    "Reciprocal": (6, 1 / X),
    "Sign": (9, call("sign", X)),
    "Sin": (7, call("sin", X)),
    "Cos": (7, call("cos", X)),
    "Tan": (7, call("tan", X)),
    "Asin": (7, call("arcsin", X)),
    "Acos": (7, call("arccos", X)),
    "Atan": (7, call("arctan", X)),
    "Sinh": (9, call("sinh", X)),
    "Cosh": (9, call("cosh", X)),
    "Asinh": (9, call("arcsinh", X)),
    "Acosh": (9, call("arccosh", X)),
    "Atanh": (9, call("arctanh", X)),
}


@operator("Sigmoid", since=6)
def import_sigmoid(node: OnnxNode, build: GraphBuilder) -> None:
    """Sigmoid: a fitted curve; at the end of the network applied to the decoded output."""
    apply_function(node, build, SIGMOID)


def _register(name: str, since: int, function: Expression) -> None:
    def importer(node: OnnxNode, build: GraphBuilder) -> None:
        apply_function(node, build, function)

    importer.__doc__ = f"The function ``{function}``: a fitted curve."
    operator(name, since=since)(importer)


for _name, (_since, _function) in _CURVES.items():
    _register(_name, _since, _function)
