"""What this machine can do at most: dense multiply-adds, and adds of weight rows, a second."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

MATRIX = 1536
ROUNDS = 5

CHAINS = 8
"""Vectors that are summed side by side, so that no add waits for the one before."""
ROWS, ACTIVE = 32, 1024
"""Weight rows and list entries of the event-driven kernel: with 512 bytes a row both fit the
first-level cache of any processor."""

PICKED = ACTIVE * 5000
"""Rows that one measurement sums: the list is gone through again and again."""

VECTORS = {"float32": ("<16 x float>", "fadd", 16), "int16": ("<32 x i16>", "add", 32)}
VECTOR_BYTES = 64


@dataclass(frozen=True)
class Peaks:
    """Largest rates seen, all threads together.

    Attributes
    ----------
    threads : int
    multiply_adds : float
        A second, of a large float32 matrix product in torch.
    adds : dict of str to float
        A second, by the type of the weights: rows of 8 vectors out of the first-level cache, picked
        by a list, summed in registers.
    """

    threads: int
    multiply_adds: float
    adds: dict[str, float]


def measure_peaks(threads: int) -> Peaks:
    """Measure the machine's peaks with so many threads."""
    return Peaks(threads, _multiply_adds(threads), {name: _adds(name, threads) for name in VECTORS})


def _multiply_adds(threads: int) -> float:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.rand(2, MATRIX, MATRIX)
        seconds = _shortest(lambda: a @ b)
    finally:
        torch.set_num_threads(before)
    return float(MATRIX**3 / seconds)


def _adds(name: str, threads: int) -> float:
    kernel, lanes = row_adder(name), VECTORS[name][2]

    def work() -> None:
        rows, active, out = row_adder_arrays(name)
        kernel(rows.ctypes.data, active.ctypes.data, PICKED, out.ctypes.data)

    with ThreadPoolExecutor(threads) as pool:
        seconds = _shortest(lambda: list(pool.map(lambda _: work(), range(threads))))
    return threads * PICKED * CHAINS * lanes / seconds


def _shortest(work: Any) -> float:
    work()
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def row_adder_arrays(name: str) -> tuple[Any, Any, Any]:
    """Return weight rows of ones, a list of byte offsets of rows, and room for the sums."""
    dtype = np.dtype(name)
    width = CHAINS * VECTOR_BYTES // dtype.itemsize
    aligned = np.zeros((ROWS + 2) * CHAINS * VECTOR_BYTES, np.uint8)
    skip = -aligned.ctypes.data % VECTOR_BYTES
    used = aligned[skip : skip + (ROWS + 1) * CHAINS * VECTOR_BYTES].view(dtype)
    rows = used.reshape(ROWS + 1, width)
    rows[:ROWS] = 1
    active = np.random.default_rng(0).integers(0, ROWS, ACTIVE) * CHAINS * VECTOR_BYTES
    return rows[:ROWS], active.astype(np.int32), rows[ROWS]


@cache
def row_adder(name: str) -> Any:
    """Return a kernel (rows, active, n, out): the sum of n rows at the offsets of the list."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(_text(name)), machine)
    engine.finalize_object()
    _engines.append(engine)
    address = engine.get_function_address("add_rows")
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    return ctypes.CFUNCTYPE(None, pointer, pointer, count, pointer)(address)


_engines: list[Any] = []
"""Own the machine code."""


def _text(name: str) -> str:
    vector, add, _ = VECTORS[name]
    chains = range(CHAINS)
    lines = [
        "define void @add_rows(ptr %rows, ptr %active, i64 %n, ptr %out) {",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %j = phi i64 [0, %entry], [%next, %loop]",
        *(f"  %a{k} = phi {vector} [zeroinitializer, %entry], [%s{k}, %loop]" for k in chains),
        f"  %entry_ = and i64 %j, {ACTIVE - 1}",
        "  %at = getelementptr i32, ptr %active, i64 %entry_",
        "  %offset = load i32, ptr %at",
        "  %row = getelementptr i8, ptr %rows, i32 %offset",
    ]
    for k in chains:
        lines += [
            f"  %p{k} = getelementptr {vector}, ptr %row, i64 {k}",
            f"  %w{k} = load {vector}, ptr %p{k}, align 64",
            f"  %s{k} = {add} {vector} %a{k}, %w{k}",
        ]
    lines += [
        "  %next = add i64 %j, 1",
        "  %more = icmp slt i64 %next, %n",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    for k in chains:
        lines += [
            f"  %o{k} = getelementptr {vector}, ptr %out, i64 {k}",
            f"  store {vector} %s{k}, ptr %o{k}, align 64",
        ]
    return "\n".join([*lines, "  ret void", "}", ""])
