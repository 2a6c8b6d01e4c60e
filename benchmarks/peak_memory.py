"""Peak memory of evaluating many rows, in a process of its own.

    python benchmarks/peak_memory.py [--network resnet20] [--rows 10000] [--timesteps 256]

Converts the network, then starts a process that loads the .snn file, evaluates the rows (the
network's test rows, repeated) at T, and ends. Prints the largest resident set that the system saw
of that process. The goal for 10,000 CIFAR-10 images at T = 256 is 2 GiB. Exits 1 above it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, machine_facts, write_results
from speed_networks import NAMES, SHIPPED, MissingFilesError, subject, third_party_files

import snnconvert

GOAL = 2 * 2**30
_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts the resident set."""


def evaluate_alone(folder: Path, rows: int, timesteps: int) -> dict[str, Any]:
    """Evaluate in this process and return its peak, ready for JSON."""
    snn = snnconvert.load(folder / "network.snn")
    raw = np.load(folder / "rows.npy")
    x = raw[np.arange(rows) % len(raw)]
    began = time.perf_counter()
    result = snn.evaluate(x, timesteps=timesteps)
    return {
        "rows": result.measurement.samples,
        "timesteps": timesteps,
        "seconds": round(time.perf_counter() - began, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT,
        "agreement": result.final.agreement,
    }


def in_a_process(name: str, rows: int, timesteps: int) -> dict[str, Any]:
    """Evaluate a network in a process that does nothing else.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    network = subject(name)
    with tempfile.TemporaryDirectory() as folder:
        network.snn.save(Path(folder) / "network.snn")
        np.save(Path(folder) / "rows.npy", network.raw)
        command = [sys.executable, __file__, "--alone", folder]
        command += ["--rows", str(rows), "--timesteps", str(timesteps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"network": name, **found}


def main() -> int:
    """Measure one network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = "resnet20" if third_party_files() else SHIPPED[0]
    parser.add_argument("--network", choices=NAMES, default=default)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--timesteps", type=int, default=256)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(evaluate_alone(options.alone, options.rows, options.timesteps)))
        return 0
    facts = machine_facts()
    print(describe(facts))
    try:
        found = in_a_process(options.network, options.rows, options.timesteps)
    except MissingFilesError as error:
        parser.error(str(error))
    peak = found["peak_bytes"]
    print(
        f"{found['network']}: {found['rows']:,} rows at T = {found['timesteps']}: peak "
        f"{peak / 2**20:,.0f} MiB, goal {GOAL / 2**20:,.0f} MiB "
        f"{'reached' if peak <= GOAL else 'MISSED'} ({found['seconds']} s)"
    )
    write_results(options.json, "peak_memory", found, facts)
    return 0 if peak <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
