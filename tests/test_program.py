"""The program as a process: interruption from its first import on, and what its texts promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{name})
        return None

sys.meta_path.insert(0, Interrupting())
sys.argv = ["snnconvert", "check", "fashion_cnn"]
from snnconvert.__main__ import main
raise SystemExit(main())
"""


@pytest.mark.parametrize(
    "module",
    [
        "snnconvert.cli",
        "click",
        "numpy",
        "scipy.sparse",
        "google.protobuf.message",
        "snnconvert.convert.ops.conv",
    ],
)
@pytest.mark.parametrize(
    ("name", "status", "said"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_a_signal_while_modules_are_imported(
    module: str, name: str, status: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING.format(module=module, name=name)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.strip() == f"{said}; nothing was written"


def test_options_that_texts_name_exist(repository: Path, source_files: list[Path]) -> None:
    """Hints say ``--outputs`` and the like: each must be an option of the command line."""
    from snnconvert import cli

    known = {"--version", "--help"}
    for command in (cli.convert, *cli.VERBS.values()):
        known.update(spelling for parameter in command.params for spelling in parameter.opts)
    missing = {
        (str(path), option)
        for path in source_files
        if path.parts[0] in ("convert", "calibration", "backends", "reports", "cli.py")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", (repository / path).read_text())
        if option not in known
    }
    assert not missing
