"""Functions of straight pieces are found, and only they."""

import numpy as np
import pytest

from snnconvert.convert.functions import SIGMOID, Expression, X, call
from snnconvert.convert.piecewise import straight_pieces

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
    ],
)
def test_pieces(function: Expression, kinks: list[float], slopes: list[float]) -> None:
    pieces = straight_pieces(function)
    assert pieces is not None
    np.testing.assert_allclose(pieces.kinks, kinks, atol=1e-9)
    np.testing.assert_allclose(pieces.slopes, slopes, atol=1e-9)
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
        X * call("minimum", call("maximum", X / 6 + 0.5, 0), 1),
    ],
    ids=str,
)
def test_curves_and_jumps_have_none(function: Expression) -> None:
    assert straight_pieces(function) is None


def test_no_more_kinks_than_are_worth_it() -> None:
    many = call("abs", call("sin", X))
    assert straight_pieces(many) is None


def test_kinks_that_are_one_but_for_rounding() -> None:
    bounded = call("minimum", call("maximum", X, -1), 1)
    inner = call("tan", bounded)
    assert straight_pieces(call("tan", call("minimum", call("maximum", inner, -1), 1))) is None
