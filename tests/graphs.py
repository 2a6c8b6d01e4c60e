"""Small graphs for tests: by hand through a Sketch, or at random from hypothesis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from snnconvert.convert.graph import (
    Add,
    Affine,
    Clip,
    Concat,
    Graph,
    GraphInput,
    MaxPool,
    Node,
    Op,
    OutputFunction,
    Relu,
    apply_output_function,
    unused_name,
)
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
    Transpose,
    TransposedConvolution,
    Window,
    chain_output_shape,
)


class Sketch:
    """Builds a graph value by value; each method returns the name of the new value."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}

    def add(self, op: Op, sources: Iterable[str], shape: Shape, name: str | None = None) -> str:
        assert name not in self.shapes
        name = name or unused_name(type(op).__name__.lower(), self.shapes)
        self.nodes.append(Node(name, op, tuple(sources), shape, tensor=f"{name}:0"))
        self.shapes[name] = shape
        return name

    def input(self, shape: Shape, name: str = "x") -> str:
        return self.add(GraphInput(), (), shape, name)

    def affine(
        self, source: str, *chain: LinearOperator, bias: Any = None, name: str | None = None
    ) -> str:
        shape = chain_output_shape(chain, self.shapes[source])
        bias = None if bias is None else np.asarray(bias, np.float64)
        return self.add(Affine(chain, bias), (source,), shape, name)

    def conv(
        self,
        source: str,
        channels: int = 2,
        size: int = 3,
        *,
        pad: int = 0,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        name: str | None = None,
    ) -> str:
        shape = self.shapes[source]
        rank = len(shape) - 1
        fan_in = shape[0] // groups * size**rank
        weight = self.rng.standard_normal((channels, shape[0] // groups, *[size] * rank))
        operator = Convolution(
            shape,
            weight / math.sqrt(fan_in),
            (stride,) * rank,
            ((pad, pad),) * rank,
            (1,) * rank,
            groups,
        )
        constant = self.rng.normal(0.1, 0.3, (channels, *[1] * rank)) if bias else None
        return self.affine(source, operator, bias=constant, name=name)

    def batch_norm(self, source: str, name: str | None = None) -> str:
        shape = self.shapes[source]
        channels = (shape[0], *[1] * (len(shape) - 1))
        scale = Scale(shape, self.rng.uniform(0.5, 1.5, channels))
        return self.affine(source, scale, bias=self.rng.normal(0, 0.5, channels), name=name)

    def dense(self, source: str, outputs: int = 3, name: str | None = None) -> str:
        shape = self.shapes[source]
        size = math.prod(shape)
        weight = self.rng.standard_normal((outputs, size)) / math.sqrt(size)
        flat: tuple[LinearOperator, ...] = (Reshape(shape, (size,)),) if len(shape) > 1 else ()
        bias = self.rng.normal(0.1, 0.3, outputs)
        return self.affine(source, *flat, Dense((size,), weight), bias=bias, name=name)

    def relu(self, source: str, ceiling: float | None = None, name: str | None = None) -> str:
        return self.add(Relu(ceiling), (source,), self.shapes[source], name)

    def clip(self, source: str, low: float, high: float, name: str | None = None) -> str:
        return self.add(Clip(low, high), (source,), self.shapes[source], name)

    def pool(self, source: str, window: Window | int = 2, name: str | None = None) -> str:
        shape = self.shapes[source]
        rank = len(shape) - 1
        if isinstance(window, int):
            window = Window((window,) * rank, (window,) * rank, ((0, 0),) * rank, (1,) * rank)
        result = (shape[0], *window.output_extent(shape[1:]))
        return self.add(MaxPool(window), (source,), result, name)

    def sum(self, *sources: str, bias: Any = None, name: str | None = None) -> str:
        bias = None if bias is None else np.asarray(bias, np.float64)
        return self.add(Add(bias), sources, self.shapes[sources[0]], name)

    def concat(self, *sources: str, axis: int = 0, name: str | None = None) -> str:
        shape = list(self.shapes[sources[0]])
        shape[axis] = sum(self.shapes[source][axis] for source in sources)
        return self.add(Concat(axis), sources, tuple(shape), name)

    def function(self, source: str, kind: Any = "Softmax", name: str | None = None) -> str:
        function = OutputFunction(kind, axis=0)
        shape = self.shapes[source]
        shape = (1, *shape[1:]) if kind == "ArgMax" else shape
        return self.add(function, (source,), shape, name)

    def graph(self, *outputs: str, names: tuple[str, ...] | None = None) -> Graph:
        names = names or tuple(f"y{i}" for i in range(len(outputs)))
        return Graph("sketch", tuple(self.nodes), outputs, names)


def samples_for(graph: Graph, n: int = 3, seed: int = 0) -> dict[str, FloatArray]:
    """Standard normal samples for every input."""
    rng = np.random.default_rng(seed)
    return {node.name: rng.standard_normal((n, *node.shape)) for node in graph.inputs}


def results(graph: Graph, samples: dict[str, FloatArray]) -> list[FloatArray]:
    """The outputs in float64, in the file's order, with the functions that were taken off."""
    values = graph.evaluate(samples, dtype=np.float64)
    functions = graph.output_functions or ((),) * len(graph.outputs)
    found = []
    for name, taken in zip(graph.outputs, functions, strict=True):
        value = values[name]
        for function in taken:
            value = apply_output_function(function, value)
        found.append(value)
    return found


def assert_same_function(before: Graph, after: Graph, *, exact: bool = False) -> None:
    """Check that both give the same outputs, in the same order under the same names."""
    assert after.output_names == before.output_names
    assert [n.name for n in after.inputs] == [n.name for n in before.inputs]
    samples = samples_for(before)
    expected, got = results(before, samples), results(after, samples)
    assert len(expected) == len(got)
    for one, other in zip(expected, got, strict=True):
        assert one.shape == other.shape
        if exact:
            np.testing.assert_array_equal(other, one)
        else:
            np.testing.assert_allclose(other, one, rtol=1e-11, atol=1e-11)


def assert_sound(graph: Graph) -> None:
    """Check names, order and stated shapes."""
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    position = {name: i for i, name in enumerate(names)}
    for node in graph.nodes:
        assert all(position[source] < position[node.name] for source in node.inputs)
    assert set(graph.outputs) <= set(names)
    values = graph.evaluate(samples_for(graph, 1), names)
    assert {name: value.shape[1:] for name, value in values.items()} == {
        node.name: node.shape for node in graph.nodes
    }


@st.composite
def pool_windows(draw: st.DrawFn, spatial: Shape) -> Window:
    """A pooling window each of whose positions has a tap inside the data on every axis.

    End pads may be negative (a crop) or longer than the begin's, as rounding up makes them.
    """
    axes = [draw(_pool_axis(extent)) for extent in spatial]
    size, strides, pads, dilations = zip(*axes, strict=True)
    return Window(size, strides, pads, dilations)


@st.composite
def _pool_axis(draw: st.DrawFn, extent: int) -> tuple[int, int, tuple[int, int], int]:
    size, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dilation = draw(st.integers(1, 2))
    reach = dilation * (size - 1) + 1
    begin = draw(st.integers(0, reach - 1))
    starts = range(-begin, extent, stride)
    inside = [any(0 <= s + dilation * k < extent for k in range(size)) for s in starts]
    usable = inside.index(False) if False in inside else len(inside)
    if usable == 0:
        return 1, stride, (0, 0), 1
    count = draw(st.integers(1, usable))
    end = -begin + (count - 1) * stride + reach - extent
    slack = draw(st.integers(0, stride - 1))
    return size, stride, (begin, end + slack), dilation


SPATIAL = st.one_of(
    st.tuples(st.integers(1, 9)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
)
LARGEST = 200
"""Values of one node at most."""


@st.composite
def graphs(draw: st.DrawFn, *, functions: bool = True) -> Graph:
    """A graph of up to two inputs and ten inner nodes of every kind, with one to three outputs."""
    sketch = Sketch(draw(st.integers(0, 2**32 - 1)))
    spatial = draw(SPATIAL)
    values = [sketch.input((draw(st.integers(1, 3)), *spatial), "x0")]
    if draw(st.booleans()):
        values.append(sketch.input((draw(st.integers(1, 3)), *spatial), "x1"))
    for _ in range(draw(st.integers(1, 10))):
        name = draw(_nodes(sketch, values))
        if math.prod(sketch.shapes[name]) <= LARGEST:
            values.append(name)
        else:
            del sketch.shapes[sketch.nodes.pop().name]
    wanted = [values[-1], *draw(st.lists(st.sampled_from(values), max_size=2))]
    if functions and draw(st.integers(0, 2)) == 0:
        kind = draw(st.sampled_from(["Softmax", "LogSoftmax", "Sigmoid", "ArgMax"]))
        wanted[0] = sketch.function(wanted[0], kind)
        if draw(st.booleans()):
            wanted[0] = sketch.affine(wanted[0])
    return sketch.graph(*wanted)


@st.composite
def _nodes(draw: st.DrawFn, sketch: Sketch, values: list[str]) -> str:
    """One more node; its source is most often one of the latest values."""
    source = draw(st.sampled_from([*values, *values[-2:], values[-1]]))
    shape = sketch.shapes[source]
    kinds = ["relu", "relu", "relu6", "clip", "norm", "dense", "route", "identity", "add", "concat"]
    if len(shape) > 1:
        kinds += ["conv", "conv", "conv", "pool", "pool", "average", "spread", "resize"]
    kind = draw(st.sampled_from(kinds))
    if kind == "relu":
        return sketch.relu(source)
    if kind == "relu6":
        return sketch.relu(source, 0.8)
    if kind == "clip":
        low = draw(st.sampled_from([-np.inf, -0.5, 0.0, 0.25]))
        return sketch.clip(source, low, draw(st.sampled_from([0.5, 1.0, np.inf])))
    if kind == "norm":
        return sketch.batch_norm(source)
    if kind == "dense":
        return sketch.dense(source, draw(st.integers(1, 5)))
    if kind == "identity":
        return sketch.affine(source)
    if kind == "route":
        return sketch.affine(source, draw(_routings(shape)))
    if kind == "conv":
        size = draw(st.integers(1, min(3, *shape[1:])))
        stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, 1))
        channels = draw(st.integers(1, 3))
        return sketch.conv(source, channels, size, pad=pad, stride=stride, bias=draw(st.booleans()))
    if kind == "spread":
        return sketch.affine(source, *draw(_spreads(sketch.rng, shape)))
    if kind == "resize":
        return sketch.affine(source, *draw(_interpolations(sketch.rng, shape)))
    if kind == "pool":
        return sketch.pool(source, draw(pool_windows(shape[1:])))
    if kind == "average":
        window = draw(pool_windows(shape[1:]))
        pooled = SumPool(shape, window)
        return sketch.affine(source, pooled, Scale(pooled.output_shape, np.asarray(0.25)))
    if kind == "add":
        alike = [name for name in values if sketch.shapes[name] == shape]
        others = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2))
        return sketch.sum(source, *others, bias=draw(st.sampled_from([None, 0.2])))
    axis = draw(st.integers(0, len(shape) - 1))
    fitting = [name for name in values if _joins(sketch.shapes[name], shape, axis)]
    others = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=2))
    return sketch.concat(source, *others, axis=axis)


