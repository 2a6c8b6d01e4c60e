"""Accuracy of converted networks, shipped and third-party, against their ANN on the same rows.

    SNNCONVERT_TEST_DATA=/path/to/data python benchmarks/accuracy.py [NAME ...] [--seeds N]

Prints one line for each case: the network, target, window T and latency, rows, the ANN's and the
spiking network's accuracy in percent with its 95 % interval, and the goal where there is one. With
``--seeds`` each case is calibrated on N different subsets (four fifths of the calibration rows),
and a line has their mean and standard deviation. Exits 1 when a goal is missed. The folder holds
``models/*.onnx`` and ``data/*.npz``; shipped networks do without it. NAME may be the beginning of
several names.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import snnconvert

CIFAR = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
UNIT = {"scale": 1 / 255}


@dataclass(frozen=True)
class Case:
    """One network, target and T; accuracies in percent.

    A shipped network has no `data`: its rows lie beside it. `goal` is an accuracy; `within` a
    largest distance from the ANN in points.
    """

    name: str
    model: str
    data: str | None
    timesteps: int
    target: str = "cpu"
    neuron: str = "if"
    schedule: str = "none"
    corrections: str = "auto"
    weight_calibration: bool = False
    preprocessing: dict[str, Any] = field(default_factory=dict)
    calibration_rows: int = 500
    goal: float | None = None
    within: float | None = None


RESNET20_GOALS: dict[str, dict[int, float | None]] = {
    "none": {4: None, 8: 82.0, 16: 89.0, 32: 91.7, 64: 92.3},
    "full": {4: 85.0, 8: 90.8, 16: 92.0, 32: 92.5},
    "auto": {32: 91.5, 64: 92.2},
}

CASES = [
    *(
        Case(
            f"resnet20-{schedule}-T{t}",
            "resnet20_cifar10",
            "cifar10",
            t,
            schedule=schedule,
            preprocessing=CIFAR,
            goal=goal,
        )
        for schedule, goals in RESNET20_GOALS.items()
        for t, goal in goals.items()
    ),
    *(
        Case(
            f"signed-T{t}",
            "resnet20_cifar10",
            "cifar10",
            t,
            neuron="signed",
            preprocessing=CIFAR,
            goal=goal,
        )
        for t, goal in [(4, 80.0), (8, 90.0), (16, 92.0)]
    ),
    *(
        Case(
            f"graded:{k}-T{t}",
            "resnet20_cifar10",
            "cifar10",
            t,
            neuron=f"graded:{k}",
            preprocessing=CIFAR,
        )
        for k, t in [(4, 4), (15, 2)]
    ),
    *(
        Case(f"resnet8-T{t}", "resnet8_cifar10_mlperf_tiny", "cifar10", t, within=within)
        for t, within in [(16, 2.0), (32, 1.0), (64, 1.0)]
    ),
    Case(
        "resnet8-tuned-T16",
        "resnet8_cifar10_mlperf_tiny",
        "cifar10",
        16,
        weight_calibration=True,
        within=2.0,
    ),
    *(
        Case(f"{name}-T32", f"fashion_{name}", None, 32, within=2.0)
        for name in ("mobilenet", "vgg")
    ),
    Case("maxpool-T8", "mnist_maxpool_opset8", "mnist", 8, within=1.0),
    Case("avgpool-T8", "mnist_avgpool_biasfree", "mnist", 8, preprocessing=UNIT, within=1.0),
    Case("maxpool-T64", "mnist_maxpool_opset8", "mnist", 64, goal=98.0),
    Case("avgpool-T32", "mnist_avgpool_biasfree", "mnist", 32, preprocessing=UNIT, goal=97.3),
    Case(
        "avgpool-loihi-T64",
        "mnist_avgpool_biasfree",
        "mnist",
        64,
        target="loihi",
        preprocessing=UNIT,
        within=1.5,
    ),
]


def model_path(case: Case, folder: Path) -> Path:
    """Return the ONNX file of a case."""
    if case.data is not None:
        return folder / "models" / f"{case.model}.onnx"
    path = snnconvert.shipped_model_path(case.model)
    assert path is not None
    return path


def rows(case: Case, folder: Path, kind: str) -> tuple[Any, Any]:
    """Return raw rows of a case, and labels where there are any; `kind` is calibration or test."""
    if case.data is not None:
        path = folder / "data" / f"{case.data}_{kind}.npz"
    else:
        suffix = {"calibration": ".calibration.npz", "test": ".eval.npz"}[kind]
        path = model_path(case, folder).with_suffix(suffix)
    with np.load(path) as stored:
        return stored["x"], stored.get("y")


@dataclass(frozen=True)
class Result:
    """One conversion's accuracies in percent."""

    ann: float
    spiking: float
    interval: tuple[float, float]
    rows: int
    timesteps: int
    latency: int


