"""A grammar of valid ONNX models over every operator that is imported.

A model grows from values of known shape: a rule takes a value that stands already, or a new input,
and adds its operator behind it. The rules are in ``onnx_rules/``, one for each operator of the
registry. What is chosen comes from a `Choices`: hypothesis, which shrinks, or a seeded generator.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TypeProto, helper
from onnx.shape_inference import infer_node_outputs
from onnx_models import Array, make_model, random_feeds, run_onnxruntime

from snnconvert.convert.onnx_import import import_onnx

MICROSOFT = "com.microsoft"
BATCH = 3
"""Stands for the free batch in shape inference; no other extent is a 3 of its own accord."""

MAX_SIZE = 600
T = TypeVar("T")


class Choices(Protocol):
    """Where the model's choices come from."""

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""


class Seeded:
    """Choices of a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))


@dataclass(frozen=True)
class Value:
    """A tensor of the model: its name, and its shape without batch."""

    name: str
    shape: tuple[int, ...]
    raw: bool = False
    """Whether it is a network input, which both sides know to the last bit."""


@dataclass
class Sketch:
    """A model that grows.

    Attributes
    ----------
    choices : Choices
    opset : int
    fixed : bool
        Whether the file states the batch.
    values : list of Value
        What rules may take: finite numbers of single precision, a few units in size.
    ends : list of Value
        Outputs behind which nothing may stand.
    rough : bool
        Whether something in it is imported as an approximation.
    """

    choices: Choices
    opset: int
    fixed: bool = False
    values: list[Value] = field(default_factory=list)
    ends: list[Value] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    types: dict[str, TypeProto] = field(default_factory=dict)
    rough: bool = False

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.choices.integer(0, 2**16))

    # Choosing.

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`, both included."""
        return self.choices.integer(low, high)

    def flag(self) -> int:
        """Return 0 or 1."""
        return self.choices.integer(0, 1)

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.choices.integer(0, len(options) - 1)]

    def weights(self, *shape: int) -> Array:
        """Return random weights that keep sums near 1."""
        fan_in = max(math.prod(shape[1:]), 1)
        return (self.rng.standard_normal(shape) / math.sqrt(fan_in)).astype(np.float32)

    # Taking values.

    def input(self, shape: tuple[int, ...]) -> Value:
        """Add a network input."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = shape
        value = Value(name, shape, raw=True)
        self._declare(name, onnx.TensorProto.FLOAT, (BATCH, *shape))
        self.values.append(value)
        return value

    def raw(self, rank: int = 2) -> Value:
        """Return an input: for functions with jumps, at which rounding would decide."""
        standing = [value for value in self.values if value.raw and len(value.shape) == rank]
        return self.pick(standing) if standing and self.flag() else self.input(self.shape(rank))

    def shape(self, rank: int) -> tuple[int, ...]:
        """Return a shape of a few elements."""
        top = {0: 1, 1: 9, 2: 7, 3: 6, 4: 4}[rank]
        return tuple(self.pick([2, *range(4, top + 1)]) for _ in range(rank))

    def value(self, low: int = 1, high: int = 4) -> Value:
        """Return a value of `low` to `high` axes without the batch."""
        fitting = [v for v in self.values if low <= len(v.shape) <= high]
        if fitting and self.integer(0, 4):
            return self.pick(fitting[-4:])
        if self.values and self.flag():
            return self.reshaped(self.pick(self.values), self.integer(max(low, 1), high))
        return self.input(self.shape(self.integer(low, high)))

    def image(self, axes: int | None = None) -> Value:
        """Return a value of channels and one to three axes of space."""
        rank = self.integer(1, 3) if axes is None else axes
        return self.value(rank + 1, rank + 1)

    def reshaped(self, value: Value, rank: int) -> Value:
        """Add a Reshape to `rank` axes."""
        rest, shape = math.prod(value.shape), []
        for _ in range(rank - 1):
            extent = self.pick([d for d in range(1, rest + 1) if rest % d == 0])
            shape.append(extent)
            rest //= extent
        return self.reshape(value, (*shape, rest))

    def reshape(self, value: Value, shape: tuple[int, ...]) -> Value:
        """Add a Reshape."""
        if shape == value.shape:
            return value
        target = self.constant(np.array([-1, *shape], np.int64))
        return self.add("Reshape", [value, target])

    def like(self, value: Value) -> Value:
        """Return another value of the same shape, where there is one, or a new input."""
        others = [v for v in self.values if v.shape == value.shape and v is not value]
        return self.pick(others) if others and self.flag() else self.input(value.shape)

    def clipped(self, value: Value, low: float, high: float) -> Value:
        """Bound a value, for functions that are not defined or steep elsewhere."""
        bounds = [self.constant(np.array(b, np.float32)) for b in (low, high)]
        return self.add("Clip", [value, *bounds])

    # Adding.

    def constant(self, array: npt.ArrayLike) -> str:
        """Add an initialiser; return its name."""
        name = f"c{len(self.constants)}"
        constant = np.asarray(array)
        self.constants[name] = constant
        kind = helper.np_dtype_to_tensor_dtype(constant.dtype)
        self._declare(name, kind, constant.shape)
        return name

    def floats(self, numbers: npt.ArrayLike) -> str:
        """Add an initialiser of single precision."""
        return self.constant(np.asarray(numbers, np.float32))

    def integers(self, *numbers: int) -> str:
        """Add an initialiser of a list of integers."""
        return self.constant(np.array(numbers, np.int64))

    def raw_node(
        self,
        operator: str,
        inputs: Sequence[Value | str],
        outputs: int = 1,
        *,
        domain: str = "",
        shape: tuple[int, ...] | None = None,
        batched: bool = True,
        **attributes: Any,
    ) -> list[Value]:
        """Add a node; its outputs are not offered to other rules.

        Parameters
        ----------
        operator : str
        inputs : sequence of Value or name
        outputs : int
        domain : str
        shape : tuple of int, optional
            Of the output, where onnx cannot tell it.
        batched : bool
            False for shape arithmetic: shapes then are whole.
        **attributes
        """
        names = [value if isinstance(value, str) else value.name for value in inputs]
        made = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(operator, names, made, f"node{len(self.nodes)}", **attributes)
        if domain:
            node.domain = domain
        self.nodes.append(node)
        if shape is None:
            shapes = self._infer(node, batched)
        else:
            shapes = [shape] * outputs
            for name in made:
                self._declare(name, onnx.TensorProto.FLOAT, (BATCH, *shape))
        return [Value(name, extents) for name, extents in zip(made, shapes, strict=True)]

    def add(self, operator: str, inputs: Sequence[Value | str], **attributes: Any) -> Value:
        """Add a node of one output, which other rules may take."""
        (value,) = self.raw_node(operator, inputs, **attributes)
        self.offer(value)
        return value

    def offer(self, *values: Value) -> None:
        """Let other rules take values, unless they have grown large."""
        for value in values:
            small = math.prod(value.shape) <= MAX_SIZE
            (self.values if small else self.ends).append(value)

    def end(self, value: Value) -> None:
        """Let a value be an output behind which nothing stands."""
        self.ends.append(value)

    def _declare(self, name: str, kind: int, shape: Sequence[int]) -> None:
        self.types[name] = helper.make_tensor_type_proto(kind, shape)

    def _infer(self, node: NodeProto, batched: bool) -> list[tuple[int, ...]]:
        schema = onnx.defs.get_schema(node.op_type, self.opset, node.domain)
        types = {name: self.types[name] for name in node.input if name}
        data = {
            name: onnx.numpy_helper.from_array(self.constants[name], name)
            for name in node.input
            if name in self.constants
        }
        imports = [helper.make_opsetid("", self.opset)]
        found = infer_node_outputs(schema, node, types, data, opset_imports=imports)
        shapes = []
        for name in node.output:
            self.types[name] = found[name]
            extents = tuple(d.dim_value for d in found[name].tensor_type.shape.dim)
            if batched:
                assert extents[0] == BATCH and min(extents) > 0, f"{node.op_type}: {extents}"
                extents = extents[1:]
            shapes.append(extents)
        return shapes

    def model(self) -> onnx.ModelProto:
        """Return the model: every value that nothing reads is an output."""
        read = {name for node in self.nodes for name in node.input}
        made = [value for value in (*self.values, *self.ends) if not value.raw]
        outputs = list(dict.fromkeys(v.name for v in made if v.name not in read))
        needed = {name: array for name, array in self.constants.items() if name in read}
        batch = BATCH if self.fixed else "N"
        inputs = {name: [batch, *shape] for name, shape in self.inputs.items() if name in read}
        domains = {node.domain for node in self.nodes if node.domain}
        model: onnx.ModelProto = make_model(
            self.nodes,
            inputs,
            outputs,
            constants=needed,
            opset=self.opset,
            domains=dict.fromkeys(domains, 1),
        )
        return model


Rule = Callable[[Sketch], None]
OPSETS = (13, 17, 18, 21, 24)
"""Of models in which every operator of its time may stand; older forms have tests of their own."""

OLD_OPSET = 9
"""For operators that ONNX took back."""


@dataclass(frozen=True)
class Entry:
    """A rule, the opsets for which it is written, and whether the file must state the batch."""

    rule: Rule
    oldest: int
    newest: int
    fixed: bool


RULES: dict[str, Entry] = {}
"""By operator, its domain in front where that is not ONNX's own."""

