"""Functions of straight pieces are found, and only they."""

import numpy as np
import pytest

from snnconvert.convert.curves.functions import SIGMOID, Expression, X, call
from snnconvert.convert.curves.piecewise import straight_pieces

RELU = call("relu", X)
SHRUNK = call("where", call("greater", X, 0.5), X - 0.5, 0)


@pytest.mark.parametrize(
    ("function", "kinks", "slopes"),
    [
        (X, [], [1]),
        (3 - 2 * X, [], [-2]),
        (RELU, [0], [0, 1]),
        (X * call("sign", X), [0], [-1, 1]),
        (call("minimum", call("maximum", X / 6 + 0.5, 0), 1), [-3, 3], [0, 1 / 6, 0]),
        (call("where", call("less", X, -0.5), X + 0.5, SHRUNK), [-0.5, 0.5], [1, 0, 1]),
        (call("maximum", X, 0.1 * X), [0], [0.1, 1]),
        (call("abs", call("abs", X) - 2), [-2, 0, 2], [-1, 1, -1, 1]),
        (call("relu", X - 1 / 3) - call("relu", X - 1 / 3) / 2, [1 / 3], [0, 0.5]),
        (call("maximum", 1.5 * RELU, 2 * X - 1), [0, 2], [0, 1.5, 2]),
        (call("abs", X - 12000), [12000], [-1, 1]),
        (call("relu", 1 - call("abs", X - 12000)), [11999, 12000, 12001], [0, 1, -1, 0]),
        (call("minimum", X, 1e6), [1e6], [1, 0]),
        (call("minimum", call("maximum", X, -3.4e38), np.inf), [], [1]),
        (1e-12 * RELU, [0], [0, 1e-12]),
        (call("relu", X - 1e-10), [1e-10], [0, 1]),
        (RELU - call("relu", X - 1e-17) + call("relu", X - 1), [1], [0, 1]),
        (call("where", call("greater_or_equal", X, 0), call("tanh", 0 * X) + X, 0), [0], [0, 1]),
        (call("where", call("less", X, 1) + call("less", X, -1), X, 1), [1], [1, 0]),
    ],
)
def test_pieces(function: Expression, kinks: list[float], slopes: list[float]) -> None:
    pieces = straight_pieces(function)
    assert pieces is not None
    np.testing.assert_allclose(pieces.kinks, kinks, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(pieces.slopes, slopes, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(pieces.values, function.evaluate(pieces.kinks), atol=1e-9)
    assert pieces.intercept == pytest.approx(float(function.evaluate(np.zeros(())))) or kinks


@pytest.mark.parametrize(
    "function",
    [
        SIGMOID,
        X * SIGMOID,
        X * RELU,
        call("tanh", RELU),
        call("sqrt", RELU),
        1 / X,
        call("log", X),
        call("where", call("greater", X, 0.5), X, 0),
        call("sign", X),
        X + 1e-3 * call("sin", X),
        call("exp", -1 * (X - 5) ** 2),
        call("exp", -8 * (X - 2) * (X - 2)),
        call("sigmoid", X - 30) - call("sigmoid", X - 40),
        call("where", call("greater", X, 20000), X, 0),
        call("where", call("greater", X, 20000), 0, X),
        call("where", call("greater", X, 1e-10), X, 0),
        call("where", call("greater", X, 1), X, 0) + call("relu", X - 1e12),
        call("where", call("less", X, 2) + call("greater", X, 2), X, 5),
        call("minimum", X, np.nan),
        call("where", call("log", X), X, 1),
        call("maximum", call("exp", X), 0),
        call("greater", call("exp", X), -1) * X,
        X * call("minimum", call("maximum", X / 6 + 0.5, 0), 1),
    ],
    ids=str,
)
def test_curves_and_jumps_have_none(function: Expression) -> None:
    assert straight_pieces(function) is None


def test_no_more_kinks_than_are_worth_it() -> None:
    many = call("abs", call("sin", X))
    assert straight_pieces(many) is None
    steps: Expression = X
    for width in 2.0 ** np.arange(14, -1, -1):
        steps = call("abs", steps - width)
    assert straight_pieces(steps) is None


def test_kinks_that_are_one_but_for_rounding() -> None:
    bounded = call("minimum", call("maximum", X, -1), 1)
    inner = call("tan", bounded)
    assert straight_pieces(call("tan", call("minimum", call("maximum", inner, -1), 1))) is None
