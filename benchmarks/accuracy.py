"""Accuracy of converted third-party networks against their ANN on the same rows.

    SNNCONVERT_TEST_DATA=/path/to/data python benchmarks/accuracy.py [NAME ...] [--list]

Prints one line for each case: the network, target, T, rows, the ANN's and the spiking network's
accuracy in percent with its 95 % interval, and the goal where there is one. Exits 1 when a goal
is missed. The folder holds ``models/*.onnx`` and ``data/*.npz``.
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

    `goal` is an accuracy; `within` a largest distance from the ANN in points.
    """

    name: str
    model: str
    data: str
    timesteps: int
    target: str = "cpu"
    neuron: str = "if"
    preprocessing: dict[str, Any] = field(default_factory=dict)
    calibration_rows: int = 500
    goal: float | None = None
    within: float | None = None


CASES = [
    Case("resnet20-T32", "resnet20_cifar10", "cifar10", 32, preprocessing=CIFAR, goal=88.7),
    Case("resnet20-T64", "resnet20_cifar10", "cifar10", 64, preprocessing=CIFAR, goal=91.0),
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
    Case("resnet8-T64", "resnet8_cifar10_mlperf_tiny", "cifar10", 64, within=2.0),
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


def rows(folder: Path, name: str, kind: str) -> tuple[Any, Any]:
    """Return raw rows and labels of a data set."""
    with np.load(folder / "data" / f"{name}_{kind}.npz") as stored:
        return stored["x"], stored["y"]


def measure(case: Case, folder: Path, limit: int | None) -> bool:
    """Print a case's line; return whether its goal is reached."""
    calibration, _ = rows(folder, case.data, "calibration")
    x, y = rows(folder, case.data, "test")
    snn = snnconvert.convert_model(
        folder / "models" / f"{case.model}.onnx",
        calibration[: case.calibration_rows],
        target=case.target,
        timesteps=case.timesteps,
        neuron=case.neuron,
        **case.preprocessing,
    )
    result = snn.evaluate(x, y, num_samples=limit)
    assert result.accuracy is not None and result.ann_accuracy is not None
    spiking, ann = 100 * result.accuracy, 100 * result.ann_accuracy
    low, high = (100 * bound for bound in result.final.ci95 or (0.0, 1.0))
    goal = case.goal if case.within is None else ann - case.within
    reached = goal is None or spiking >= goal
    wanted = "" if goal is None else f"goal {goal:.2f} {'reached' if reached else 'MISSED'}"
    label = f"{case.name:<18} {case.target:<6} T={case.timesteps:<4}"
    count = f"rows={result.measurement.samples:<5}"
    interval = f"[{low:.2f}, {high:.2f}]"
    print(f"{label} {count} ANN {ann:6.2f}  SNN {spiking:6.2f} {interval}  {wanted}", flush=True)
    return reached


def main() -> int:
    """Measure the cases named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="cases to measure (default: all)")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--num-samples", type=int, help="only the first test rows")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(case.name for case in CASES))
        return 0
    folder = os.environ.get("SNNCONVERT_TEST_DATA")
    if not folder:
        parser.error("SNNCONVERT_TEST_DATA must name the folder with models/ and data/")
    unknown = set(arguments.names) - {case.name for case in CASES}
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; see --list")
    chosen = [case for case in CASES if not arguments.names or case.name in arguments.names]
    reached = [measure(case, Path(folder), arguments.num_samples) for case in chosen]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
