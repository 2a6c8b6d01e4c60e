"""Random networks for property tests: every operator, adds, concatenations, windows, delays.

Hypothesis draws the structure and a seed; the seed makes the numbers. ``dyadic`` numbers are small
multiples of a power of two with power-of-two thresholds, so that all arithmetic on them is exact;
``float`` numbers are anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

from snnconvert.backends.base import RunResult
from snnconvert.convert.linear import (
    WEIGHTED,
    Chain,
    Convolution,
    Dense,
    FloatArray,
    LinearOperator,
    Matrix,
    ReduceSum,
    Reshape,
    Scale,
    Select,
    Shape,
    SumPool,
    Transpose,
    TransposedConvolution,
    Window,
    chain_output_shape,
    place,
)
from snnconvert.convert.network import (
    Connection,
    Encoding,
    Input,
    Network,
    NetworkNode,
    Population,
    Readout,
    Relay,
    Reset,
)

Kind = Literal["float", "dyadic"]
NEURONS = ("if", "if", "signed", "graded:3")
"""Models that targets with all of them are tested with; the plain one twice as often."""

LARGEST = 160
"""Values of one node at most: small enough for hundreds of examples."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network, samples for it by input name, and a number of timesteps."""

    network: Network
    samples: dict[str, FloatArray]
    timesteps: int

    def __repr__(self) -> str:
        return f"Case({self.network!r}, timesteps={self.timesteps})"


def assert_same_run(result: RunResult, expected: RunResult) -> None:
    """Assert that two runs agree in every spike of the recorded populations and every output."""
    assert result.spikes.keys() == expected.spikes.keys()
    for name, train in expected.spikes.items():
        np.testing.assert_array_equal(result.spikes[name], train, err_msg=name)
    for name, counts in expected.spike_counts.items():
        np.testing.assert_array_equal(result.spike_counts[name], counts, err_msg=name)
        events = result.event_counts(name)
        np.testing.assert_array_equal(events, expected.event_counts(name), err_msg=name)
    for name, total in result.totals.items():
        summed = expected.event_counts(name).sum(axis=0).reshape(-1)
        np.testing.assert_array_equal(total, summed, err_msg=name)
    assert result.outputs.keys() == expected.outputs.keys()
    for name, output in expected.outputs.items():
        np.testing.assert_array_equal(result.outputs[name], output, err_msg=name)
    assert result.latency == expected.latency