def convert_and_run(case: Case, folder: Path, limit: int | None, seed: int | None) -> Result:
    """Convert on all calibration rows, or on a seed's subset, and run the test rows."""
    calibration, _ = rows(case, folder, "calibration")
    calibration = calibration[: case.calibration_rows]
    if seed is not None:
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(calibration))[: len(calibration) * 4 // 5]
        calibration = calibration[chosen]
    x, y = rows(case, folder, "test")
    snn = snnconvert.convert_model(
        model_path(case, folder),
        calibration,
        target=case.target,
        timesteps=case.timesteps,
        neuron=case.neuron,
        schedule=case.schedule,
        corrections=case.corrections,
        weight_calibration=case.weight_calibration,
        **case.preprocessing,
    )
    result = snn.evaluate(x, y, num_samples=limit)
    assert result.accuracy is not None and result.ann_accuracy is not None
    low, high = (100 * bound for bound in result.final.ci95 or (0.0, 1.0))
    return Result(
        100 * result.ann_accuracy,
        100 * result.accuracy,
        (low, high),
        result.measurement.samples,
        snn.timesteps,
        result.final.latency,
    )


def measure(case: Case, folder: Path, limit: int | None, seeds: int | None) -> bool:
    """Print a case's line; return whether its goal is reached."""
    runs = range(seeds) if seeds else [None]
    results = [convert_and_run(case, folder, limit, seed) for seed in runs]
    first = results[0]
    spiking = float(np.mean([result.spiking for result in results]))
    goal = case.goal if case.within is None else first.ann - case.within
    # Both are shares of rows: equal ones may differ in the last bit of their difference.
    reached = goal is None or round(spiking - goal, 9) >= 0
    wanted = "" if goal is None else f"goal {goal:.2f} {'reached' if reached else 'MISSED'}"
    label = f"{case.name:<18} {case.target:<6} T={first.timesteps:<4} latency={first.latency:<5}"
    interval = "[{:.2f}, {:.2f}]".format(*first.interval)
    if seeds:
        interval = f"± {np.std([result.spiking for result in results]):.2f} ({seeds} seeds)"
    measured = f"rows={first.rows:<5} ANN {first.ann:6.2f}  SNN {spiking:6.2f} {interval}"
    print(f"{label} {measured}  {wanted}", flush=True)
    return reached


def main() -> int:
    """Measure the cases named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="cases to measure (default: all)")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--num-samples", type=int, help="only the first test rows")
    parser.add_argument("--seeds", type=int, help="calibrate on so many subsets")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(case.name for case in CASES))
        return 0
    unknown = [n for n in arguments.names if not any(c.name.startswith(n) for c in CASES)]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; see --list")
    chosen = [
        case
        for case in CASES
        if not arguments.names or any(case.name.startswith(n) for n in arguments.names)
    ]
    folder = os.environ.get("SNNCONVERT_TEST_DATA", "")
    if not folder and any(case.data is not None for case in chosen):
        parser.error("SNNCONVERT_TEST_DATA must name the folder with models/ and data/")
    reached = [
        measure(case, Path(folder), arguments.num_samples, arguments.seeds) for case in chosen
    ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
