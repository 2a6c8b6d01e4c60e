"""Fan-out against the matrix that the chain's own arithmetic gives."""

import numpy as np
import pytest
from evaluations import dense_matrix
from hypothesis import given
from hypothesis import strategies as st
from networks import Numbers, chains, input_shapes

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    LinearOperator,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Window,
)
from snnconvert.reports import fan_out as module
from snnconvert.reports.fan_out import connections, fan_out, is_injection


def brute_force(chain: Chain, shape: Shape) -> list[int]:
    return [int(row.astype(bool).sum()) for row in dense_matrix(chain, shape)]


@given(st.data())
def test_any_chain(data: st.DataObject) -> None:
    shape = data.draw(input_shapes())
    # Small dyadic weights: products and sums are exact, so that weights that cancel do so here too.
    numbers = Numbers("dyadic", data.draw(st.integers(0, 2**32 - 1)))
    chain = data.draw(chains(shape, numbers))
    assert fan_out(chain, shape).tolist() == brute_force(chain, shape)


def _window(size: int, stride: int, pad: int) -> Window:
    return Window((size,) * 2, (stride,) * 2, ((pad, pad),) * 2, (1, 1))


def test_a_convolution_at_its_border() -> None:
    conv = Convolution((1, 3, 3), np.ones((2, 1, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1))
    assert fan_out((conv,), (1, 3, 3)).tolist() == [8, 12, 8, 12, 18, 12, 8, 12, 8]


def test_zero_weights_take_no_operation_but_are_connections() -> None:
    dense = Dense((3,), np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]))
    assert fan_out((dense,), (3,)).tolist() == [1, 0, 2]
    assert connections((dense,), (3,)) == 6


def test_overlapping_pools_are_one_weight_a_pair() -> None:
    """A value that reaches an output over two pooled values meets one weight there, not two."""
    pool = SumPool((2, 7, 7), _window(3, 1, 1))
    conv = Convolution((2, 7, 7), np.ones((3, 2, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1))
    counts = fan_out((pool, conv), (2, 7, 7))
    assert counts.tolist() == brute_force((pool, conv), (2, 7, 7))
    assert counts.max() == 3 * 25


@pytest.mark.parametrize("entries", [1, 40, 1000])
def test_large_products_are_counted_in_blocks(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SumPool((2, 5, 5), _window(3, 1, 1))
    conv = Convolution((2, 5, 5), np.ones((3, 2, 3, 3)), (1, 1), ((1, 1), (1, 1)), (1, 1))
    monkeypatch.setattr(module, "BLOCK_ENTRIES", entries)
    assert fan_out((pool, conv), (2, 5, 5)).tolist() == brute_force((pool, conv), (2, 5, 5))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("pointwise_first", [True, False])
def test_separable_convolutions_are_one(
    groups: int, pointwise_first: bool, rng: np.random.Generator
) -> None:
    def weights(*shape: int) -> FloatArray:
        return rng.integers(-1, 2, shape).astype(float)

    def pointwise(shape: Shape, outputs: int) -> Convolution:
        weight = weights(outputs, shape[0] // groups, 1, 1)
        return Convolution(shape, weight, (1, 1), ((0, 0), (0, 0)), (1, 1), groups)

    kernel = weights(8, 4 // groups, 3, 2)
    wide = Convolution((4, 5, 6), kernel, (2, 1), ((1, 1), (0, 1)), (1, 2), groups)
    chain: Chain = (wide, pointwise(wide.output_shape, 12))
    if pointwise_first:
        chain = (pointwise((4, 5, 6), 4), wide)
    assert fan_out(chain, (4, 5, 6)).tolist() == brute_force(chain, (4, 5, 6))
    assert fan_out(chain, (4, 5, 6)).sum() > 0


def test_weights_that_cancel_are_none() -> None:
    chain: Chain = (
        Dense((1,), np.array([[1.0], [1.0]])),
        Dense((2,), np.array([[1.0, -1.0], [1.0, 1.0]])),
    )
    assert fan_out(chain, (1,)).tolist() == [1]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (Scale((2,), np.array([2.0, 3.0])), True),
        (Select((2,), (np.array([0, 0, -1]),)), True),
        (Reshape((2,), (2, 1)), True),
        (Dense((2,), np.ones((1, 2))), False),
    ],
)
def test_an_injection_reads_one_value_each(operator: LinearOperator, expected: bool) -> None:
    assert is_injection((operator,)) is expected
