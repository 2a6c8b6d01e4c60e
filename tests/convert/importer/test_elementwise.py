"""Spellings of one function of one variable become one curve; products of two values do not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx_models import make_model, make_node

from snnconvert.convert.graph import Curve, Graph
from snnconvert.convert.lower import exact_graph, lower

Nodes = list[tuple[str, list[str], str]]
C: dict[str, Any] = {
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.full((1, 1), 2, np.float32),
    "three": np.array([3], np.float32),
    "six": np.array([[[6]]], np.float32),
    "zero": np.float32(0),
    "root": np.float32(np.sqrt(2)),
    "cubic": np.float32(0.044715),
    "gauss": np.float32(np.sqrt(2 / np.pi)),
    "quick": np.full((1, 3, 4), 1.702, np.float32),
    "minus": np.float32(-1),
}

SPELLINGS: dict[str, tuple[Nodes, str]] = {
    "silu": (
        [("Sigmoid", ["x"], "s"), ("Mul", ["x", "s"], "y")],
        "x * sigmoid(x)",
    ),
    "quick gelu": (
        [("Mul", ["quick", "x"], "q"), ("Sigmoid", ["q"], "s"), ("Mul", ["s", "x"], "y")],
        "sigmoid(1.702 * x) * x",
    ),
    "mish": (
        [("Softplus", ["x"], "p"), ("Tanh", ["p"], "t"), ("Mul", ["x", "t"], "y")],
        "x * tanh(softplus(x))",
    ),
    "mish by exponentials": (
        [
            *[("Exp", ["x"], "e"), ("Add", ["e", "one"], "p"), ("Log", ["p"], "l")],
            *[("Tanh", ["l"], "t"), ("Mul", ["x", "t"], "y")],
        ],
        "x * tanh(log(exp(x) + 1))",
    ),
    "gelu by erf": (
        [
            *[("Div", ["x", "root"], "d"), ("Erf", ["d"], "e"), ("Add", ["e", "one"], "a")],
            *[("Mul", ["x", "a"], "m"), ("Mul", ["m", "half"], "y")],
        ],
        "x * (erf(0.7071 * x) + 1)",
    ),
    "gelu by tanh": (
        [
            *[("Pow", ["x", "three"], "p"), ("Mul", ["p", "cubic"], "c"), ("Add", ["x", "c"], "a")],
            *[("Mul", ["a", "gauss"], "g"), ("Tanh", ["g"], "t"), ("Add", ["one", "t"], "b")],
            *[("Mul", ["half", "x"], "h"), ("Mul", ["h", "b"], "y")],
        ],
        "0.5 * x * (tanh(0.7979 * (x + 0.04471 * x ** 3)) + 1)",
    ),
    "hard swish": (
        [
            *[("Add", ["x", "three"], "a"), ("Clip", ["a", "zero", "six1"], "c")],
            *[("Mul", ["x", "c"], "m"), ("Div", ["m", "six"], "y")],
        ],
        "x * minimum(maximum(x + 3, 0), 6)",
    ),
    "hard swish by HardSigmoid": (
        [("HardSigmoid", ["x"], "h"), ("Mul", ["h", "x"], "y")],
        "minimum(maximum(0.2 * x + 0.5, 0), 1) * x",
    ),
    "square": ([("Mul", ["x", "x"], "y")], "x * x"),
    "sigmoid by exponentials": (
        [
            *[("Neg", ["x"], "n"), ("Exp", ["n"], "e"), ("Add", ["e", "one"], "a")],
            ("Reciprocal", ["a"], "y"),
        ],
        "1 / (exp(-1 * x) + 1)",
    ),
    "curve of a curve": (
        [("Tanh", ["x"], "t"), ("Mul", ["t", "two"], "d"), ("Softplus", ["d"], "y")],
        "softplus(2 * tanh(x))",
    ),
    "rectified curve": (
        [("Tanh", ["x"], "t"), ("Sub", ["t", "half"], "d"), ("Relu", ["d"], "y")],
        "relu(tanh(x) + -0.5)",
    ),
    "curve of a rectifier": ([("Relu", ["x"], "r"), ("Sqrt", ["r"], "y")], "sqrt(relu(x))"),
    "soft sign": (
        [("Abs", ["x"], "a"), ("Add", ["a", "one"], "d"), ("Div", ["x", "d"], "y")],
        "x / (relu(x) + relu(-1 * x) + 1)",
    ),
}


def spelled(nodes: Nodes) -> Any:
    constants = C | {"six1": np.float32(6)}
    read = {name for _, inputs, _ in nodes for name in inputs}
    return make_model(
        [make_node(op, inputs, [output], name=output) for op, inputs, output in nodes],
        {"x": ["N", 3, 4]},
        constants={name: array for name, array in constants.items() if name in read},
    )


def curves(graph: Graph) -> list[str]:
    return [str(n.op.function) for n in graph.nodes if isinstance(n.op, Curve)]


@pytest.mark.parametrize(("nodes", "text"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_spelling_is_one_curve(nodes: Nodes, text: str, rng: np.random.Generator) -> None:
    imported = onnx_models.assert_agrees(spelled(nodes), rng, spread=2)
    assert imported.graph is not None
    exact = exact_graph(imported.graph)
    assert curves(exact) == [text]
    samples = {"x": rng.standard_normal((5, 3, 4))}
    (before,) = imported.graph.evaluate(samples, dtype=np.float64).values()
    (after,) = exact.evaluate(samples, dtype=np.float64).values()
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)


def test_magnitude_as_the_root_of_a_square_is_a_curve(rng: np.random.Generator) -> None:
    nodes: Nodes = [("Mul", ["x", "x"], "m"), ("Sqrt", ["m"], "y")]
    graph = onnx_models.assert_agrees(spelled(nodes), rng).graph
    assert graph is not None and curves(exact_graph(graph)) == ["sqrt(x * x)"]


def test_a_product_with_its_sign_is_exact(rng: np.random.Generator) -> None:
    nodes: Nodes = [("Sign", ["x"], "s"), ("Mul", ["x", "s"], "y")]
    graph = onnx_models.assert_agrees(spelled(nodes), rng).graph
    assert graph is not None
    lowered = lower(graph)
    assert not lowered.approximations and len(lowered.activations) == 2


DIFFERENT: dict[str, Callable[[], Nodes]] = {
    "another value": lambda: [("Sigmoid", ["z"], "s"), ("Mul", ["x", "s"], "y")],
    "a sum over elements": lambda: [
        ("Softmax", ["x"], "s"),
        ("Mul", ["x", "s"], "y"),
    ],
    "constants that differ": lambda: [
        *[("Mul", ["x", "each"], "m"), ("Sigmoid", ["m"], "s"), ("Mul", ["x", "s"], "y")],
    ],
    "an order that differs": lambda: [("Transpose", ["x"], "t"), ("Mul", ["x", "t"], "y")],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_products_of_different_values_stay_refused(name: str) -> None:
    nodes = [
        make_node(op, inputs, [out], name=out, **({"perm": [0, 2, 1]} if op == "Transpose" else {}))
        for op, inputs, out in DIFFERENT[name]()
    ]
    inputs: dict[str, Any] = {"x": ["N", 4, 4]}
    if name == "another value":
        inputs["z"] = ["N", 4, 4]
    constants = {"each": np.arange(4, dtype=np.float32)} if "each" in str(nodes) else {}
    problems = onnx_models.check_onnx(make_model(nodes, inputs, constants=constants)).problems
    product = next(p for p in problems if p.code == "product-of-activations")
    assert product.node == "y"
    assert product.place == f"node 'y' ({len(nodes)} of {len(nodes)}), operator Mul, opset 17"
    assert product.message == "product of two activations"


def test_what_else_reads_a_part_keeps_it(rng: np.random.Generator) -> None:
    nodes = [
        make_node("Sigmoid", ["x"], ["s"], name="s"),
        make_node("Mul", ["x", "s"], ["y"], name="y"),
        make_node("Neg", ["s"], ["z"], name="z"),
    ]
    model = make_model(nodes, {"x": ["N", 3]}, ["y", "z"])
    graph = onnx_models.assert_agrees(model, rng).graph
    assert graph is not None
    assert sorted(curves(exact_graph(graph))) == ["sigmoid(x)", "x * sigmoid(x)"]
