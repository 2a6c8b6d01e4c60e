"""What importers build the Graph with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snnconvert.convert.curves.functions import Expression, X
from snnconvert.convert.curves.univariate import expression_of
from snnconvert.convert.errors import ModelFileError
from snnconvert.convert.graph import Add, Affine, GraphInput, Node, Op, unused_name
from snnconvert.convert.importer.node import OnnxNode, UnknownInput
from snnconvert.convert.linear import (
    Chain,
    FloatArray,
    LinearOperator,
    Select,
    Shape,
    chain_output_shape,
    weights_of,
)

MAX_ELEMENTS = 2**26
"""The largest value of one sample that we follow: 512 MiB in double precision."""

NOT_FIXED = "a spiking synapse needs fixed weights"


@dataclass(frozen=True, eq=False)
class Activation:
    """A value that depends on the network's input.

    Attributes
    ----------
    name : str
        Graph node that holds it.
    shape : tuple of int
        Without batch.
    dtype : str
        NumPy's name of its type in the file.
    """

    name: str
    shape: Shape
    dtype: str

    @property
    def rank(self) -> int:
        """Number of axes, the batch counted."""
        return len(self.shape) + 1


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that is known now.

    Attributes
    ----------
    array : array
    tensor : str
        What the file calls it.
    """

    array: npt.NDArray[Any]
    tensor: str


@dataclass(frozen=True)
class Unknown:
    """A value that an unsupported node should have given.

    Attributes
    ----------
    constant : bool
        It does not depend on the network's input, such as the shape of an unknown value.
    """

    constant: bool = False


Value: TypeAlias = Activation | Constant | Unknown


