"""Linear operators: two forms of the same map, and small cases by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import Numbers, chains, input_shapes, operators, windows

from snnconvert.convert.linear import (
    Convolution,
    Dense,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    SumPool,
    Transpose,
    TransposedConvolution,
    Window,
    absolute_chain,
    apply_chain,
    chain_output_shape,
    chain_to_sparse,
    is_routing,
    multiply_adds,
    place,
    weights_of,
    with_weights,
)

seeds = st.integers(0, 2**32 - 1)


@given(st.data(), seeds, st.sampled_from([np.float32, np.float64]))
def test_apply_and_to_sparse_are_the_same_map(
    data: st.DataObject, seed: int, dtype: type[np.floating]
) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    operator = data.draw(operators(shape, numbers))
    matrix = operator.to_sparse()
    assert matrix.shape == (math.prod(operator.output_shape), math.prod(shape))
    assert matrix.dtype == np.float64
    x = numbers.samples((3, *shape), 1.0).astype(dtype)
    mapped = operator.apply(x)
    assert mapped.dtype == dtype
    assert mapped.shape == (3, *operator.output_shape)
    np.testing.assert_array_equal(mapped.reshape(3, -1), (matrix @ x.reshape(3, -1).T).T)


@given(st.data(), seeds)
def test_a_chain_is_one_matrix(data: st.DataObject, seed: int) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    chain = data.draw(chains(shape, numbers))
    x = numbers.samples((2, *shape), 1.0)
    expected = (chain_to_sparse(chain, shape) @ x.reshape(2, -1).T).T
    mapped = apply_chain(chain, x)
    assert mapped.shape == (2, *chain_output_shape(chain, shape))
    np.testing.assert_array_equal(mapped.reshape(2, -1), expected)


@given(st.data(), seeds)
def test_the_magnitudes_of_a_chain_bound_what_it_brings(data: st.DataObject, seed: int) -> None:
    numbers = Numbers("float", seed)
    shape = data.draw(input_shapes())
    chain = data.draw(chains(shape, numbers))
    x = numbers.samples((1, *shape), 1.0)
    reach = apply_chain(absolute_chain(chain), np.abs(x))
    assert (np.abs(apply_chain(chain, x)) <= reach * (1 + 1e-12)).all()


@given(st.data(), seeds)
def test_operations_of_a_convolution_are_its_taps(data: st.DataObject, seed: int) -> None:
    """Padding counts as well: taps times positions, as profilers count."""
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)))
    window = data.draw(windows(shape[1:]))
    weight = Numbers("float", seed).weights((4, shape[0], *window.size), 1)
    convolution = Convolution(shape, weight, window.strides, window.pads, window.dilations)
    pool = SumPool(shape, window)
    positions = math.prod(window.output_extent(shape[1:]))
    taps = math.prod(window.size)
    assert convolution.multiply_adds == 4 * shape[0] * taps * positions
    assert pool.multiply_adds == shape[0] * taps * positions
    assert multiply_adds((convolution, Scale(convolution.output_shape, np.ones(())))) == (
        convolution.multiply_adds + math.prod(convolution.output_shape)
    )


def test_operations_of_the_other_operators() -> None:
    ones = np.ones((5, 3))
    assert Dense((2, 3), ones).multiply_adds == 30
    assert Dense((3, 4), ones, axis=0).multiply_adds == 60
    assert ReduceSum((2, 3), (1,)).multiply_adds == 6
    assert Matrix((4,), place((4,), 0, 1, 6).to_sparse(), (6,)).multiply_adds == 4
    for wiring in (Reshape((6,), (2, 3)), Transpose((2, 3), (1, 0)), place((2,), 0, 0, 3)):
        assert wiring.multiply_adds == 0


def test_a_convolution_by_hand() -> None:
    """Uneven padding, a stride, a dilation and two groups."""
    x = np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
    weight = np.array([[[1.0, 2.0]], [[1.0, -1.0]]])
    convolution = Convolution((2, 4), weight, (2,), ((1, 2),), (2,), groups=2)
    # Padded: 0 1 2 3 4 0 0; taps two apart, every second position.
    expected = [[0 + 2 * 2, 2 + 2 * 4, 4 + 2 * 0], [0 - 20, 20 - 40, 40 - 0]]
    np.testing.assert_array_equal(convolution.apply(x[None])[0], expected)
    assert convolution.output_shape == (2, 3)


def test_a_transposed_convolution_by_hand() -> None:
    """Stride 2 with one position cut in front and a zero added behind."""
    x = np.array([[1.0, 2.0, 3.0]])
    weight = np.array([[[1.0, 10.0, 100.0]]])
    spread = TransposedConvolution((1, 3), weight, (2,), ((1, -1),), (1,))
    # Kernels at 0, 2 and 4: 1 10 100+2 20 200+3 30 300.
    np.testing.assert_array_equal(spread.apply(x[None])[0], [[10, 102, 20, 203, 30, 300, 0]])
    assert spread.output_shape == (1, 7)
    assert spread.multiply_adds == 9
    assert spread.adjoint.output_shape == spread.input_shape


def test_padding_may_crop() -> None:
    window = Window((2,), (1,), ((-1, -1),), (1,))
    x = np.arange(5.0).reshape(1, 1, 5)
    np.testing.assert_array_equal(window.view(x)[0, 0], [[1.0, 2.0], [2.0, 3.0]])
    assert window.output_extent((5,)) == (2,)
    pool = SumPool((1, 5), window)
    np.testing.assert_array_equal(pool.apply(x)[0, 0], [3.0, 5.0])


def test_a_dense_layer_sums_over_any_axis() -> None:
    x = np.arange(6.0).reshape(1, 2, 3)
    weight = np.array([[1.0, 10.0]])
    np.testing.assert_array_equal(Dense((2, 3), weight, axis=0).apply(x), [[[30.0, 41.0, 52.0]]])
    np.testing.assert_array_equal(Dense((2, 3), weight, axis=-2).apply(x), [[[30.0, 41.0, 52.0]]])


def test_a_selection_copies_and_fills_with_zeros() -> None:
    select = Select((2, 3), (np.array([1, -1]), np.array([2, 2, -1, 0])))
    x = np.arange(1.0, 7.0).reshape(1, 2, 3)
    np.testing.assert_array_equal(select.apply(x)[0], [[6, 6, 0, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(select.sources(), [[5, 5, -1, 3], [-1, -1, -1, -1]])
    np.testing.assert_array_equal(x, np.arange(1.0, 7.0).reshape(1, 2, 3))


def test_placements_make_a_concatenation() -> None:
    first, second = np.arange(2.0).reshape(1, 2, 1), np.arange(5.0, 8.0).reshape(1, 3, 1)
    joined = place((2, 1), 0, 0, 5).apply(first) + place((3, 1), 0, 2, 5).apply(second)
    np.testing.assert_array_equal(joined, np.concatenate([first, second], axis=1))


def test_only_wiring_is_routing() -> None:
    wiring = (Reshape((4,), (2, 2)), Transpose((2, 2), (1, 0)), place((2, 2), 0, 0, 3))
    assert is_routing(wiring)
    assert is_routing(())
    assert not is_routing((*wiring, Scale((3, 2), np.ones(()))))
    assert not is_routing((ReduceSum((2, 2), (0,)),))


@given(st.data(), seeds)
def test_weights_can_be_replaced(data: st.DataObject, seed: int) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    operator = data.draw(operators(shape, numbers).filter(lambda op: weights_of(op) is not None))
    weights = weights_of(operator)
    assert weights is not None
    before = operator.to_sparse().toarray()
    doubled = with_weights(operator, 2.0 * weights)
    np.testing.assert_array_equal(doubled.to_sparse().toarray(), 2.0 * before)
    np.testing.assert_array_equal(operator.to_sparse().toarray(), before)


def test_wiring_has_no_weights_to_replace() -> None:
    assert weights_of(Reshape((4,), (2, 2))) is None
    with pytest.raises(TypeError, match="Reshape holds no weights"):
        with_weights(Reshape((4,), (2, 2)), np.ones(4))
