"""Functions of one variable: what they compute, how they print, what becomes of compositions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnconvert.convert.curves.functions import (
    FUNCTIONS,
    SIGMOID,
    Call,
    Expression,
    Number,
    X,
    call,
    is_rectifying,
)

POINTS = np.linspace(-3, 3, 25)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (X * call("sigmoid", 1.702 * X), "x * sigmoid(1.702 * x)"),
        (0.5 * X * (1 + call("erf", X / np.sqrt(2))), "0.5 * x * (1 + erf(x / 1.414))"),
        (X - (X - 1), "x - (x - 1)"),
        ((X + 1) / (X / 2), "(x + 1) / (x / 2)"),
        (2 * (-1 * X) ** 2, "2 * (-1 * x) ** 2"),
        (call("where", call("greater", X, 1), X, 0), "where(x > 1, x, 0)"),
        (X * -2, "x * (-2)"),
        (1 / X, "1 / x"),
        (2 - X, "2 - x"),
    ],
)
def test_text_and_value(function: Expression, text: str) -> None:
    assert str(function) == text
    python = {name: FUNCTIONS[name] for name in ("sigmoid", "erf", "where")} | {"x": POINTS}
    with np.errstate(all="ignore"):
        expected = eval(text, {}, python)
    np.testing.assert_allclose(function.evaluate(POINTS), expected, rtol=2e-3, atol=2e-3)


def test_outside_of_the_domain_there_is_no_warning() -> None:
    assert np.isnan(call("log", X).evaluate(np.array([-1.0]))).all()
    assert np.isinf((1 / X).evaluate(np.array([0.0]))).all()


def test_single_precision_inputs_are_computed_in_double() -> None:
    assert SIGMOID.evaluate(np.zeros(3, np.float32)).dtype == np.float64


def test_constants_are_folded() -> None:
    assert call("exp", 0) == Number(1.0)
    assert X + 0 == X and 1 * X == X and X / 1 == X and X - 0 == X
    assert (X * 0).size == 3


def test_functions_of_functions() -> None:
    mish = X * call("tanh", call("softplus", X))
    assert mish.at(X) is mish
    assert str(mish.at(2 * X)) == "2 * x * tanh(softplus(2 * x))"
    assert mish.names == {"multiply", "tanh", "softplus"}
    assert mish.size == 5
    inner = call("relu", X)
    np.testing.assert_array_equal(
        mish.at(inner).evaluate(POINTS), mish.evaluate(inner.evaluate(POINTS))
    )


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (X, True),
        (call("minimum", call("relu", X + 3), 6) / 6, True),
        (call("maximum", X, 0.1 * X), True),
        (X * call("relu", X), False),
        (1 / X, False),
        (SIGMOID, False),
        (call("relu", SIGMOID), False),
    ],
)
def test_rectifying(function: Expression, expected: bool) -> None:
    assert is_rectifying(function) == expected


ARITIES = {"where": 3} | dict.fromkeys(
    (
        *("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "greater"),
        *("greater_or_equal", "less", "less_or_equal"),
    ),
    2,
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> Expression:
    """Any tree over all functions."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([X, X, Number(0.5), Number(-1.5), Number(2.0)]))
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    return call(name, *(draw(expressions(depth - 1)) for _ in range(ARITIES.get(name, 1))))


@given(expressions(), expressions())
def test_composition_is_evaluation_of_an_evaluation(outer: Expression, inner: Expression) -> None:
    with np.errstate(all="ignore"):
        expected = outer.evaluate(inner.evaluate(POINTS))
    np.testing.assert_array_equal(outer.at(inner).evaluate(POINTS), expected)
    assert str(outer)
    assert hash(outer) == hash(outer.at(X))
    if isinstance(outer, Call):
        assert outer.size == 1 + sum(argument.size for argument in outer.arguments)
