"""Which device a run may use, and torch's settings under which its sums are exact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from snnconvert.backends.cpu.dense import exact_torch
from snnconvert.backends.cpu.plan import free_memory
from snnconvert.convert.errors import UsageError

MEMORY_SHARE = 0.5
"""Share of the device's free memory that a run takes: the operators' own buffers come on top."""


def find_device(name: str) -> torch.device:
    """Return a device by torch's name for it: "cuda", "cuda:1", "cpu".

    Raises
    ------
    UsageError
        If there is none, with the reason.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device {name!r}", hint="use cpu, cuda, or cuda:N for the Nth GPU"
        ) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UsageError(
            f"device {name!r} is not supported", hint="use cpu, cuda, or cuda:N for the Nth GPU"
        )
    _require_cuda(device)
    return device


def _require_cuda(device: torch.device) -> None:
    message = f"device {str(device)!r} cannot be used here"
    hint = "leave out --device to run on the processor"
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        built = f"torch {torch.__version__} is built without CUDA"
        raise UsageError(message, why=built, hint=f"install a torch with CUDA, or {hint}")
    if not torch.cuda.is_available():
        raise UsageError(message, why="torch finds no NVIDIA GPU with a working driver", hint=hint)
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        why = f"torch finds {count} GPU{'s' if count > 1 else ''}, counted from 0"
        raise UsageError(message, why=why, hint=hint)


def describe(device: torch.device) -> str:
    """Return the device's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def memory_budget(device: torch.device) -> int:
    """Return the bytes that a run may take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * MEMORY_SHARE)
    return int(free_memory() * MEMORY_SHARE)


@contextlib.contextmanager
def exact_sums(device: torch.device) -> Iterator[None]:
    """Keep torch to plain sums of products: no TF32, no sums rounded to half precision."""
    if device.type != "cuda":
        with exact_torch():
            yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision, matmul.allow_fp16_reduced_precision_reduction
    try:
        matmul.fp32_precision = "ieee"
        matmul.allow_fp16_reduced_precision_reduction = False
        yield
    finally:
        matmul.fp32_precision, matmul.allow_fp16_reduced_precision_reduction = before
