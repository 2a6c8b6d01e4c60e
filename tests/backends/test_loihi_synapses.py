"""A chain of operators and the one operator that it becomes are the same map."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from snnconvert.backends.loihi.synapses import (
    DenseSynapses,
    SharedKernel,
    SparseSynapses,
    compose,
    synapses_of,
    to_shared_kernel,
)
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    LinearOperator,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    Window,
    apply_chain,
    chain_to_sparse,
)


def conv(
    shape: Shape,
    outputs: int,
    size: tuple[int, ...] = (3, 3),
    *,
    strides: tuple[int, ...] = (1, 1),
    pads: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
    dilations: tuple[int, ...] = (1, 1),
    groups: int = 1,
    seed: int = 0,
) -> Convolution:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(outputs, shape[0] // groups, *size))
    return Convolution(shape, weight, strides, pads, dilations, groups)


def pool(
    shape: Shape,
    size: int = 2,
    stride: int = 2,
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> SumPool:
    return SumPool(shape, Window((size, size), (stride, stride), pads, (1, 1)))


def assert_same_map(chain: Chain, found: LinearOperator | None) -> None:
    assert found is not None
    shape = chain[0].input_shape
    x = np.random.default_rng(1).normal(size=(5, *shape))
    expected = apply_chain(chain, x)
    np.testing.assert_allclose(found.apply(x).reshape(expected.shape), expected, atol=1e-9)


@st.composite
def pooled_convolutions(draw: st.DrawFn) -> Chain:
    """Return a pool or a convolution and a convolution behind it, any geometry that has outputs."""
    channels = draw(st.integers(1, 3))
    shape: Shape = (channels, draw(st.integers(5, 11)), draw(st.integers(5, 11)))
    chain: list[LinearOperator] = []
    pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
    if draw(st.booleans()):
        window = Window(
            (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            (draw(pads), draw(pads)),
            (1, 1),
        )
        chain.append(SumPool(shape, window))
    else:
        chain.append(conv(shape, draw(st.integers(1, 3)), (2, 3), strides=(2, 1), seed=3))
    middle = chain[0].output_shape
    size = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    both = (draw(pads), draw(pads))
    if any(extent + sum(p) < s for extent, p, s in zip(middle[1:], both, size, strict=True)):
        both = ((2, 2), (2, 2))
    stride = draw(st.integers(1, 2))
    chain.append(
        conv(middle, draw(st.integers(1, 4)), size, strides=(stride, stride), pads=both, seed=4)
    )
    return tuple(chain)


@given(pooled_convolutions())
def test_a_composed_convolution_is_the_chain_or_refuses(chain: Chain) -> None:
    composed = compose(chain, chain[0].input_shape)
    if composed is not None:
        assert composed.output_shape == chain[-1].output_shape
        assert_same_map(chain, composed)


@given(pooled_convolutions())
def test_whatever_form_is_chosen_is_the_same_matrix(chain: Chain) -> None:
    source, target = chain[0].input_shape, chain[-1].output_shape
    found = synapses_of([chain], source, target).to_sparse()
    expected = chain_to_sparse(chain, source)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-9)


def test_average_pooling_becomes_a_larger_kernel_with_its_stride() -> None:
    p = pool((12, 28, 28))
    chain = (p, conv(p.output_shape, 32, pads=((1, 1), (1, 1))))
    found = synapses_of([chain], (12, 28, 28), (32, 14, 14))
    assert isinstance(found, SharedKernel)
    assert found.weight.shape == (32, 12, 6, 6)
    assert (found.strides, found.padding, found.pads) == ((2, 2), "same", (2, 2))


def test_padding_behind_an_overlapping_pool_is_not_composed() -> None:
    p = pool((2, 9, 9), size=3, stride=2)
    assert compose((p, conv(p.output_shape, 3, pads=((1, 1), (1, 1)))), (2, 9, 9)) is None


def test_a_row_that_the_pool_drops_is_not_seen_through_padding() -> None:
    p = pool((2, 9, 9))  # the ninth row and column are in no window
    assert compose((p, conv(p.output_shape, 3, pads=((1, 1), (1, 1)))), (2, 9, 9)) is None
    assert_same_map((p, conv((2, 4, 4), 3)), compose((p, conv((2, 4, 4), 3)), (2, 9, 9)))


@pytest.mark.parametrize("per_channel", [True, False])
def test_groups_survive_or_are_refused(per_channel: bool) -> None:
    first: LinearOperator = pool((4, 8, 8)) if per_channel else conv((4, 9, 9), 4, (2, 2))
    shape = first.output_shape
    depthwise = conv(shape, 8, groups=4)
    composed = compose((first, depthwise), first.input_shape)
    if per_channel:
        assert_same_map((first, depthwise), composed)
    else:
        assert composed is None


def test_a_pool_behind_a_convolution_is_composed() -> None:
    first = conv((2, 8, 8), 3)
    chain = (first, pool(first.output_shape))
    assert_same_map(chain, compose(chain, (2, 8, 8)))


def test_dilation_becomes_zeros_between_the_taps() -> None:
    operator = conv((2, 9, 9), 3, dilations=(2, 3))
    composed = compose((operator,), (2, 9, 9))
    assert_same_map((operator,), composed)
    assert composed is not None
    assert composed.weight.shape == (3, 2, 5, 7)


def test_summing_over_space_is_a_kernel_of_the_whole_map() -> None:
    operator = ReduceSum((3, 4, 5), (1, 2))
    assert_same_map((operator,), compose((operator,), (3, 4, 5)))


def test_padding_and_cropping_by_indices_become_pads() -> None:
    index = np.array([-1, 0, 1, 2, 3, 4, -1, -1])
    select = Select((2, 5, 6), (None, index, np.arange(1, 5)))
    chain = (select, conv(select.output_shape, 3))
    assert_same_map(chain, compose(chain, (2, 5, 6)))


@pytest.mark.parametrize(
    "index", [np.array([0, 2, 4]), np.array([2, 1, 0]), np.array([-1, 1, 2]), np.array([0, -1, 1])]
)
def test_other_selections_are_not_convolutions(index: np.ndarray) -> None:
    assert compose((Select((2, 5, 5), (None, index, None)),), (2, 5, 5)) is None


def test_one_dimensional_layers_are_images_of_one_row() -> None:
    operator = conv((3, 12), 4, (3,), strides=(2,), pads=((1, 1),), dilations=(1,))
    found = synapses_of([(operator,)], (3, 12), operator.output_shape)
    np.testing.assert_allclose(found.to_sparse().toarray(), operator.to_sparse().toarray())
    assert isinstance(found, SharedKernel)


@pytest.mark.parametrize("extent", range(5, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (0, 1), (1, 0), (2, 2)])
def test_pads_are_expressed_by_nengos_rule_or_not_at_all(
    extent: int, stride: int, pads: tuple[int, int]
) -> None:
    operator = conv((1, extent, extent), 2, strides=(stride, stride), pads=(pads, pads))
    kernel = to_shared_kernel(operator)
    if pads == (0, 0) or (pads == (1, 1) and stride < 3):
        assert kernel is not None
    if kernel is not None:
        expected = operator.to_sparse().toarray()
        np.testing.assert_allclose(kernel.to_sparse().toarray(), expected)


def test_a_fully_connected_layer_keeps_one_axon_a_pixel() -> None:
    chain = (
        pool((4, 6, 6)),
        Reshape((4, 3, 3), (36,)),
        Dense((36,), np.random.default_rng(0).normal(size=(5, 36))),
    )
    found = synapses_of([chain], (4, 6, 6), (5,))
    assert isinstance(found, SharedKernel)
    assert found.weight.shape == (5, 4, 6, 6)
    np.testing.assert_allclose(
        found.to_sparse().toarray(), chain_to_sparse(chain, (4, 6, 6)).toarray()
    )


def test_a_transposed_flattening_is_still_a_kernel_of_the_whole_map() -> None:
    chain = (
        Transpose((2, 3, 4), (1, 2, 0)),
        Reshape((3, 4, 2), (24,)),
        Dense((24,), np.random.default_rng(0).normal(size=(5, 24))),
    )
    found = synapses_of([chain], (2, 3, 4), (5,))
    assert isinstance(found, SharedKernel)
    np.testing.assert_allclose(
        found.to_sparse().toarray(), chain_to_sparse(chain, (2, 3, 4)).toarray()
    )


def test_flat_layers_are_dense_and_identities_sparse() -> None:
    dense = synapses_of([(Dense((6,), np.ones((4, 6))),)], (6,), (4,))
    assert isinstance(dense, DenseSynapses)
    assert isinstance(synapses_of([()], (2, 3, 3), (2, 3, 3)), SparseSynapses)


def test_parallel_chains_add_up() -> None:
    even, odd = (Select((2, 4, 4), (None, None, np.arange(k, 4, 2))) for k in (0, 1))
    chains = [(even,), (odd, Scale((2, 4, 2), np.full((1, 1, 1), -1.0)))]
    found = synapses_of(chains, (2, 4, 4), (2, 4, 2)).to_sparse().toarray()
    x = np.random.default_rng(0).normal(size=(2, 4, 4))
    np.testing.assert_allclose((found @ x.reshape(-1)).reshape(2, 4, 2), x[..., ::2] - x[..., 1::2])
