"""The simulator's speed in ANN times a timestep.

    python benchmarks/speed.py [NAME ...] [--list] [--repeat 9] [--threads 1,2] [--json FILE]

One ANN time is what onnxruntime needs for the ANN's own file, on the same rows in the same batch
with the same number of threads; the number is ``run / (T x ANN time)``, where ``run`` is the wall
time of ``emitted.run`` for T steps. Both are timed in turns within one run; printed are the median
of the rounds' ratios and their quartiles. A dense simulation at onnxruntime's pace has 1. Before it
is timed every simulation is compared with the plain reference, spike for spike, on a few rows.

NAME is the beginning of a case's name, several cases may have it. The cases of ``resnet20`` need
third-party files (see ``speed_networks.py``); without them they are left out by default. Exits 1
where a case with a goal, at two threads, is above it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from interleave import Spread, Times, interleave
from machine import describe, machine_facts, write_results
from speed_networks import (
    DESIGN_TIMESTEPS,
    MissingFilesError,
    Subject,
    subject,
    third_party_files,
)

import snnconvert
from snnconvert.backends.base import RunResult
from snnconvert.backends.cpu import CpuSimulation

WEIGHTS: dict[str, int | None] = {"float32": None, "int16": 16, "int8": 8}
PARITY_ROWS, PARITY_TIMESTEPS = 3, 8
"""On these every simulation is compared with the plain reference before it is timed."""
NETWORKS = ("resnet20", "wide", "wide_pool", "fashion_cnn", "fashion_resnet")
THIRD_PARTY = "resnet20"


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes
    ----------
    name, network : str
    timesteps, batch, threads : int
    weight_bits : int or None
    threshold_scale : float
        Thresholds are so many times as high: the spikes become rarer.
    goal : float or None
        Largest median, in ANN times a timestep.
    """

    name: str
    network: str
    timesteps: int = DESIGN_TIMESTEPS
    batch: int = 100
    threads: int = 2
    weight_bits: int | None = None
    threshold_scale: float = 1.0
    goal: float | None = None


GOALS = {
    ("resnet20", 100): {"float32": 0.6, "int16": 0.4, "int8": 0.3},
    ("resnet20", 1): {"float32": 0.9, "int16": 0.6, "int8": 0.45},
    ("wide", 100): {"float32": 0.3, "int16": 0.2, "int8": 0.12},
}


def _cases() -> Iterator[Case]:
    for network in NETWORKS:
        for batch in (100, 1):
            goals = GOALS.get((network, batch), {})
            for weights, bits in WEIGHTS.items():
                name = f"{network}-batch{batch}-{weights}"
                goal = goals.get(weights)
                yield Case(name, network, batch=batch, weight_bits=bits, goal=goal)
        for timesteps in (8, 16, 32, 64, 128, 256):
            yield Case(f"{network}-sweep-T{timesteps}", network, timesteps=timesteps)
        for scale in (0.5, 1, 2, 4, 8):
            yield Case(f"{network}-sweep-threshold{scale:g}", network, threshold_scale=scale)
        for batch in (1, 4, 16, 64, 256):
            yield Case(f"{network}-sweep-batch{batch}", network, batch=batch)
        for threads in (1, 2):
            yield Case(f"{network}-sweep-threads{threads}", network, threads=threads)


CASES = tuple(_cases())


@dataclass(frozen=True)
class Result:
    """What a case gave.

    Attributes
    ----------
    case : Case
    ratio : Spread
        ANN times a timestep.
    run, ann : Spread
        Seconds of a run of T steps, and of the ANN once.
    density : float
        Spikes a neuron and step.
    same_answers : float
        Share of the rows whose answer is the ANN's.
    """

    case: Case
    ratio: Spread
    run: Spread
    ann: Spread
    density: float
    same_answers: float

    @property
    def reached(self) -> bool:
        """Whether the goal is reached, where there is one."""
        return self.case.goal is None or self.ratio.median <= self.case.goal

    def line(self) -> str:
        """Return the row of the table."""
        case = self.case
        goal = ""
        if case.goal is not None:
            goal = f"goal {case.goal:g} {'reached' if self.reached else 'MISSED'}"
        return (
            f"{case.name:32} {case.threads:7} {case.timesteps:4} {case.batch:5} "
            f"{self.density:7.3f} {1e3 * self.ann.median / case.batch:9.3f} "
            f"{1e3 * self.run.median / case.batch:9.3f} "
            f"{self.ratio.median:6.3f} {self.ratio.low:.3f}..{self.ratio.high:.3f}  "
            f"{self.same_answers:5.2f}  {goal}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self.case) | {
            "ann_times_a_timestep": self.ratio.to_json(),
            "run_seconds": self.run.to_json(),
            "ann_seconds": self.ann.to_json(),
            "density": self.density,
            "same_answers": self.same_answers,
        }


