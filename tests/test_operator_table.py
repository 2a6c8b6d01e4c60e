"""docs/operators.md is what the registry says."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def test_the_table_of_operators_is_current(repository: Path) -> None:
    script = repository / "docs" / "operators.py"
    spec = importlib.util.spec_from_file_location("operators_page", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (repository / "docs" / "operators.md").read_text()
    assert page == module.table(), "run: python docs/operators.py"
