"""What this machine can do at most: multiply-adds, and adds of weight rows, a second."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from snnconvert.backends.cpu.kernels.native import processor
from snnconvert.backends.cpu.kernels.tiles import SHAPES

MATRIX = 1536
ROUNDS = 5

CHAINS = 8
"""Vectors that are summed side by side, so that no add waits for the one before."""
ROWS, ACTIVE = 32, 1024
"""Weight rows and list entries of the event-driven kernel: with 512 bytes a row both fit the
first-level cache of any processor."""

PICKED = ACTIVE * 5000
"""Rows that one measurement sums: the list is gone through again and again."""

PRODUCTS, TILE_SUMS = 2**17, 6
"""How often one measurement multiplies tiles, and the sums that each time get a product."""

PRODUCT = 16 * 64 * 16
"""Multiply-adds of bytes in a product of two tiles."""

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
    products : float or None
        Multiply-adds of bytes a second, in products of tiles (AMX) that lie in registers; None
        where the processor has none.
    """

    threads: int
    multiply_adds: float
    adds: dict[str, float]
    products: float | None


def measure_peaks(threads: int) -> Peaks:
    """Measure the machine's peaks with so many threads."""
    adds = {name: _adds(name, threads) for name in VECTORS}
    products = _products(threads) if processor().tiles else None
    return Peaks(threads, _multiply_adds(threads), adds, products)


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

    return threads * PICKED * CHAINS * lanes / _together(work, threads)


def _products(threads: int) -> float:
    kernel = tile_multiplier()
    seconds = _together(lambda: kernel(SHAPES, PRODUCTS), threads)
    return threads * PRODUCTS * TILE_SUMS * PRODUCT / seconds


def _together(work: Callable[[], None], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        return _shortest(lambda: list(pool.map(lambda _: work(), range(threads))))


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
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    return ctypes.CFUNCTYPE(None, pointer, pointer, count, pointer)(
        _compiled(_text(name), "add_rows")
    )


@cache
def tile_multiplier() -> Any:
    """Return a kernel (shapes of tiles, n): n times as many products as there are sums."""
    count = ctypes.c_int64
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p, count)(_compiled(_tile_text(), "multiply_tiles"))


def _compiled(text: str, name: str) -> int:
    """Return the address of a function in LLVM's language."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    _engines.append(engine)
    return int(engine.get_function_address(name))


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


def _tile_text() -> str:
    sums = range(TILE_SUMS)
    lines = [
        "declare void @llvm.x86.ldtilecfg(ptr)",
        "declare void @llvm.x86.tilezero(i8)",
        "declare void @llvm.x86.tdpbusd(i8, i8, i8)",
        "declare void @llvm.x86.tilerelease()",
        "define void @multiply_tiles(ptr %shapes, i64 %n) {",
        "entry:",
        "  call void @llvm.x86.ldtilecfg(ptr %shapes)",
        *(f"  call void @llvm.x86.tilezero(i8 {k})" for k in range(8)),
        "  br label %loop",
        "loop:",
        "  %j = phi i64 [0, %entry], [%next, %loop]",
        *(f"  call void @llvm.x86.tdpbusd(i8 {k}, i8 6, i8 7)" for k in sums),
        "  %next = add i64 %j, 1",
        "  %more = icmp slt i64 %next, %n",
        "  br i1 %more, label %loop, label %done",
        "done:",
        "  call void @llvm.x86.tilerelease()",
    ]
    return "\n".join([*lines, "  ret void", "}", ""])
