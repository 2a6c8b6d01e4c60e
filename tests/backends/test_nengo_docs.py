"""What docs/nengo.md and the example say runs."""

import re
import runpy
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_blocks_of_the_documentation_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one namespace, in an empty folder."""
    text = (repository / "docs/nengo.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/nengo.md, block {number}", "exec"), namespace)


@pytest.mark.slow
def test_the_example_runs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restarted, the network recognises what it is shown; carrying charge on, it does worse."""
    script = str(repository / "examples/nengo_embedding.py")
    monkeypatch.setattr(sys, "argv", [script, "--images", "20", "--timesteps", "16"])
    runpy.run_path(script, run_name="__main__")
    restarting, carrying = re.findall(r"accuracy (\S+),", capsys.readouterr().out)
    assert float(restarting) >= 0.8
    assert float(carrying) < float(restarting)