class Numbers:
    """Makes weights, thresholds and samples of one kind."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind = kind
        self.rng = np.random.default_rng(seed)

    def weights(self, shape: Shape, fan_in: int) -> FloatArray:
        if self.kind == "dyadic":
            return np.asarray(
                self.rng.integers(-6, 7, shape) * 2.0 ** -round(math.log2(4 * fan_in) / 2 + 1)
            )
        return np.asarray(self.rng.standard_normal(shape) * 1.2 / math.sqrt(fan_in))

    def factors(self, shape: Shape) -> FloatArray:
        if self.kind == "dyadic":
            return np.asarray(2.0 ** self.rng.integers(-1, 2, shape))
        return np.asarray(self.rng.uniform(0.4, 1.6, shape))

    def thresholds(self, shape: Shape) -> FloatArray:
        if self.kind == "dyadic":
            return np.asarray(2.0 ** self.rng.integers(-2, 2, shape))
        return np.asarray(self.rng.uniform(0.3, 2.0, shape))

    def biases(self, shape: Shape) -> FloatArray:
        if self.kind == "dyadic":
            return np.asarray(self.rng.integers(-6, 9, shape) / 32.0)
        return np.asarray(self.rng.normal(0.05, 0.2, shape))

    def fractions(self, shape: Shape) -> FloatArray:
        """In [0, 1)."""
        if self.kind == "dyadic":
            return np.asarray(self.rng.integers(0, 8, shape) / 8.0)
        return np.asarray(self.rng.uniform(0.0, 0.999, shape))

    def samples(self, shape: Shape, bound: float) -> FloatArray:
        if self.kind == "dyadic":
            return np.asarray(self.rng.integers(-8, 9, shape) / 8.0 * bound)
        return np.asarray(self.rng.uniform(-bound, bound, shape))

    def events(self, shape: Shape) -> FloatArray:
        return np.asarray(
            self.rng.integers(0, 3, shape) * (self.rng.random(shape) < 0.4).astype(float)
        )


def input_shapes() -> st.SearchStrategy[Shape]:
    """Shapes with no, one, two or three spatial axes."""
    side = st.integers(1, 5)
    return st.one_of(
        st.tuples(st.integers(1, 12)),
        st.tuples(st.integers(1, 4), st.integers(1, 9)),
        st.tuples(st.integers(1, 4), side, side),
        st.tuples(st.integers(1, 4), side, side),
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    )


@st.composite
def windows(draw: st.DrawFn, spatial: Shape) -> Window:
    """A window with strides, dilations and uneven padding that has at least one position."""
    size, strides, pads, dilations = [], [], [], []
    for extent in spatial:
        before, after = draw(st.integers(0, 2)), draw(st.integers(-1, 2))
        padded = max(extent + before + after, 1)
        after = padded - extent - before
        taps = draw(st.integers(1, min(3, padded)))
        widest = 1 if taps == 1 else min(2, (padded - 1) // (taps - 1))
        size.append(taps)
        strides.append(draw(st.integers(1, 2)))
        pads.append((before, after))
        dilations.append(draw(st.integers(1, widest)))
    return Window(tuple(size), tuple(strides), tuple(pads), tuple(dilations))


@st.composite
def convolutions(draw: st.DrawFn, shape: Shape, numbers: Numbers) -> Convolution:
    """A convolution over all axes but the first, grouped where the channels allow it."""
    window = draw(windows(shape[1:]))
    groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    outputs = groups * draw(st.integers(1, max(1, 4 // groups)))
    fan_in = shape[0] // groups * math.prod(window.size)
    weight = numbers.weights((outputs, shape[0] // groups, *window.size), fan_in)
    return Convolution(shape, weight, window.strides, window.pads, window.dilations, groups)


@st.composite
def transposed_convolutions(
    draw: st.DrawFn, shape: Shape, numbers: Numbers
) -> TransposedConvolution:
    """A transposed convolution with strides, dilations, groups and uneven or negative cuts."""
    size, strides, pads, dilations = [], [], [], []
    for extent in shape[1:]:
        taps, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
        reached = (extent - 1) * stride + dilation * (taps - 1) + 1
        begin = draw(st.integers(-1, min(2, reached - 1)))
        pads.append((begin, draw(st.integers(-2, min(2, reached - begin - 1)))))
        size.append(taps)
        strides.append(stride)
        dilations.append(dilation)
    groups = draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    outputs = draw(st.integers(1, max(1, 3 // groups)))
    fan_in = max(1, shape[0] // groups * math.prod(size) // math.prod(strides))
    weight = numbers.weights((shape[0], outputs, *size), fan_in)
    return TransposedConvolution(
        shape, weight, tuple(strides), tuple(pads), tuple(dilations), groups
    )


@st.composite
def sum_pools(draw: st.DrawFn, shape: Shape) -> SumPool:
    """A sum over a window of each channel."""
    return SumPool(shape, draw(windows(shape[1:])))


@st.composite
def selects(draw: st.DrawFn, shape: Shape) -> Select:
    """Slices, paddings, gathers and placements along some of the axes."""
    return Select(shape, tuple(draw(_indices(size)) for size in shape))


@st.composite
def _indices(draw: st.DrawFn, size: int) -> Any:
    form = draw(st.sampled_from(["all", "all", "pad", "slice", "gather", "reverse"]))
    every = np.arange(size)
    if form == "pad":
        zeros = [np.full(draw(st.integers(0, 2)), -1) for _ in range(2)]
        return np.concatenate([zeros[0], every, zeros[1]])
    if form == "slice":
        start = draw(st.integers(0, size - 1))
        return every[start :: draw(st.integers(1, 2))]
    if form == "gather":
        return np.array(draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=5)))
    return None if form == "all" else every[::-1]


@st.composite
def denses(draw: st.DrawFn, shape: Shape, numbers: Numbers) -> Dense:
    """A matrix product along any axis."""
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    outputs = draw(st.integers(1, 6))
    return Dense(shape, numbers.weights((outputs, shape[axis]), shape[axis]), axis)


def matrix(shape: Shape, target: Shape, numbers: Numbers) -> Matrix:
    """A sparse matrix between two shapes."""
    rows, columns = math.prod(target), math.prod(shape)
    entries = numbers.weights((rows, columns), min(columns, 4))
    entries = entries * (numbers.rng.random((rows, columns)) < min(1.0, 4 / columns))
    return Matrix(shape, sp.csr_array(entries), target)


@st.composite
def scales(draw: st.DrawFn, shape: Shape, numbers: Numbers) -> Scale:
    """A factor that is one number, one a channel or one a value."""
    form = draw(st.sampled_from(["scalar", "channel", "value"]))
    channel = (shape[0], *[1] * (len(shape) - 1))
    return Scale(shape, numbers.factors({"scalar": (), "channel": channel, "value": shape}[form]))


@st.composite
def operators(draw: st.DrawFn, shape: Shape, numbers: Numbers) -> LinearOperator:
    """Any operator for a shape."""
    kinds = ["dense", "scale", "select", "reshape", "transpose", "reduce", "matrix"]
    if len(shape) > 1:
        kinds += ["convolution"] * 6 + ["pool"] * 3 + ["transposed"] * 3
    kind = draw(st.sampled_from(kinds))
    if kind == "convolution":
        return draw(convolutions(shape, numbers))
    if kind == "transposed":
        return draw(transposed_convolutions(shape, numbers))
    if kind == "pool":
        return draw(sum_pools(shape))
    if kind == "dense":
        return draw(denses(shape, numbers))
    if kind == "scale":
        return draw(scales(shape, numbers))
    if kind == "select":
        return draw(selects(shape))
    if kind == "matrix":
        return matrix(shape, draw(input_shapes()), numbers)
    if kind == "reshape":
        flat = math.prod(shape)
        rows = draw(st.sampled_from([d for d in range(1, flat + 1) if flat % d == 0]))
        return Reshape(shape, draw(st.sampled_from([(flat,), (rows, flat // rows)])))
    if kind == "transpose":
        return Transpose(shape, tuple(draw(st.permutations(range(len(shape))))))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    return ReduceSum(shape, tuple(sorted(axes)))


@st.composite
def chains(draw: st.DrawFn, shape: Shape, numbers: Numbers, weighted: int = 3) -> Chain:
    """A chain of operators that starts at a shape, stays small, and has few weights."""
    chain: list[LinearOperator] = []
    for _ in range(draw(st.integers(0, 3))):
        operator = draw(operators(chain_output_shape(tuple(chain), shape), numbers))
        if math.prod(operator.output_shape) > LARGEST:
            continue
        if isinstance(operator, WEIGHTED):
            if not weighted:
                continue
            weighted -= 1
        chain.append(operator)
    return tuple(chain)


@st.composite
def joining_chains(draw: st.DrawFn, shape: Shape, target: Shape, numbers: Numbers) -> Chain:
    """A chain between two shapes: identity, a shortcut's padding, a placement, dense, sparse."""
    ways = ["matrix", "dense"]
    if shape == target:
        ways += ["identity"] * 3 + ["scale"]
    if len(shape) == len(target):
        ways += ["fit"]
        if shape[1:] == target[1:] and shape[0] < target[0]:
            ways += ["place"] * 3
    way = draw(st.sampled_from(ways))
    if way == "identity":
        return ()
    if way == "scale":
        return (draw(scales(shape, numbers)),)
    if way == "place":
        return (place(shape, 0, draw(st.integers(0, target[0] - shape[0])), target[0]),)
    if way == "fit":
        pairs = zip(shape, target, strict=True)
        return (
            Select(shape, tuple(np.where(np.arange(b) < a, np.arange(b), -1) for a, b in pairs)),
        )
    if way == "matrix":
        return (matrix(shape, target, numbers),)
    rows, columns = math.prod(target), math.prod(shape)
    weight = numbers.weights((rows, columns), columns)
    return (Reshape(shape, (columns,)), Dense((columns,), weight), Reshape((rows,), target))


