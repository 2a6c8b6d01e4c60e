"""Shorter chains are the same map."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import Numbers, chains, input_shapes

from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    SumPool,
    Transpose,
    TransposedConvolution,
    Window,
    chain_output_shape,
    chain_to_sparse,
    place,
)
from snnconvert.convert.simplify import collapse, per_axis, simplify_chain

POOL = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
CHANNELS = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)


def convolution(shape: tuple[int, ...], outputs: int, groups: int = 1) -> Convolution:
    rng = np.random.default_rng(5)
    weight = rng.integers(-4, 5, (outputs, shape[0] // groups, 3, 3)).astype(np.float64)
    return Convolution(shape, weight, (1, 1), ((1, 1), (1, 1)), (1, 1), groups)


def transposed(shape: tuple[int, ...], outputs: int, groups: int = 1) -> TransposedConvolution:
    rng = np.random.default_rng(5)
    weight = rng.integers(-4, 5, (shape[0], outputs // groups, 2, 2)).astype(np.float64)
    return TransposedConvolution(shape, weight, (2, 2), ((0, 0), (1, 0)), (1, 1), groups)


def pad(shape: tuple[int, ...], before: int, after: int) -> Select:
    index = np.concatenate([np.full(before, -1), np.arange(shape[1]), np.full(after, -1)])
    return Select(shape, (None, index, None))


def kinds(chain: Chain) -> list[type[LinearOperator]]:
    return [type(operator) for operator in chain]


def assert_same_map(chain: Chain, shorter: Chain) -> None:
    shape = chain[0].input_shape
    assert chain_output_shape(shorter, shape) == chain_output_shape(chain, shape)
    np.testing.assert_array_equal(
        chain_to_sparse(shorter, shape).toarray(), chain_to_sparse(chain, shape).toarray()
    )


@given(st.data(), st.integers(0, 2**32 - 1))
def test_any_chain_keeps_its_map(data: st.DataObject, seed: int) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    chain = data.draw(chains(shape, numbers))
    shorter = simplify_chain(chain)
    assert len(shorter) <= len(chain)
    if chain:
        assert_same_map(chain, shorter)
    assert kinds(simplify_chain(shorter)) == kinds(shorter)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ((Scale((3, 4, 4), CHANNELS), convolution((3, 4, 4), 6)), [Convolution]),
        ((convolution((2, 4, 4), 3), Scale((3, 4, 4), CHANNELS)), [Convolution]),
        ((Scale((3, 4, 4), CHANNELS), convolution((3, 4, 4), 3, groups=3)), [Convolution]),
        ((Scale((3, 4, 4), CHANNELS), SumPool((3, 4, 4), POOL), convolution((3, 2, 2), 2)),
         [SumPool, Convolution]),
        ((pad((3, 4, 4), 2, 0), convolution((3, 6, 4), 2)), [Convolution]),
        ((Scale((3, 4, 4), CHANNELS), pad((3, 4, 4), 1, 1), convolution((3, 6, 4), 2)),
         [Convolution]),
        ((Scale((3, 2, 2), CHANNELS), transposed((3, 2, 2), 4)), [TransposedConvolution]),
        ((Scale((3, 2, 2), CHANNELS), transposed((3, 2, 2), 6, groups=3)),
         [TransposedConvolution]),
        ((transposed((2, 2, 2), 3), Scale((3, 4, 3), CHANNELS)), [TransposedConvolution]),
        ((transposed((3, 2, 2), 3, groups=3), Scale((3, 4, 3), CHANNELS)),
         [TransposedConvolution]),
        ((place((1, 2, 2), 0, 1, 3), transposed((3, 2, 2), 2)), [TransposedConvolution]),
        ((Scale((3, 2), CHANNELS[:, 0]), Dense((3, 2), np.ones((4, 2))),
          Dense((3, 4), np.eye(3), 0)), [Dense, Dense]),
        ((Scale((3, 2, 2), CHANNELS), ReduceSum((3, 2, 2), (1, 2)), Reshape((3, 1, 1), (3,)),
          Dense((3,), np.eye(3))), [ReduceSum, Reshape, Dense]),
        ((Reshape((6, 4, 4), (2, 3, 4, 4)), Transpose((2, 3, 4, 4), (1, 0, 2, 3)),
          Reshape((3, 2, 4, 4), (6, 4, 4))), [Select]),
        ((Reshape((6, 4, 4), (2, 3, 4, 4)), Transpose((2, 3, 4, 4), (1, 0, 2, 3)),
          Reshape((3, 2, 4, 4), (6, 4, 4)), convolution((6, 4, 4), 2)), [Convolution]),
        ((Reshape((2, 6), (2, 2, 3)), Transpose((2, 2, 3), (0, 2, 1)), Reshape((2, 3, 2), (2, 6))),
         [Select]),
        ((Reshape((4, 4), (2, 2, 4)), Transpose((2, 2, 4), (2, 0, 1)), Reshape((4, 2, 2), (4, 4))),
         [Reshape, Transpose, Reshape]),
        ((Scale((3,), CHANNELS[:, 0, 0]), Dense((3,), np.eye(3))), [Dense]),
        ((Dense((3,), np.eye(3)), Scale((3,), CHANNELS[:, 0, 0])), [Dense]),
        ((Scale((3, 2), CHANNELS[:, 0]), Reshape((3, 2), (6,)), Dense((6,), np.ones((2, 6)))),
         [Reshape, Dense]),
        ((Scale((3, 2), CHANNELS[:, 0]), Transpose((3, 2), (1, 0)), Dense((2, 3), np.eye(3))),
         [Transpose, Dense]),
        ((Scale((2,), np.array([2.0, 4.0])), Matrix((2,), place((2,), 0, 1, 4).to_sparse(), (4,)),
          Scale((4,), np.array([1.0, 2.0, 8.0, 3.0]))), [Matrix]),
        ((place((2, 4, 4), 0, 1, 5), convolution((5, 4, 4), 3)), [Convolution]),
        ((Select((3, 4, 4), (np.array([2, -1, 0, 1]), np.array([-1, 0, 1, 2, 3]), None)),
          convolution((4, 5, 4), 2)), [Convolution]),
        ((place((2, 3), -2, 3, 6), Dense((6, 3), np.arange(12.0).reshape(2, 6), axis=0)), [Dense]),
        ((Reshape((4,), (2, 2)), Reshape((2, 2), (4,))), []),
        ((Transpose((2, 3, 4), (1, 2, 0)), Transpose((3, 4, 2), (2, 0, 1))), []),
        ((Transpose((2, 3, 4), (1, 0, 2)), Transpose((3, 2, 4), (0, 2, 1))), [Transpose]),
        ((place((2, 3), 0, 1, 4), Select((4, 3), (np.array([1, 2]), None))), []),
        ((Scale((3,), np.full(3, 2.0)), Scale((3,), np.full(3, 0.5))), []),
    ],
)  # fmt: skip
def test_what_merges(chain: Chain, expected: list[type[LinearOperator]]) -> None:
    shorter = simplify_chain(chain)
    assert kinds(shorter) == expected
    assert_same_map(chain, shorter)


@pytest.mark.parametrize(
    "chain",
    [
        # A factor that differs within a channel, or a shift between channels, is no weight.
        (Scale((1, 2, 2), np.array([[[1.0, 2.0], [3.0, 4.0]]])), convolution((1, 2, 2), 2)),
        (Select((2, 4, 4), (np.array([1, 1]), None, None)), convolution((2, 4, 4), 2)),
        (place((2, 4, 4), 0, 1, 4), convolution((4, 4, 4), 2, groups=2)),
        (Select((4, 4, 4), (np.array([1, 2]), None, None)), convolution((2, 4, 4), 2)),
        (Select((2,), (np.array([0, 1, 0]),)), Dense((3,), np.eye(3))),
        (place((2, 2), 1, 0, 3), Dense((2, 3), np.eye(2), axis=0)),
        (Select((2, 4, 4), (None, np.array([0, 2]), None)), convolution((2, 2, 4), 2)),
        (pad((2, 4, 4), 1, 0), SumPool((2, 5, 4), POOL)),
        (Scale((2, 2), np.array([[1.0], [2.0]])), ReduceSum((2, 2), (0,))),
    ],
)
def test_what_stays(chain: Chain) -> None:
    assert simplify_chain(chain) == chain


def test_weights_are_multiplied_once_and_left_alone() -> None:
    original = convolution((3, 4, 4), 6)
    before = original.weight.copy()
    (merged,) = simplify_chain((Scale((3, 4, 4), CHANNELS), original))
    assert isinstance(merged, Convolution)
    np.testing.assert_array_equal(merged.weight, before * CHANNELS.reshape(1, 3, 1, 1))
    np.testing.assert_array_equal(original.weight, before)


def test_a_factor_along_one_axis() -> None:
    np.testing.assert_array_equal(per_axis(np.float64(2.0), (2, 3), 1), [2.0, 2.0, 2.0])  # type: ignore[arg-type]
    np.testing.assert_array_equal(per_axis(CHANNELS, (3, 2, 2), 0), [1.0, 2.0, 4.0])
    assert per_axis(CHANNELS, (3, 2, 2), 1) is None


def test_what_does_not_vary_is_held_once() -> None:
    full = np.broadcast_to(CHANNELS, (3, 5, 2))
    assert collapse(full).shape == (3, 1, 1)
    assert collapse(np.ones((4, 4))).shape == (1, 1)
    np.testing.assert_array_equal(collapse(full), CHANNELS)
    varied = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(collapse(varied), varied)


def test_a_scale_of_a_single_number_keeps_its_shape() -> None:
    """NumPy's ascontiguousarray gives a number an axis that its value has not."""
    (_, scale) = simplify_chain((Scale((1,), np.array([2.0])), Reshape((1,), ())))
    assert isinstance(scale, Scale) and scale.factor.shape == scale.input_shape == ()
    assert collapse(np.array(3.0)).shape == ()