HEADER = (
    f"{'case':32} {'threads':>7} {'T':>4} {'batch':>5} {'density':>7} {'ANN ms':>9} {'run ms':>9} "
    f"{'ANN times a timestep':21} {'same':>6}"
)


def ann_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Return the ANN in onnxruntime, as its defaults are but for the threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def density(result: RunResult, steps: int) -> float:
    """Return the spikes a neuron and step of a run."""
    spikes = sum(int(counts.sum()) for counts in result.spike_counts.values())
    neurons = sum(counts.size for counts in result.spike_counts.values())
    return spikes / max(neurons * steps, 1)


@cache
def _subject(name: str) -> Subject:
    return subject(name)


@cache
def _simulation(network: str, threads: int, weight_bits: int | None, scale: float) -> CpuSimulation:
    built = _subject(network).network(weight_bits=weight_bits, threshold_scale=scale)
    emitted = snnconvert.get_backend("cpu").emit(built, threads=threads)
    assert isinstance(emitted, CpuSimulation)
    emitted.parity(_subject(network).rows(PARITY_ROWS), PARITY_TIMESTEPS)
    return emitted


def measure(case: Case, repeat: int) -> Result:
    """Time a case."""
    network = _subject(case.network)
    simulation = _simulation(case.network, case.threads, case.weight_bits, case.threshold_scale)
    session = ann_session(network.snn.model_bytes, case.threads)
    samples = network.rows(case.batch)
    result = simulation.run(samples, case.timesteps)
    times = interleave(
        {
            "ann": lambda: session.run(None, samples),
            "run": lambda: simulation.run(samples, case.timesteps),
        },
        repeat=repeat,
    )
    (expected, *_) = session.run(None, samples)
    return result_of(case, times, result, expected)


def result_of(case: Case, times: Times, run: RunResult, expected: Any) -> Result:
    """Return the numbers of a case from its times, its spikes and the ANN's outputs."""
    same = run.logits[-1].argmax(axis=-1) == np.asarray(expected).argmax(axis=-1)
    return Result(
        case,
        times.ratio("run", "ann", case.timesteps),
        times.spread("run"),
        times.spread("ann"),
        density(run, case.timesteps + run.latency),
        float(same.mean()),
    )


def chosen(names: Iterable[str], threads: list[int] | None) -> list[Case]:
    """Return the cases whose names begin with one of these, each with all these threads.

    Without names: all but those whose files are missing.

    Raises
    ------
    LookupError
        If a name fits no case.
    """
    names = list(names)
    unknown = [n for n in names if not any(c.name.startswith(n) for c in CASES)]
    if unknown:
        raise LookupError(f"no case {', '.join(unknown)}; see --list")
    there = [c for c in CASES if c.network != THIRD_PARTY or third_party_files()]
    found = [c for c in CASES if any(c.name.startswith(n) for n in names)] if names else there
    if threads is None:
        return found
    return [
        replace(case, threads=count, goal=case.goal if count == 2 else None)
        for case in found
        for count in threads
    ]


def main() -> int:
    """Measure the cases named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="NAME", help="cases to measure (default: all)")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--repeat", type=int, default=9, help="rounds of each case (default 9)")
    parser.add_argument("--threads", help="threads, comma-separated (default: the case's own)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    if options.list:
        print("\n".join(case.name for case in CASES))
        return 0
    threads = [int(t) for t in options.threads.split(",")] if options.threads else None
    facts = machine_facts()
    print(describe(facts))
    print(HEADER)
    results = []
    try:
        for case in chosen(options.cases, threads):
            results.append(measure(case, options.repeat))
            print(results[-1].line(), flush=True)
    except (LookupError, MissingFilesError) as error:
        parser.error(str(error))
    write_results(options.json, "speed", [result.to_json() for result in results], facts)
    return 0 if all(result.reached for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
