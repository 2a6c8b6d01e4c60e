"""Chains as Nengo transforms: the same map, in Nengo's own form where it has one."""

import math
from typing import Any

import numpy as np
import pytest

from snnconvert.backends.nengo.engine import nengo
from snnconvert.backends.nengo.transforms import chain_to_transforms, stored_weights
from snnconvert.convert.linear import (
    Chain,
    Convolution,
    Dense,
    FloatArray,
    Pads,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    Window,
    apply_chain,
)


def whole(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.integers(-8, 9, shape).astype(float)


def convolve(
    rng: np.random.Generator,
    shape: Shape,
    size: int,
    *,
    stride: int = 1,
    pads: Pads | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> Convolution:
    spatial = len(shape) - 1
    return Convolution(
        shape,
        whole(rng, 4, shape[0] // groups, *[size] * spatial),
        (stride,) * spatial,
        ((0, 0),) * spatial if pads is None else pads,
        (dilation,) * spatial,
        groups,
    )


def transforms(chain: Chain, shape: Shape) -> list[Any]:
    """Return the transforms, after checking that Nengo computes the chain's map exactly."""
    found = chain_to_transforms(chain, math.prod(shape))
    x = whole(np.random.default_rng(1), 1, *shape)
    with nengo.Network() as network:
        node = nengo.Node(x.reshape(-1))
        for transform in found:
            after = nengo.Node(size_in=transform.size_out)
            nengo.Connection(node, after, transform=transform, synapse=None)
            node = after
        probe = nengo.Probe(node)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(1)
        np.testing.assert_array_equal(simulator.data[probe][0], apply_chain(chain, x).reshape(-1))
    return found


def kinds(chain: Chain, shape: Shape) -> list[str]:
    return [type(transform).__name__ for transform in transforms(chain, shape)]


@pytest.mark.parametrize(
    ("shape", "size", "stride", "pads", "padding"),
    [
        ((2, 7, 6), 3, 1, ((0, 0), (0, 0)), "valid"),
        ((2, 7, 6), 3, 2, ((0, 0), (0, 0)), "valid"),
        ((2, 7, 6), 1, 2, ((0, 0), (0, 0)), "valid"),
        ((2, 7, 6), 3, 1, ((1, 1), (1, 1)), "same"),
        ((2, 7, 6), 2, 1, ((0, 1), (0, 1)), "same"),
        ((2, 7, 7), 3, 2, ((1, 1), (1, 1)), "same"),  # odd extent: both sides are padded
        ((2, 6, 6), 3, 2, ((0, 1), (0, 1)), "same"),
        ((2, 9), 5, 1, ((2, 2),), "same"),
        ((2, 9), 5, 2, ((0, 0),), "valid"),
    ],
)
def test_padding_that_nengo_has(
    rng: np.random.Generator, shape: Shape, size: int, stride: int, pads: Pads, padding: str
) -> None:
    (transform,) = transforms((convolve(rng, shape, size, stride=stride, pads=pads),), shape)
    assert isinstance(transform, nengo.Convolution)
    assert transform.padding == padding


@pytest.mark.parametrize(
    ("shape", "size", "stride", "pads"),
    [
        ((2, 6, 6), 3, 2, ((1, 1), (1, 1))),  # Nengo pads an even extent on the far side only
        ((2, 6, 6), 3, 2, ((1, 0), (1, 0))),
        ((2, 7, 7), 3, 1, ((2, 2), (2, 2))),
        ((2, 7, 7), 3, 1, ((1, 1), (0, 0))),
        ((2, 7, 7), 2, 1, ((1, 0), (1, 0))),
        ((2, 7, 7), 3, 1, ((1, -1), (1, 1))),
    ],
)
def test_padding_that_nengo_lacks(
    rng: np.random.Generator, shape: Shape, size: int, stride: int, pads: Pads
) -> None:
    assert kinds((convolve(rng, shape, size, stride=stride, pads=pads),), shape) == ["Sparse"]


def test_convolutions_that_nengo_lacks(rng: np.random.Generator) -> None:
    assert kinds((convolve(rng, (2, 7, 7), 3, dilation=2),), (2, 7, 7)) == ["Sparse"]
    assert kinds((convolve(rng, (2, 4, 4, 4), 3),), (2, 4, 4, 4)) == ["Sparse"]


def test_groups(rng: np.random.Generator) -> None:
    (transform,) = transforms((convolve(rng, (4, 6, 6), 3, groups=2),), (4, 6, 6))
    assert transform.groups == 2
    assert stored_weights(transform) == np.count_nonzero(transform.init)


def test_dense_layers(rng: np.random.Generator) -> None:
    flat = (Reshape((2, 3), (6,)), Dense((6,), whole(rng, 4, 6)))
    assert kinds(flat, (2, 3)) == ["Dense"]
    # along the axis of a single position it is the same matrix
    assert kinds((Dense((6, 1, 1), whole(rng, 4, 6), axis=0),), (6, 1, 1)) == ["Dense"]
    assert kinds((Dense((6, 2), whole(rng, 4, 6), axis=0),), (6, 2)) == ["Sparse"]


def test_one_to_one() -> None:
    for chain in (), (Reshape((2, 3), (3, 2)),), (Scale((2, 3), np.ones(())),):
        (transform,) = transforms(chain, (2, 3))
        assert isinstance(transform, nengo.transforms.NoTransform)
        assert stored_weights(transform) == 0


def test_diagonals_stay_vectors(rng: np.random.Generator) -> None:
    (scalar,) = transforms((Scale((2, 3), np.full((1, 1), 4.0)),), (2, 3))
    assert isinstance(scalar, nengo.Dense) and scalar.init_shape == ()
    (vector,) = transforms((Scale((2, 3), np.array([[2.0], [3.0]])),), (2, 3))
    assert isinstance(vector, nengo.Dense) and vector.init_shape == (6,)
    assert stored_weights(vector) == 6


def test_wiring_and_scales_are_one_matrix(rng: np.random.Generator) -> None:
    chain = (
        Transpose((2, 3), (1, 0)),
        Select((3, 2), (np.array([-1, 2, 0]), None)),
        Scale((3, 2), np.arange(6.0).reshape(3, 2)),
    )
    assert kinds(chain, (2, 3)) == ["Sparse"]


def test_a_product_that_grows_stays_two(rng: np.random.Generator) -> None:
    """Pooling before a convolution is a node of its own: each tap would become four."""
    pool = SumPool((2, 8, 8), Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    mean = Scale(pool.output_shape, np.full((1, 1, 1), 0.25))
    native = convolve(rng, (2, 4, 4), 3)
    assert kinds((pool, mean, native), (2, 8, 8)) == ["Sparse", "Convolution"]
    foreign = convolve(rng, (2, 4, 4), 3, stride=2, pads=((1, 1), (1, 1)))
    assert kinds((pool, mean, foreign), (2, 8, 8)) == ["Sparse", "Sparse"]


def test_no_weights_at_all(rng: np.random.Generator) -> None:
    chain = (Select((2, 3), (None, np.array([-1, -1]))),)
    assert kinds(chain, (2, 3)) == ["Sparse"]
    assert stored_weights(chain_to_transforms(chain, 6)[0]) == 0