@st.composite
def _spreads(draw: st.DrawFn, rng: np.random.Generator, shape: Shape) -> Chain:
    """A transposed convolution, or the running sum along an axis."""
    if draw(st.booleans()):
        axis = draw(st.integers(0, len(shape) - 1))
        return (Dense(shape, np.tri(shape[axis]) / shape[axis], axis),)
    rank, size, stride = len(shape) - 1, draw(st.integers(1, 3)), draw(st.integers(1, 2))
    weight = rng.standard_normal((shape[0], draw(st.integers(1, 2)), *[size] * rank))
    pads = ((0, -draw(st.integers(0, 1))),) * rank
    scaled = weight / math.sqrt(shape[0] * size)
    return (TransposedConvolution(shape, scaled, (stride,) * rank, pads, (1,) * rank),)


@st.composite
def _interpolations(draw: st.DrawFn, rng: np.random.Generator, shape: Shape) -> Chain:
    """Two weighted values of the last axis for each new one, side by side and then summed."""
    count = draw(st.integers(1, 2 * shape[-1]))
    taps = rng.integers(-1, shape[-1], 2 * count)
    select = Select(shape, (*[None] * (len(shape) - 1), taps))
    scale = Scale(select.output_shape, rng.uniform(0, 1, 2 * count))
    size = (*[1] * (len(shape) - 2), 2)
    window = Window(size, size, ((0, 0),) * len(size), (1,) * len(size))
    return select, scale, SumPool(select.output_shape, window)


def _joins(one: Shape, other: Shape, axis: int) -> bool:
    return (
        len(one) == len(other)
        and one[:axis] == other[:axis]
        and one[axis + 1 :] == (other[axis + 1 :])
    )


@st.composite
def _routings(draw: st.DrawFn, shape: Shape) -> LinearOperator:
    form = draw(st.sampled_from(["transpose", "pad", "reverse", "gather"]))
    if form == "transpose" and len(shape) > 2:
        return Transpose(shape, (0, *reversed(range(1, len(shape)))))
    axis = draw(st.integers(0, len(shape) - 1))
    every = np.arange(shape[axis])
    if form == "pad":
        index = np.concatenate([[-1], every, [-1]])
    elif form == "gather":
        index = every[draw(st.lists(st.integers(0, len(every) - 1), min_size=1, max_size=3))]
    else:
        index = every[::-1]
    return Select(shape, tuple(index if a == axis else None for a in range(len(shape))))