def _parameter(draw: st.DrawFn, shape: Shape) -> Shape:
    """The shape of a neuron parameter: one number, one a channel or one a neuron."""
    channel = (shape[0], *[1] * (len(shape) - 1))
    return draw(st.sampled_from([(), channel, channel, shape]))


def _window(draw: st.DrawFn, staged: bool) -> tuple[int, int | None]:
    if not staged or draw(st.integers(0, 2)):
        return 0, None
    start = draw(st.integers(0, 4))
    return start, draw(st.one_of(st.none(), st.integers(start, start + 6)))


@st.composite
def populations(
    draw: st.DrawFn,
    name: str,
    shape: Shape,
    numbers: Numbers,
    reset: Reset,
    staged: bool,
    neurons: tuple[str, ...] = NEURONS,
) -> Population:
    """A population; its amplitude is its threshold, as calibration makes it."""
    threshold = numbers.thresholds(_parameter(draw, shape))
    (start, stop), (bias_start, bias_stop) = _window(draw, staged), _window(draw, staged)
    return Population(
        name,
        shape,
        threshold=np.asarray(threshold),
        amplitude=np.asarray(threshold),
        scale=np.asarray(threshold),
        bias=np.asarray(numbers.biases(_parameter(draw, shape))),
        v_init=np.asarray(threshold * numbers.fractions(np.shape(threshold))),
        reset=reset,
        neuron=draw(st.sampled_from(neurons)) if reset == "subtract" else "if",
        start=start,
        stop=stop,
        bias_start=bias_start,
        bias_stop=bias_stop,
    )


