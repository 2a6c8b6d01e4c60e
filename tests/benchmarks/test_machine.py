"""Facts of the machine beside results."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from machine import describe, machine_facts, write_results


def test_facts_name_processor_load_and_versions() -> None:
    facts = machine_facts(("numpy", "no-such-package"))
    assert facts["versions"] == {"numpy": np.__version__}
    assert facts["cores"] >= 1
    assert len(facts["load"]) == 3
    assert facts["processor"] in describe(facts)


def test_results_carry_the_command_without_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["x", "wide", "--python", "norse=/a/b/python", "--json=/a/c.json", "/a/d.json"]
    monkeypatch.setattr(sys, "argv", arguments)
    path = tmp_path / "results.json"
    write_results(path, "speed", [1, 2], {"cores": 2})
    assert json.loads(path.read_text("utf-8")) == {
        "command": "python benchmarks/speed.py wide --python norse=python --json=c.json d.json",
        "machine": {"cores": 2},
        "results": [1, 2],
    }


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(None, "speed", [], {})
    assert not list(tmp_path.iterdir())