MODULES = ("elementwise", "integers", "layout", "linear")


def rule(
    *names: str, oldest: int = 13, newest: int = 10**6, fixed: bool = False
) -> Callable[[Rule], Rule]:
    """Register a rule for operators."""

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, f"two rules for {name}"
            RULES[name] = Entry(function, oldest, newest, fixed)
        return function

    return register


@cache
def rules() -> dict[str, Entry]:
    """Return all rules."""
    for module in MODULES:
        importlib.import_module(f"onnx_rules.{module}")
    return RULES


def sketch_model(choices: Choices, steps: int, *, last: str | None = None) -> Sketch:
    """Grow a model by at most `steps` rules, that of the operator `last` in the end."""
    known = rules()
    opsets = [OLD_OPSET, *OPSETS]
    if last is not None:
        opsets = [o for o in opsets if known[last].oldest <= o <= known[last].newest]
    opset = opsets[choices.integer(0, len(opsets) - 1)]
    fixed = bool(choices.integer(0, 1)) or (last is not None and known[last].fixed)
    names = [
        name
        for name, entry in sorted(known.items())
        if entry.oldest <= opset <= entry.newest and fixed >= entry.fixed
    ]
    sketch = Sketch(choices, opset, fixed)
    for _ in range(sketch.integer(0, steps - 1)):
        known[sketch.pick(names)].rule(sketch)
    known[sketch.pick(names) if last is None else last].rule(sketch)
    if not sketch.nodes:  # a Reshape to the shape that stands already
        sketch.add("Identity", [sketch.value()])
    return sketch


