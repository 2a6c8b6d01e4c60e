"""Write kernels as LLVM code: loops, integers, and vectors of any width.

LLVM lowers a vector of sixteen numbers to one AVX-512 register, two of AVX2, four of NEON: the
same kernel runs on every processor, at the speed of code written for it, without a compiler on
the user's machine. Addresses are plain 64-bit integers; a kernel gets one pointer, to its
arguments, all of them 64 bits wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

BYTE, SHORT, INT, LONG = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
DOUBLE = ir.DoubleType()

WORD = 8
"""Bytes of a machine word."""


class Emitter:
    """One function ``void name(int64 *arguments)`` that is being written.

    Parameters
    ----------
    name : str

    Notes
    -----
    Values are LLVM's; mutable ones are variables, which LLVM turns into registers.
    """

    def __init__(self, name: str) -> None:
        self.module = ir.Module(name=name)
        self.module.triple = ""
        signature = ir.FunctionType(ir.VoidType(), [LONG.as_pointer()])
        function = ir.Function(self.module, signature, name=name)
        self._arguments = function.args[0]
        self._entry = function.append_basic_block("entry")
        body = function.append_basic_block("body")
        self._setup = ir.IRBuilder(self._entry)
        self._setup.branch(body)
        self._setup.position_before(self._entry.terminator)
        self.builder = ir.IRBuilder(body)

    def text(self) -> str:
        """Close the function and return the module's text."""
        self.builder.ret_void()
        return str(self.module)

    def argument(self, position: int) -> Any:
        """Return one of the arguments."""
        return self.builder.load(self.builder.gep(self._arguments, [LONG(position)]))

    @property
    def arguments_address(self) -> Any:
        """The address of the arguments, for those that are read in a loop."""
        return self.builder.ptrtoint(self._arguments, LONG)

    def variable(self, value: Any) -> Any:
        """Return a mutable variable, set to a value; read it by :meth:`get`."""
        place = self._setup.alloca(value.type)
        self.builder.store(value, place)
        return place

    def get(self, variable: Any) -> Any:
        """Return what a variable holds."""
        return self.builder.load(variable)

    def set(self, variable: Any, value: Any) -> None:
        """Change a variable."""
        self.builder.store(value, variable)

    def add(self, first: Any, *others: Any) -> Any:
        """Return a sum."""
        for other in others:
            first = self.builder.add(first, other)
        return first

    def multiply(self, first: Any, *others: Any) -> Any:
        """Return a product."""
        for other in others:
            first = self.builder.mul(first, other)
        return first

    def shift_right(self, value: Any, bits: int) -> Any:
        """Return an unsigned number shifted; to the left where `bits` is negative."""
        if bits < 0:
            return self.builder.shl(value, LONG(-bits))
        return self.builder.lshr(value, LONG(bits)) if bits else value

    def bits_set(self, value: Any) -> Any:
        """Return how many bits of an integer are 1."""
        return self.builder.ctpop(value)

    def minimum(self, first: Any, second: Any) -> Any:
        """Return the smaller of two signed integers."""
        return self.builder.select(self.builder.icmp_signed("<", first, second), first, second)

    def load(self, address: Any, kind: Any, offset: int = 0) -> Any:
        """Return the value of a type at an address (no alignment is asked for)."""
        value = self.builder.load(self._pointer(address, kind, offset))
        value.align = 1
        return value

    def load_wide(self, address: Any, kind: Any, offset: int = 0) -> Any:
        """Return an unsigned integer at an address, as 64 bits."""
        return self.builder.zext(self.load(address, kind, offset), LONG)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        """Write a value to an address."""
        self.builder.store(value, self._pointer(address, value.type, offset)).align = 1

    def _pointer(self, address: Any, kind: Any, offset: int) -> Any:
        if offset:
            address = self.builder.add(address, LONG(offset))
        return self.builder.inttoptr(address, kind.as_pointer())

    @contextmanager
    def loop(self, first: Any, last: Any, step: int = 1) -> Iterator[Any]:
        """Repeat what is written inside for first, first + step, ... below last."""
        builder = self.builder
        index = self.variable(first)
        test = builder.append_basic_block("test")
        body = builder.append_basic_block("body")
        done = builder.append_basic_block("done")
        builder.branch(test)
        builder.position_at_end(test)
        current = builder.load(index)
        builder.cbranch(builder.icmp_signed("<", current, last), body, done)
        builder.position_at_end(body)
        yield current
        builder.store(builder.add(current, LONG(step)), index)
        builder.branch(test)
        builder.position_at_end(done)

    @contextmanager
    def repeat(self, condition: Callable[[], Any]) -> Iterator[None]:
        """Repeat what is written inside as long as a condition holds."""
        builder = self.builder
        test = builder.append_basic_block("again")
        body = builder.append_basic_block("repeated")
        done = builder.append_basic_block("over")
        builder.branch(test)
        builder.position_at_end(test)
        builder.cbranch(condition(), body, done)
        builder.position_at_end(body)
        yield
        builder.branch(test)
        builder.position_at_end(done)

    def call(self, address: Any, kind: Any, *arguments: Any) -> None:
        """Call a function of a type at an address; what it returns is dropped."""
        self.builder.call(self.builder.inttoptr(address, kind.as_pointer()), arguments)

    def add_shared(self, address: Any, value: Any) -> None:
        """Add to an integer that other threads add to; what was written before is seen by them."""
        place = self.builder.inttoptr(address, value.type.as_pointer())
        self.builder.atomic_rmw("add", place, value, "acq_rel")

    def load_shared(self, address: Any, kind: Any) -> Any:
        """Return an integer that other threads write, and see what they wrote before."""
        place = self.builder.inttoptr(address, kind.as_pointer())
        return self.builder.load_atomic(place, "acquire", kind.width // 8)

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """Do what is written inside only where a condition holds."""
        with self.builder.if_then(condition):
            yield

    def choose(self, condition: Any, then: Callable[[], None], other: Callable[[], None]) -> None:
        """Do one thing or the other."""
        with self.builder.if_else(condition) as (yes, no):
            with yes:
                then()
            with no:
                other()

    def equal(self, first: Any, second: Any) -> Any:
        """Tell whether two integers are equal."""
        return self.builder.icmp_signed("==", first, second)

    def splat(self, value: Any, lanes: int) -> Any:
        """Return a vector with the same value in every lane."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, value, INT(0))
        return self.builder.shuffle_vector(first, undefined, constants(INT, [0] * lanes))


def vector(kind: Any, lanes: int) -> Any:
    """Return the type of a vector."""
    return ir.VectorType(kind, lanes)


def constants(kind: Any, values: Sequence[Any]) -> Any:
    """Return a vector of constants."""
    return ir.Constant(ir.VectorType(kind, len(values)), list(values))
