"""Peak memory of a process that evaluates."""

from pathlib import Path

import peak_memory
import pytest
from speed_networks import subject


def test_a_process_tells_its_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "subject", lambda name: subject(name, cache=tmp_path))
    found = peak_memory.in_a_process("fashion_cnn", rows=1003, timesteps=2)
    assert found["network"] == "fashion_cnn"
    assert found["rows"] == 1003  # more than there are: the first ones are repeated
    assert found["timesteps"] == 2
    assert 2**26 < found["peak_bytes"] < 2**34