TOLERANCE = 1e-4
ROUGH = 0.05
"""Where rounding by the batch's own range is left out."""


def compare(sketch: Sketch, seed: int) -> None:
    """Hold the Graph of a model against onnxruntime on random rows.

    The difference is relative to the largest value on the way: a difference of two large values
    keeps their rounding.
    """
    imported = import_onnx(sketch.model())
    graph = imported.graph
    assert graph is not None
    feeds = random_feeds(imported, np.random.default_rng(seed), imported.batch_fixed or 2)
    expected = run_onnxruntime(imported.model_bytes, feeds)
    values = graph.evaluate(feeds, [node.name for node in graph.nodes], dtype=np.float64)
    largest = max(float(np.abs(value).max(initial=0)) for value in values.values())
    for name, output, want in zip(graph.outputs, graph.output_names, expected, strict=True):
        have = values[name]
        assert have.shape == want.shape, f"{output}: {have.shape}, onnxruntime {want.shape}"
        error = float(np.abs(have - want.astype(np.float64)).max(initial=0))
        bound = (ROUGH if sketch.rough else TOLERANCE) * max(largest, 1e-30)
        assert error <= bound, f"{output}: differs by {error:.2g}, largest value {largest:.2g}"
    for node in graph.nodes:
        assert node.shape == values[node.name].shape[1:], node.name
