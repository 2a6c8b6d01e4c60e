"""What evaluation adds to the time of the simulation.

    python benchmarks/evaluation_time.py [NETWORK ...] [--rows 1000] [--timesteps 32] [--json FILE]

Times ``snn.evaluate`` (rows read and preprocessed, the ANN, the simulation, statistics of every
layer, the parity check, the ladder) and ``emitted.run`` on the same rows in the same batches, in
turns, and prints the difference as a share of the run. The goal is 20 %. Exits 1 above it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interleave import Spread, interleave
from machine import describe, machine_facts, write_results
from speed_networks import (
    DESIGN_TIMESTEPS,
    NAMES,
    SHIPPED,
    MissingFilesError,
    Subject,
    subject,
    third_party_files,
)

import snnconvert
from snnconvert.convert.evaluate import BATCH_SIZE

GOAL = 0.2


def batches(samples: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Yield the rows in batches, as evaluation runs them."""
    count = len(next(iter(samples.values())))
    for start in range(0, count, size):
        yield {name: rows[start : start + size] for name, rows in samples.items()}


def overhead(network: Subject, rows: int, timesteps: int, repeat: int) -> dict[str, Any]:
    """Return the seconds of a run and of an evaluation, the share between, and its stages."""
    emitted = snnconvert.get_backend("cpu").emit(network.snn)
    samples, raw = network.rows(rows), network.raw_rows(rows)
    stages: dict[str, Any] = {}

    def run() -> None:
        for batch in batches(samples, BATCH_SIZE):
            emitted.run(batch, timesteps)

    def evaluate() -> None:
        result = network.snn.evaluate(raw, timesteps=timesteps, anytime=False)
        stages.update(result.context.timing)

    times = interleave({"run": run, "evaluate": evaluate}, repeat=repeat)
    ratio = times.ratio("evaluate", "run")
    return {
        "network": network.name,
        "rows": rows,
        "timesteps": timesteps,
        "run_seconds": times.spread("run").to_json(),
        "evaluate_seconds": times.spread("evaluate").to_json(),
        "added": Spread.of([value - 1 for value in ratio.values]).to_json(),
        "stages_seconds": {
            name.removesuffix("_seconds"): round(seconds, 3) for name, seconds in stages.items()
        },
    }


def main() -> int:
    """Measure the networks named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ["resnet20"] if third_party_files() else list(SHIPPED)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NAMES))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--timesteps", type=int, default=DESIGN_TIMESTEPS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.networks) - set(NAMES):
        parser.error(f"no network {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    facts = machine_facts()
    print(describe(facts))
    results = []
    for name in options.networks or default:
        try:
            network = subject(name)
        except MissingFilesError as error:
            parser.error(str(error))
        found = overhead(network, options.rows, options.timesteps, options.repeat)
        results.append(found)
        added = found["added"]
        print(
            f"{name:16} {options.rows} rows, T = {options.timesteps}: "
            f"run {found['run_seconds']['median']:.2f} s, "
            f"evaluate {found['evaluate_seconds']['median']:.2f} s, added "
            f"{100 * added['median']:.0f} % ({100 * added['low']:.0f}..{100 * added['high']:.0f}), "
            f"goal {100 * GOAL:.0f} %",
            flush=True,
        )
        print("  " + ", ".join(f"{k} {v} s" for k, v in found["stages_seconds"].items()))
    write_results(options.json, "evaluation_time", results, facts)
    return 0 if all(found["added"]["median"] <= GOAL for found in results) else 1


if __name__ == "__main__":
    sys.exit(main())
