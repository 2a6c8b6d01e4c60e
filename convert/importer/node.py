"""One ONNX node as the importers see it: typed attributes, its place, its ways to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from snnconvert.convert.errors import ModelFileError, Problem

BATCH_HINT = "axis 0 of every value is the batch: keep it in front and the samples apart"


class Unsupported(Exception):  # noqa: N818  (a signal between importer and driver, no error)
    """A node cannot be converted; the driver collects the problem and goes on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class UnknownInput(Exception):  # noqa: N818
    """A node reads what an unsupported node should have given: there is nothing to report."""


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """A node of the file.

    Attributes
    ----------
    name : str
        Name of the Graph node that will hold its (first) output; unique.
    op_type, domain : str
    position, count : int
        This is node `position` of `count` in the file, from 1.
    opset : int
        Version of the node's domain.
    inputs, outputs : tuple of str
        Tensor names; "" where an optional one is left out.
    attributes : dict of AttributeProto
    proto : NodeProto
    """

    name: str
    op_type: str
    domain: str
    position: int
    count: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, onnx.AttributeProto] = field(repr=False)
    proto: onnx.NodeProto = field(repr=False)

    @property
    def operator(self) -> str:
        """The operator with its domain, unless that is ONNX's own."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @property
    def place(self) -> str:
        """Where the node stands, for messages."""
        return (
            f"node {self.name!r} ({self.position} of {self.count}), "
            f"operator {self.operator}, opset {self.opset}"
        )

    def has_output(self, index: int) -> bool:
        """Tell whether the node gives its output number `index` a name."""
        return index < len(self.outputs) and bool(self.outputs[index])

    def input_name(self, index: int) -> str:
        """Return what the operator's definition calls an input."""
        if self.domain:
            return f"number {index + 1}"
        formal = onnx.defs.get_schema(self.op_type, self.opset, self.domain).inputs
        return str(formal[min(index, len(formal) - 1)].name)

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        found = self._attribute(name, onnx.AttributeProto.INT)
        return default if found is None else int(found.i)

    def flag(self, name: str, default: int) -> bool:
        """Return an integer attribute that is 0 or 1."""
        value = self.integer(name, default)
        if value not in (0, 1):
            raise self.invalid(f"attribute {name!r} is {value}, not 0 or 1")
        return bool(value)

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        found = self._attribute(name, onnx.AttributeProto.FLOAT)
        return default if found is None else float(found.f)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        found = self._attribute(name, onnx.AttributeProto.STRING)
        return default if found is None else bytes(found.s).decode("utf-8", "replace")

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that is a list of integers, None if absent."""
        found = self._attribute(name, onnx.AttributeProto.INTS)
        return None if found is None else tuple(found.ints)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Return an attribute that is a list of floats, None if absent."""
        found = self._attribute(name, onnx.AttributeProto.FLOATS)
        return None if found is None else tuple(found.floats)

    def _attribute(self, name: str, kind: Any) -> onnx.AttributeProto | None:
        found = self.attributes.get(name)
        if found is not None and found.type != kind:
            expected = onnx.AttributeProto.AttributeType.Name(kind)
            raise self.invalid(f"attribute {name!r} is not of type {expected}")
        return found

    def axis(self, axis: int, rank: int) -> int:
        """Return the axis counted from the front, of `rank` axes with the batch."""
        if not -rank <= axis < rank:
            raise self.invalid(f"axis {axis} is out of range for a value of {rank} axes")
        return axis % rank

    def inner_axis(self, axis: int, rank: int) -> int:
        """Return the axis without counting the batch, which it must not be."""
        position = self.axis(axis, rank)
        if position == 0:
            raise self.batch_axis(f"{self.op_type} works along the batch axis")
        return position - 1

    def inner_axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Return several axes as :meth:`inner_axis` does; each must be named once."""
        inner = tuple(self.inner_axis(axis, rank) for axis in axes)
        if len(set(inner)) < len(inner):
            raise self.invalid(f"an axis is named twice in {list(axes)}")
        return inner

    def invalid(self, message: str, *, why: str = "", hint: str = "") -> ModelFileError:
        """Return the error for a node that ONNX does not allow."""
        return ModelFileError(message, where=self.place, why=why, hint=hint)

    def problem(self, code: str, message: str, *, why: str = "", hint: str = "") -> Problem:
        """Return a problem of this node."""
        return Problem(code, message, self.name, self.place, why, hint)

    def unsupported(
        self, message: str, *, why: str = "", hint: str = "", code: str = "unsupported-attribute"
    ) -> Unsupported:
        """Return the signal that this node is valid but cannot be converted."""
        return Unsupported(self.problem(code, message, why=why, hint=hint))

    def batch_axis(self, message: str, *, hint: str = BATCH_HINT) -> Unsupported:
        """Return the signal that this node moves or mixes the batch."""
        why = "each sample is run through the spiking network on its own"
        return self.unsupported(message, why=why, hint=hint, code="batch-axis")
