"""What the results of a benchmark hang on: the machine, its load, the versions."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("snnconvert", "numpy", "numba", "torch", "onnxruntime")


def machine_facts(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """Return processor, cores, load, time and versions, ready for JSON."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: found for name in packages if (found := _version(name))},
    }


def describe(facts: dict[str, Any]) -> str:
    """Return the facts in one line."""
    loads = ", ".join(map(str, facts["load"]))
    return f"{facts['processor']}, {facts['cores']} cores, load {loads}, {facts['time']}"


def write_results(path: Path | None, name: str, results: Any, facts: dict[str, Any]) -> None:
    """Write results with the machine's facts and the command, where a file is asked for."""
    if path is None:
        return
    command = " ".join(["python", f"benchmarks/{name}.py", *_public(sys.argv[1:])])
    content = {"command": command, "machine": facts, "results": results}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _public(arguments: list[str]) -> list[str]:
    """Return arguments without the folders that they name."""
    return [
        f"{key}{sign}{Path(value).name}" if "/" in value else f"{key}{sign}{value}"
        for key, sign, value in (_split(argument) for argument in arguments)
    ]


def _split(argument: str) -> tuple[str, str, str]:
    key, sign, value = argument.partition("=")
    return (key, sign, value) if sign else ("", "", argument)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
