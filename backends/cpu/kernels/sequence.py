"""Kernels one after the other, in one call: threads meet behind each of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir

from snnconvert.backends.cpu.kernels.emitter import INT, LONG, Emitter
from snnconvert.backends.cpu.kernels.native import Kernel, compile_kernel

SPINS = 2000
"""How often a thread looks whether the others have come before it gives its processor away."""

YIELDS = 200
"""How often it does so before it sleeps: a thread that waits long must not spend its share of the
processors, which may be counted."""

NAP = 50
"""Microseconds that it sleeps each time."""

OPEN = 2**62
"""A number of arrivals with which no thread waits any more, or begins another kernel."""

_KERNEL = ir.FunctionType(ir.VoidType(), [LONG.as_pointer()])
_YIELD, _SLEEP = ir.FunctionType(INT, []), ir.FunctionType(INT, [INT])


@cache
def sequence_kernel() -> Kernel:
    """Return the kernel that calls others.

    Its arguments: calls (function or 0, its arguments), their number, address of the number of
    arrivals, threads, addresses of `sched_yield` and `usleep`, or 0.
    """
    return compile_kernel("sequence", _emit())


def _emit() -> str:
    e = Emitter("sequence")
    calls, count, arrivals, threads, give_way, sleep = (e.argument(i) for i in range(6))
    with e.loop(LONG(0), count) as i:
        place = e.add(calls, e.multiply(i, LONG(16)))
        function = e.load(place, LONG)
        # Where another thread was interrupted, what it should have written is not there.
        going_on = e.builder.icmp_signed("<", e.load_shared(arrivals, LONG), LONG(OPEN))
        there = e.builder.icmp_signed("!=", function, LONG(0))
        with e.when(e.builder.and_(there, going_on)):
            arguments = e.builder.inttoptr(e.load(place, LONG, 8), LONG.as_pointer())
            e.call(function, _KERNEL, arguments)
        with e.when(e.builder.icmp_signed(">", threads, LONG(1))):
            e.add_shared(arrivals, LONG(1))
            all_there = e.multiply(threads, e.add(i, LONG(1)))
            spins = e.variable(LONG(0))
            with e.repeat(
                lambda: e.builder.icmp_signed("<", e.load_shared(arrivals, LONG), all_there)
            ):
                e.set(spins, e.add(e.get(spins), LONG(1)))
                _wait(e, e.get(spins), give_way, sleep)
    return e.text()


def _wait(e: Emitter, spins: Any, give_way: Any, sleep: Any) -> None:
    """Wait a little; the longer, the more often it was done."""
    with e.when(e.builder.icmp_signed(">", spins, LONG(SPINS))):
        possible = e.builder.icmp_signed("!=", sleep, LONG(0))
        long = e.builder.icmp_signed(">", spins, LONG(SPINS + YIELDS))
        with e.builder.if_else(e.builder.and_(long, possible)) as (yes, no):
            with yes:
                e.call(sleep, _SLEEP, INT(NAP))
            with no, e.when(e.builder.icmp_signed("!=", give_way, LONG(0))):
                e.call(give_way, _YIELD)
