"""Compile kernels for this processor, once: the machine code is kept on disk.

The file's name is a hash of the kernel's LLVM code, the processor and LLVM's version, so a changed
kernel or another machine never meets old code. A folder that cannot be written costs the
compilation in every process, a fraction of a second a kernel.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
import threading
import warnings
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from snnconvert.backends.kernel_cache import cache_folder

CHECK = 32
"""Bytes of the checksum in front of kept code."""

_WIDE = (("avx512bw", 64), ("avx2", 32))
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_lock = threading.Lock()
_engines: list[Any] = []


class Kernel:
    """Compiled code; takes its arguments as one array of 64-bit integers: numbers and addresses.

    Parameters
    ----------
    address : int
        Of a function ``void name(int64 *)``.
    """

    def __init__(self, address: int) -> None:
        self.address = address
        self._function = _SIGNATURE(address)

    def __call__(self, arguments: npt.NDArray[np.int64]) -> None:
        """Run it, without the global interpreter lock."""
        self._function(arguments.ctypes.data)


class Processor:
    """What LLVM compiles for.

    Attributes
    ----------
    register_bytes : int
        Of the widest registers.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.name = llvm.get_host_cpu_name()
        self.features = dict(llvm.get_host_cpu_features())
        self.register_bytes = next((size for f, size in _WIDE if self.features.get(f)), 16)
        # Some processors would rather have vectors of half the width in code that LLVM
        # vectorises itself; ours are written at full width, and want it.
        text = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
        self.machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=self.name, features=text, opt=3
        )
        self.key = f"{self.name} {text} {self.machine.triple} {llvm.llvm_version_info}"

    @cached_property
    def tiles(self) -> bool:
        """Whether it multiplies tiles of bytes (AMX), and the system lets this process do so.

        Asked for only where a layer would use them: what the system then saves at every signal
        grows by 8 KiB for the rest of the process.
        """
        wanted = ("amx-tile", "amx-int8")
        return all(self.features.get(feature) for feature in wanted) and _tiles_allowed()


def _tiles_allowed() -> bool:
    """Ask Linux for the registers of tiles, which it saves only for those who asked."""
    if sys.platform != "linux":
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18
    return bool(ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0)


@cache
def processor() -> Processor:
    """Return the processor of this machine."""
    return Processor()


def compile_kernel(name: str, text: str) -> Kernel:
    """Return the machine code of a function in LLVM's language.

    Parameters
    ----------
    name : str
        Of the function ``void name(int64 *)``.
    text : str
        The module that defines it.
    """
    with _lock:
        host = processor()
        digest = hashlib.sha256(f"{host.key}\n{text}".encode()).hexdigest()[:32]
        path = cache_folder().parent / "llvm" / f"{name}-{digest}.kernel"
        code = _stored(path)
        if code is None:
            code = _machine_code(host, text)
            _keep(path, code)
        engine = _engine(host, code)
        _engines.append(engine)  # its code lives as long as the process
        return Kernel(engine.get_function_address(name))


def _machine_code(host: Processor, text: str) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = False
    options.slp_vectorization = False
    passes = llvm.create_pass_builder(host.machine, options)
    passes.getModulePassManager().run(module, passes)
    return bytes(host.machine.emit_object(module))


def _engine(host: Processor, code: bytes) -> Any:
    empty = llvm.parse_assembly("")
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=host.name, opt=3)
    engine = llvm.create_mcjit_compiler(empty, machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _stored(path: Path) -> bytes | None:
    """Return kept code; None where there is none or it is damaged: LLVM would crash on it."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    check, code = kept[:CHECK], kept[CHECK:]
    return code if hashlib.sha256(code).digest() == check else None


def _keep(path: Path, code: bytes) -> None:
    """Write the code whole or not at all; say once where nothing can be kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        _warn(str(path.parent), error.strerror or str(error))


@cache
def _warn(folder: str, reason: str) -> None:
    warnings.warn(
        f"compiled kernels cannot be kept in {folder} ({reason}): every process compiles them "
        "again; set XDG_CACHE_HOME to a folder that can be written",
        stacklevel=2,
    )