@st.composite
def inputs(draw: st.DrawFn, name: str, events: bool, staged: bool) -> Input:
    """An input of analog currents or, if allowed, of event frames."""
    choices: tuple[Encoding, ...] = ("current", "current", "events") if events else ("current",)
    encoding = draw(st.sampled_from(choices))
    start, stop = _window(draw, staged)
    bound = draw(st.sampled_from([1.0, 2.0]))
    return Input(name, draw(input_shapes()), encoding, start, stop, bound)


@st.composite
def networks(
    draw: st.DrawFn,
    kind: Kind = "float",
    *,
    events: bool = True,
    staged: bool = True,
    relays: bool = True,
    resets: tuple[Reset, ...] = ("subtract", "zero"),
    neurons: tuple[str, ...] = NEURONS,
) -> tuple[Network, Numbers]:
    """A network of up to two inputs, six inner nodes and two readouts, and what made its numbers.

    Each inner node hangs on one earlier node by a random chain, and on up to two others by chains
    that arrive at the same shape (adds, or concatenations where they are placements).
    """
    numbers = Numbers(kind, draw(st.integers(0, 2**32 - 1)))
    reset = draw(st.sampled_from(resets))
    nodes: list[NetworkNode] = [
        draw(inputs(f"in{i}", events, staged)) for i in range(draw(st.integers(1, 2)))
    ]
    connections: list[Connection] = []
    for i in range(draw(st.integers(1, 7))):
        node: NetworkNode
        name, relay = f"n{i}", relays and draw(st.integers(0, 4)) == 0
        spiking: list[NetworkNode] = [n for n in nodes if isinstance(n, Population)]
        # Analog values through a relay need many bits: often too many for an exact grid.
        sources = spiking if relay and spiking and draw(st.integers(0, 3)) else nodes
        shape, incoming = draw(_incoming(sources, numbers, staged))
        if relay:
            node = Relay(name, shape)
        else:
            node = draw(populations(name, shape, numbers, reset, staged, neurons))
        connections += [replace(c, target=name) for c in incoming]
        nodes.append(node)
    for i in range(draw(st.integers(1, 2))):
        name, shape, incoming = f"out{i}", *draw(_incoming(nodes[-3:], numbers, staged))
        bias_start, bias_stop = _window(draw, staged)
        readout = Readout(
            name,
            shape,
            bias=np.asarray(numbers.biases(_parameter(draw, shape))),
            scale=np.ones(()),
            start=draw(st.integers(0, 3)) if staged else 0,
            discard=draw(st.sampled_from([0.0, 0.25])),
            rising=draw(st.booleans()),
            bias_start=bias_start,
            bias_stop=bias_stop,
        )
        connections += [replace(c, target=name) for c in incoming]
        nodes.append(readout)
    return Network("random", tuple(nodes), tuple(connections)), numbers


@st.composite
def _incoming(
    draw: st.DrawFn, nodes: list[NetworkNode], numbers: Numbers, staged: bool
) -> tuple[Shape, list[Connection]]:
    """Connections from earlier nodes into a new one, and its shape (targets still unnamed)."""
    sources = [n for n in nodes if not isinstance(n, Readout)]
    first = draw(st.sampled_from(sources[-3:]))
    # Every weighted operator of a chain takes bits; more of them leave no exact grid.
    chain = draw(chains(first.shape, numbers, 1 if isinstance(first, Input) else 2))
    shape = chain_output_shape(chain, first.shape)
    found = [(first, chain)]
    for other in draw(st.lists(st.sampled_from(sources), max_size=2)):
        found.append((other, draw(joining_chains(other.shape, shape, numbers))))
    delays = st.integers(0, 3) if staged else st.just(0)
    return shape, [Connection(s.name, "", c, draw(delays)) for s, c in found]


@st.composite
def cases(
    draw: st.DrawFn,
    kind: Kind = "float",
    *,
    events: bool = True,
    staged: bool = True,
    relays: bool = True,
    resets: tuple[Reset, ...] = ("subtract", "zero"),
    neurons: tuple[str, ...] = NEURONS,
) -> Case:
    """A network with samples and timesteps.

    ``staged`` allows windows, delays and late readouts, ``events`` event inputs; populations
    that are reset by subtraction take their neuron model from ``neurons``.
    """
    network, numbers = draw(
        networks(kind, events=events, staged=staged, relays=relays, resets=resets, neurons=neurons)
    )
    timesteps, n = draw(st.integers(1, 14)), draw(st.integers(1, 3))
    samples = {}
    for node in network.inputs:
        if node.encoding == "events":
            frames = draw(st.integers(1, 10))
            samples[node.name] = numbers.events((n, frames, *node.shape))
        else:
            samples[node.name] = numbers.samples((n, *node.shape), node.bound)
    return Case(network, samples, timesteps)
