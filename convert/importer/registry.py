"""The registry of operator importers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from snnconvert.convert.importer.builder import GraphBuilder
    from snnconvert.convert.importer.node import OnnxNode

Importer: TypeAlias = "Callable[[OnnxNode, GraphBuilder], None]"


@dataclass(frozen=True)
class SupportedOperator:
    """One row of the table of supported operators.

    Attributes
    ----------
    name : str
        ONNX operator, with its domain unless that is ONNX's own.
    since : tuple of int
        The opsets in which a meaning that we know began.
    summary : str
        What becomes of it.
    """

    name: str
    since: tuple[int, ...]
    summary: str


_REGISTRY: dict[tuple[str, str], dict[int, Importer]] = {}


def operator(name: str, *, since: int, domain: str = "") -> Callable[[Importer], Importer]:
    """Register the importer of an ONNX operator.

    Parameters
    ----------
    name : str
    domain : str
        "" is ONNX's own.
    since : int
        The opset where this meaning began; later opsets use it until a newer entry.

    Raises
    ------
    ValueError
        If there is one for that operator and opset already.
    """

    def register(importer: Importer) -> Importer:
        versions = _REGISTRY.setdefault((domain, name), {})
        if since in versions:
            raise ValueError(f"operator {name!r} is registered twice for opset {since}")
        versions[since] = importer
        return importer

    return register


@cache
def _scan() -> None:
    package = importlib.import_module("snnconvert.convert.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def find_importer(name: str, opset: int, domain: str = "") -> Importer | None:
    """Return the importer with the newest meaning that `opset` knows, None if there is none."""
    _scan()
    versions = _REGISTRY.get((domain, name), {})
    known = [since for since in versions if since <= opset]
    return versions[max(known)] if known else None


def supported_operators() -> tuple[SupportedOperator, ...]:
    """Return every operator that can take an activation, for the table in the documentation."""
    _scan()
    return tuple(
        SupportedOperator(
            f"{domain}.{name}" if domain else name,
            tuple(sorted(versions)),
            _summary(versions[max(versions)]),
        )
        for (domain, name), versions in sorted(_REGISTRY.items())
    )


def _summary(importer: Importer) -> str:
    return (inspect.getdoc(importer) or "").partition("\n")[0]
