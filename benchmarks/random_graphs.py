"""Random graphs over all operators, against onnxruntime, as many as asked for.

    python benchmarks/random_graphs.py [--cases 10000] [--seed 0] [--steps 6] [--jobs 1]

Case k grows from seed ``seed + k``: every operator of the registry in turn ends a graph of up to
``--steps`` further random ones (tests/onnx_grammar.py). A failure is printed with its seed and the
run goes on; exits 1 when there was one. The figures are written to
``benchmarks/results/random_graphs.json`` and enter docs/robustness.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

RESULTS = HERE / "results" / "random_graphs.json"
Outcome = tuple[int, list[str], str]


def run_case(seed: int, steps: int) -> Outcome:
    """Compare one graph; return its seed, its operators and what went wrong."""
    from onnx_grammar import Seeded, compare, rules, sketch_model

    names = sorted(rules())
    operators: list[str] = []
    try:
        sketch = sketch_model(Seeded(seed), steps, last=names[seed % len(names)])
        operators = [node.op_type for node in sketch.nodes]
        compare(sketch, seed)
    except Exception as error:  # whatever it is, it is a finding
        return seed, operators, f"{type(error).__name__}: {error}"
    return seed, operators, ""


def main() -> int:
    """Run the cases and record the figures."""
    parser = argparse.ArgumentParser(description="Random graphs against onnxruntime.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    started = time.perf_counter()
    seeds = range(arguments.seed, arguments.seed + arguments.cases)
    used: Counter[str] = Counter()
    failures: list[str] = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        cases = pool.map(partial(run_case, steps=arguments.steps), seeds, chunksize=20)
        for done, (seed, operators, wrong) in enumerate(cases, start=1):
            used.update(operators)
            if wrong:
                failures.append(f"seed {seed}: {wrong}")
                print(failures[-1], flush=True)
            if done % 500 == 0:
                print(f"{done:,} of {arguments.cases:,}, {len(failures)} failed", flush=True)
    record = {
        "cases": arguments.cases,
        "seed": arguments.seed,
        "steps": arguments.steps,
        "nodes": sum(used.values()),
        "operators": len(used),
        "failures": failures,
        "seconds": round(time.perf_counter() - started),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.cases:,} graphs of {record['nodes']:,} nodes, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
