"""torch's operators against the operators' own NumPy form."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import LARGEST, Numbers, chains, input_shapes, operators, windows

from snnconvert.backends.cpu.dense import DenseKernel, exact_torch
from snnconvert.backends.cpu.layout import from_stored, stored_shape, to_stored
from snnconvert.convert.linear import (
    Convolution,
    FloatArray,
    LinearOperator,
    Scale,
    Select,
    Shape,
    SumPool,
    Window,
    apply_chain,
)


def currents(chain: tuple[LinearOperator, ...], shape: Shape, x: FloatArray) -> FloatArray:
    """Apply the chain as the simulator does: stored order in, stored order out."""
    kernel = DenseKernel(chain, shape, x.dtype)
    sent = to_stored(x, shape).reshape(1, len(x), *stored_shape(shape))
    target = chain[-1].output_shape if chain else shape
    return np.asarray(from_stored(kernel.currents(sent), target)[0])


@given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_any_chain_equals_its_numpy_form(data: st.DataObject, seed: int, dtype: type) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    chain = data.draw(chains(shape, numbers))
    x = numbers.samples((3, *shape), 1.0).astype(dtype)
    result = currents(chain, shape, x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, apply_chain(chain, x))


@given(st.data(), st.integers(0, 2**32 - 1))
def test_any_operator_equals_its_matrix(data: st.DataObject, seed: int) -> None:
    numbers = Numbers("dyadic", seed)
    shape = data.draw(input_shapes())
    operator = data.draw(operators(shape, numbers).filter(
        lambda op: math.prod(op.output_shape) <= LARGEST))  # fmt: skip
    x = numbers.samples((2, *shape), 1.0)
    expected = (operator.to_sparse() @ x.reshape(2, -1).T).T.reshape(2, *operator.output_shape)
    np.testing.assert_array_equal(currents((operator,), shape, x), expected)


@given(st.data(), st.integers(1, 3), st.booleans())
def test_weighted_taps_side_by_side(data: st.DataObject, rank: int, crops: bool) -> None:
    """Interpolation is one step; without windows that fit end to end it is three."""
    numbers = Numbers("dyadic", data.draw(st.integers(0, 2**32 - 1)))
    shape = (2, *(data.draw(st.integers(1, 4)) for _ in range(rank)))
    counts = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    extents = [data.draw(st.integers(1, 4)) * count for count in counts]
    indices = [numbers.rng.integers(-1, s, e) for s, e in zip(shape[1:], extents, strict=True)]
    select = Select(shape, (None, *indices))
    scale = Scale(select.output_shape, numbers.weights(select.output_shape, 1))
    pads = ((0, -1 if crops and extents[0] > counts[0] else 0), *((0, 0),) * (rank - 1))
    pool = SumPool(select.output_shape, Window(counts, counts, pads, (1,) * rank))
    chain = (select, scale, pool)
    x = numbers.samples((3, *shape), 1.0)
    np.testing.assert_array_equal(currents(chain, shape, x), apply_chain(chain, x))
    silent = (select, replace(scale, factor=np.zeros(())), pool)
    assert not currents(silent, shape, x).any()


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@given(data=st.data())
def test_pools_and_convolutions_of_every_rank(rank: int, data: st.DataObject) -> None:
    """Four spatial axes have no operator in torch: the NumPy form takes over."""
    shape = (2, *[3] * rank)
    window = data.draw(windows(shape[1:]))
    numbers = Numbers("dyadic", 0)
    weight = numbers.weights((4, 1, *window.size), 4)
    convolution = Convolution(shape, weight, window.strides, window.pads, window.dilations, 2)
    x = numbers.samples((2, *shape), 1.0).astype(np.float32)
    for operator in (SumPool(shape, window), convolution):
        np.testing.assert_array_equal(currents((operator,), shape, x), operator.apply(x))


@pytest.mark.parametrize(
    "index",
    [
        [0, 1, 2, 3, 4],
        [1, 2, 3],
        [0, 2, 4],
        [-1, 1, 3, -1, -1],
        [4, 3, 2],
        [2, 2, 2],
        [3],
        [-1, 3],
        [0, -1, 1],
        [0, 1, 3],
        [-1, -1],
    ],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_and_gathers(index: list[int], axis: int, rng: np.random.Generator) -> None:
    shape = (5, 5, 5)
    select = Select(shape, tuple(np.array(index) if a == axis else None for a in range(3)))
    x = rng.standard_normal((2, *shape))
    np.testing.assert_array_equal(currents((select,), shape, x), select.apply(x))


@pytest.mark.parametrize("shape", [(64, 8, 8), (64, 56, 56), (128, 14, 14), (16, 32, 32)])
def test_float32_convolutions_round_nothing(shape: Shape, rng: np.random.Generator) -> None:
    """Sums use all 24 bits: Winograd's transforms, or bfloat16, would change the last ones."""
    fan_in = 9 * shape[0]
    weight = rng.integers(1, 2**24 // fan_in, (32, shape[0], 3, 3)).astype(np.float64)
    convolution = Convolution(shape, weight, (1, 1), ((1, 1), (1, 1)), (1, 1))
    spikes = (rng.random((16, *shape)) < 0.5).astype(np.float32)
    with exact_torch():
        single = currents((convolution,), shape, spikes)
    double = currents((convolution,), shape, spikes.astype(np.float64))
    assert double.max() > 2**22
    np.testing.assert_array_equal(single, double)


def test_a_single_channel_in_three_dimensions(rng: np.random.Generator) -> None:
    """Torch's 3-d convolution returns unwritten memory for strides that fit two layouts."""
    ones = (1, 1, 1)
    first = Convolution(
        (1, 1, 3, 2), np.full((1, 1, 1, 1, 1), -0.375), (2, 1, 1), ((0, 0),) * 3, ones
    )
    weight = np.array([[[[[-0.625, 0.375], [-0.625, 0.0]]]]])
    second = Convolution(first.output_shape, weight, ones, ((0, 0), (1, 0), (0, 0)), ones)
    x = rng.integers(0, 2, (9, 1, 1, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        currents((first, second), first.input_shape, x), apply_chain((first, second), x)
    )
