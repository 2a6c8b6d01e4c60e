"""Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import snnconvert

SCRIPTS = ("snnconvert.models.train_fashion", "snnconvert.__main__", "snnconvert.cli")
FOREIGN = ("snnconvert.tests", "snnconvert.benchmarks", "snnconvert.docs", "snnconvert.examples")


def _modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(snnconvert.__path__, "snnconvert.")]
    return ["snnconvert", *(m for m in found if m not in SCRIPTS and not m.startswith(FOREIGN))]


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_run(name: str) -> None:
    """Every example of the module gives what it says."""
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
