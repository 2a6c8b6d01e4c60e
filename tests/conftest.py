"""Fixtures of every test, and the settings that make runs repeatable."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    # Workers that each start a thread per core slow one another down; read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

# A deadline measures compilation and a busy machine, not the code; CI repeats the same examples.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

NOT_SOURCE = {"tests", "build", "dist", "__pycache__"}


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run of a test."""
    return np.random.default_rng(20261121)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout, which is the package."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def source_files(repository: Path) -> list[Path]:
    """Every Python file that is no test, relative to the root; environments and builds left out."""

    def found(folder: Path) -> Iterator[Path]:
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                elsewhere = entry.name.startswith(".") or entry.name in NOT_SOURCE
                if not elsewhere and not (entry / "pyvenv.cfg").exists():
                    yield from found(entry)
            elif entry.suffix == ".py":
                yield entry.relative_to(repository)

    return list(found(repository))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Third-party networks and data that are not part of the repository."""
    folder = os.environ.get("SNNCONVERT_TEST_DATA")
    if not folder:
        pytest.skip("SNNCONVERT_TEST_DATA is not set: it names the folder with third-party models")
    if not Path(folder).is_dir():
        pytest.fail(f"SNNCONVERT_TEST_DATA is {folder!r}, which is not a folder")
    return Path(folder)


@pytest.fixture
def without_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processor have no tiles (AMX): what is chosen must not depend on the machine."""
    from snnconvert.backends.cpu.kernels.native import processor

    monkeypatch.setattr(processor(), "tiles", False)


@pytest.fixture(scope="session", autouse=True)
def heed_interrupts() -> None:
    """Let the programs that tests start end on Ctrl-C, as they do at a terminal.

    A shell starts what it runs in the background with SIGINT ignored, and that is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
