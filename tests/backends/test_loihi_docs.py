"""What docs/loihi.md says runs."""

import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_blocks_of_the_documentation_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one namespace, in an empty folder."""
    pytest.importorskip("nengo_loihi")
    text = (repository / "docs/loihi.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/loihi.md, block {number}", "exec"), namespace)


def test_the_limits_of_the_documentation_are_those_of_the_planner(repository: Path) -> None:
    from snnconvert.backends.loihi.backend import LoihiBackend
    from snnconvert.backends.loihi.cores import LIMITS

    text = (repository / "docs/loihi.md").read_text(encoding="utf-8")
    for limit in vars(LIMITS).values():
        assert f"| {limit:,} |" in text
    for option in LoihiBackend.capabilities.options:
        assert f"| `{option}` |" in text