class Budget:
    """Bytes of constants that an import may still make: a small file must not fill the memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def charge(self, size: int, where: str) -> None:
        """Count bytes.

        Raises
        ------
        ModelFileError
            If they exceed the limit.
        """
        self.spent += size
        if self.spent > self.limit:
            raise ModelFileError(
                f"the model's constants unfold to more than {self.limit:,} bytes",
                where=where,
                why="computed constants would fill the memory",
                hint="store large constants in the file as initialisers",
            )


class GraphBuilder:
    """Collects Graph nodes; knows what every tensor of the file is.

    Parameters
    ----------
    batch : int
        Extent of axis 0 for shape arithmetic.
    free : bool
        Whether it only stands for any extent.
    reserved : iterable of str
        Names that nodes of the file will take.
    budget : Budget

    Attributes
    ----------
    values : dict of Value
        By tensor name.
    nodes : list of Node
    reads_batch : bool
        Whether a node asked for the batch's extent.
    built : dict of list of str
        Graph nodes that each node of the file became, by its position.
    inexact : dict of str
        What is approximated about a node of the file, by its position.
    """

    def __init__(self, batch: int, free: bool, reserved: Iterable[str], budget: Budget) -> None:
        self.batch = batch
        self.free = free
        self.budget = budget
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.reads_batch = False
        self.built: dict[int, list[str]] = {}
        self.inexact: dict[int, str] = {}
        self._taken = set(reserved)
        self._doubles: dict[str, FloatArray] = {}
        self._univariate: dict[str, tuple[Activation, Expression]] = {}

    # Reading a node's inputs.

    def value(self, node: OnnxNode, index: int) -> Value | None:
        """Return an input, None where an optional one is left out."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        return self.values[name] if name else None

    def depends_on_input(self, node: OnnxNode, index: int) -> bool:
        """Tell whether an input depends on the network's input, as far as known or not."""
        value = self.value(node, index)
        return isinstance(value, Activation) or (isinstance(value, Unknown) and not value.constant)

    def required(self, node: OnnxNode, index: int) -> Activation | Constant:
        """Return an input that must be there and known."""
        value = self.value(node, index)
        if value is None:
            raise node.invalid(f"input {node.input_name(index)!r} is missing")
        if isinstance(value, Unknown):
            raise UnknownInput
        return value

    def activation(self, node: OnnxNode, index: int = 0) -> Activation:
        """Return an input that depends on the network's input."""
        value = self.required(node, index)
        if isinstance(value, Constant):
            raise node.unsupported(
                f"{node.op_type} of the constant {value.tensor!r}",
                why="its result does not depend on the network's input, and is not computed here",
                hint="fold the file's constants before, for instance with onnxsim",
                code="unsupported-operator",
            )
        return value

    def constant(self, node: OnnxNode, index: int, why: str = NOT_FIXED) -> npt.NDArray[Any]:
        """Return an input that must be constant."""
        value = self.required(node, index)
        if isinstance(value, Activation):
            raise node.unsupported(
                f"input {node.input_name(index)!r} of {node.op_type} is not constant",
                why=why,
                hint="make it an initialiser of the file",
                code="dynamic-weights",
            )
        return value.array

    def weight(self, node: OnnxNode, index: int, why: str = NOT_FIXED) -> FloatArray:
        """Return a constant input of finite numbers, in double precision."""
        array = self.numbers(node, index, why)
        if not np.isfinite(array).all():
            tensor = node.inputs[index]
            kind = "NaN" if np.isnan(array).any() else "infinity"
            raise node.unsupported(
                f"initialiser {tensor!r} of node {node.name!r} holds {kind}",
                why="no threshold and no spike count can be computed from it",
                hint="export the model from a checkpoint whose training did not diverge",
                code="non-finite-weights",
            )
        return array

    def numbers(self, node: OnnxNode, index: int, why: str = NOT_FIXED) -> FloatArray:
        """Return a constant input of numbers, infinite ones included, in double precision."""
        array = self.constant(node, index, why)
        if array.dtype.kind in "OSUc":
            raise node.invalid(f"input {node.input_name(index)!r} holds no real numbers")
        tensor = node.inputs[index]
        if tensor not in self._doubles:  # shared weights are kept once
            self.budget.charge(array.size * 8, node.place)
            self._doubles[tensor] = array.astype(np.float64)
        return self._doubles[tensor]

    def integers(self, node: OnnxNode, index: int) -> tuple[int, ...]:
        """Return a constant input that is a list of integers."""
        array = self.constant(node, index, why="shapes must be known before the network runs")
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise node.invalid(f"input {node.input_name(index)!r} is no list of integers")
        return tuple(int(entry) for entry in array.reshape(-1))

    def integer_list(self, node: OnnxNode, name: str, index: int) -> tuple[int, ...] | None:
        """Return a list that older opsets give as an attribute, newer ones as an input."""
        if name in node.attributes:
            return node.integers(name)
        return None if self.value(node, index) is None else self.integers(node, index)

    def univariate(self, x: Activation) -> tuple[Activation, Expression]:
        """Return the value that `x` is an elementwise function of, and the function."""
        return self._univariate.get(x.name, (x, X))

    # Writing the Graph.

    def input(self, name: str, shape: Shape, dtype: str) -> None:
        """Add a network input."""
        self.nodes.append(Node(name, GraphInput(), (), shape, name))
        self.values[name] = Activation(name, shape, dtype)

    def add(
        self,
        node: OnnxNode,
        op: Op,
        inputs: Sequence[Activation],
        shape: Shape,
        *,
        output: int = 0,
        label: str = "",
        dtype: str = "",
    ) -> Activation:
        """Add a Graph node.

        Parameters
        ----------
        node : OnnxNode
        op : Op
        inputs : sequence of Activation
        shape : tuple of int
            Without batch.
        output : int
            Which output of `node` this is.
        label : str
            Given for an intermediate value that no tensor of the file holds.
        dtype : str
            Default: that of the first input.
        """
        self._check(node, op, shape)
        tensor = None if label else node.outputs[output]
        several = sum(map(bool, node.outputs)) > 1
        suffix = f"/{label}" if label else f":{output}" if several else ""
        name = self.unused(node.name + suffix) if suffix else node.name
        self.nodes.append(Node(name, op, tuple(x.name for x in inputs), shape, tensor))
        self.built.setdefault(node.position, []).append(name)
        added = Activation(name, shape, dtype or inputs[0].dtype)
        if tensor:
            self.values[tensor] = added
        self._follow(op, inputs, added)
        return added

    def _follow(self, op: Op, inputs: Sequence[Activation], added: Activation) -> None:
        """Remember a value that is an elementwise function of one earlier value."""
        known = [self.univariate(x) for x in inputs]
        roots = {root.name: root for root, _ in known}
        if len(roots) != 1:
            return
        (root,) = roots.values()
        function = expression_of(op, [expression for _, expression in known])
        if function is not None and root.shape == added.shape:
            self._univariate[added.name] = (root, function)

    def affine(
        self,
        node: OnnxNode,
        x: Activation,
        operators: Chain,
        bias: FloatArray | None = None,
        *,
        output: int = 0,
        label: str = "",
        dtype: str = "",
    ) -> Activation:
        """Add an Affine node behind `x`; the arguments are those of :meth:`add`."""
        shape = chain_output_shape(operators, x.shape)
        op = Affine(operators, bias)
        return self.add(node, op, [x], shape, output=output, label=label, dtype=dtype)

    def alias(self, node: OnnxNode, x: Activation, *, output: int = 0, dtype: str = "") -> None:
        """Let an output of the node be a value that exists."""
        self.values[node.outputs[output]] = Activation(x.name, x.shape, dtype or x.dtype)

    def copy(self, x: Activation, tensor: str) -> str:
        """Add a node that repeats `x` under the name of a tensor; return the node's name."""
        name = self.unused(tensor)
        self.nodes.append(Node(name, Affine(()), (x.name,), x.shape, tensor))
        return name

    def fold(self, node: OnnxNode, array: npt.NDArray[Any], output: int = 0) -> None:
        """Let an output of the node be a constant."""
        self.budget.charge(array.nbytes, node.place)
        tensor = node.outputs[output]
        self.values[tensor] = Constant(array, tensor)

    def approximated(self, node: OnnxNode, detail: str) -> None:
        """Say that what was imported for a node is not exactly what the node computes.

        Parameters
        ----------
        node : OnnxNode
        detail : str
            What is not exact, as a clause: "its rounding is left out".
        """
        earlier = self.inexact.get(node.position)
        self.inexact[node.position] = f"{earlier}; {detail}" if earlier else detail

    @property
    def samples(self) -> str:
        """The extent of the batch for messages."""
        return "N" if self.free else str(self.batch)

    def written(self, shape: Sequence[int]) -> str:
        """Write a shape with its batch for messages."""
        return f"[{', '.join(self.samples if e == self.batch else str(e) for e in shape)}]"

    def check_size(self, node: OnnxNode, shape: Sequence[int]) -> None:
        """Refuse a value that is empty or too large to follow (shape without batch)."""
        size = math.prod(shape)
        if min(shape, default=1) < 1:
            raise node.invalid(f"its output would be empty: shape {list(shape)} without batch")
        if size > MAX_ELEMENTS:
            raise node.invalid(
                f"its output would have {size:,} elements a sample, the limit is {MAX_ELEMENTS:,}"
            )

    def _check(self, node: OnnxNode, op: Op, shape: Shape) -> None:
        self.check_size(node, shape)
        arrays: list[FloatArray] = []
        if isinstance(op, Affine):
            for operator in op.operators:
                self.check_size(node, operator.output_shape)
                self.budget.charge(_index_bytes(operator), node.place)
            arrays += [w for o in op.operators if (w := weights_of(o)) is not None]
        if isinstance(op, Affine | Add) and op.bias is not None:
            self.budget.charge(op.bias.nbytes, node.place)
            arrays.append(op.bias)
        if not all(np.isfinite(array).all() for array in arrays):
            raise node.unsupported(
                f"the constants of node {node.name!r} give NaN or infinity",
                why="no threshold and no spike count can be computed from it",
                hint="look for a variance below zero, a division by zero or an overflow",
                code="non-finite-weights",
            )

    def unused(self, name: str) -> str:
        """Return `name`, with a number behind it where a node has it, and keep it taken."""
        unique = unused_name(name, self._taken)
        self._taken.add(unique)
        return unique


def _index_bytes(operator: LinearOperator) -> int:
    if not isinstance(operator, Select):
        return 0
    return sum(index.nbytes for index in operator.indices if index is not None)
