"""Damaged ONNX files, as many as asked for: no crash, no hang, no full memory, only our errors.

    python benchmarks/fuzz.py [--inputs 100000] [--seed 0] [--jobs 1]

Input k is a valid model altered by the generator seeded ``seed + k`` (tests/mutation.py). A forked
worker judges one after the other with `check`, with 1 GiB of memory above what it had after its
imports and 10 seconds for each; a new one takes over where it dies. Every finding is printed with
its seed; exits 1 when there was one. The figures are written to ``benchmarks/results/fuzz.json``
and enter docs/robustness.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

RESULTS = HERE / "results" / "fuzz.json"
SECONDS = 10
MEMORY_BYTES = 2**30
MODELS = 150
REPORT_EVERY = 1000


def limit_memory() -> None:
    """Allow 1 GiB more address space than there is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def worker(models: list[bytes], seeds: range, current: Any, parent: Connection) -> None:
    """Judge inputs; send counts of outcomes, and findings, now and then."""
    from mutation import mutate

    from snnconvert.convert.checking.check import check_model
    from snnconvert.convert.errors import SnnConvertError

    check_model(models[0])  # imports what is imported late
    limit_memory()
    warnings.simplefilter("error", RuntimeWarning)  # numbers that nobody looked at
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # kills, whatever runs
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    slowest = 0.0
    for seed in seeds:
        current.value = seed
        content = mutate(seed, models)
        signal.alarm(SECONDS)
        started = time.perf_counter()
        try:
            outcomes["refused" if check_model(content) else "accepted"] += 1
        except SnnConvertError as error:
            outcomes[type(error).__name__] += 1
        except Exception as error:  # what is looked for
            outcomes["finding"] += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            findings.append(f"seed {seed}: {type(error).__name__}: {error} ({place})"[:300])
        slowest = max(slowest, time.perf_counter() - started)
        signal.alarm(0)
        if (seed + 1) % REPORT_EVERY == 0 or seed == seeds[-1]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            parent.send((seed, outcomes, findings, slowest, peak))
            outcomes, findings = Counter(), []
    parent.close()
    os._exit(0)  # forked from a thread: the ordinary end would wait for threads that are not here


@dataclass
class Figures:
    """What a run found."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0

    def take(self, counted: Counter[str], found: list[str], slowest: float, peak: int) -> None:
        """Add those of a part of the inputs."""
        self.outcomes.update(counted)
        self.findings += found
        self.slowest, self.peak = max(self.slowest, slowest), max(self.peak, peak)


def campaign(models: list[bytes], seeds: range, figures: Figures) -> None:
    """Judge inputs by one worker after the other."""
    first = seeds.start
    fork = multiprocessing.get_context("fork")
    while first < seeds.stop:
        current = multiprocessing.Value("q", first, lock=False)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        rest = range(first, seeds.stop)
        process = fork.Process(target=worker, args=(models, rest, current, theirs))
        process.start()
        theirs.close()
        try:
            while True:
                seed, *part = ours.recv()
                first = seed + 1
                figures.take(*part)
                print(f"{first:,}: {dict(figures.outcomes)}", *part[1], sep="\n", flush=True)
        except EOFError:
            process.join()
        if process.exitcode:
            seed = int(current.value)
            finding = f"seed {seed}: the worker died, exit code {process.exitcode}"
            print(finding, flush=True)
            # Those between its last report and its death were judged, but not counted.
            figures.take(Counter(uncounted=seed - first, died=1), [finding], 0.0, 0)
            first = seed + 1


def main() -> int:
    """Judge the inputs and record the figures."""
    parser = argparse.ArgumentParser(description="Damaged ONNX files through the importer.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    from mutation import valid_models

    from snnconvert.models import shipped_model_path

    started = time.perf_counter()
    shipped = shipped_model_path("fashion_cnn")
    assert shipped is not None
    models = valid_models(MODELS, [shipped])
    last = arguments.seed + arguments.inputs
    edges = [arguments.seed + i * arguments.inputs // arguments.jobs for i in range(arguments.jobs)]
    parts = [range(*pair) for pair in pairwise([*edges, last])]
    figures = Figures()
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for _ in pool.map(lambda seeds: campaign(models, seeds, figures), parts):
            pass
    record = {
        "inputs": arguments.inputs,
        "seed": arguments.seed,
        "models": len(models),
        "outcomes": dict(figures.outcomes),
        "findings": figures.findings,
        "slowest_seconds": round(figures.slowest, 2),
        "peak_mib": figures.peak,
        "seconds": round(time.perf_counter() - started),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    found, slowest = len(figures.findings), figures.slowest
    print(f"{arguments.inputs:,} inputs, {found} findings, slowest {slowest:.2f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
