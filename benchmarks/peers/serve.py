"""The process of one peer: build and warm up, then simulate whenever the benchmark asks.

    python with_NAME.py FOLDER

FOLDER holds the task (``neutral.py``). The process writes one line of JSON when it is ready, with
versions and the names of its variants: the ways of running that the peer's documentation offers. It
then reads names of variants from its input, and answers each with a line with the seconds of one
simulation of all images and steps, initial state included. Spikes are counted in the warm-up alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
from neutral import Task, read_task


@dataclass(frozen=True, eq=False)
class Variant:
    """One way of running.

    Attributes
    ----------
    run : callable
        Simulates everything and returns the outputs, (n, classes): means over the steps.
    count : callable
        Does the same, slower, and returns the outputs and the spikes of each image, (n,).
    seconds : callable, optional
        Simulates everything and returns its own time, where only a part of it is the simulation.
    """

    run: Callable[[], npt.NDArray[Any]]
    count: Callable[[], tuple[npt.NDArray[Any], npt.NDArray[Any]]]
    seconds: Callable[[], float] | None = None

    def timed(self) -> float:
        """Simulate everything and return the seconds."""
        if self.seconds is not None:
            return self.seconds()
        began = time.perf_counter()
        self.run()
        return time.perf_counter() - began


Build = Callable[[Task], Mapping[str, Variant]]


def serve(build: Build, package: str, *, packages: tuple[str, ...] = ("numpy",)) -> None:
    """Run the process of a peer.

    Parameters
    ----------
    build : callable
        Returns the variants of a task by name.
    package : str
        The peer's distribution.
    packages : tuple of str
        Others whose versions matter.
    """
    folder = Path(sys.argv[1])
    answers = _answers()
    began = time.perf_counter()
    variants = build(read_task(folder))
    for name, variant in variants.items():
        outputs, spikes = variant.count()
        np.savez(folder / f"{name}.npz", spikes=spikes, outputs=outputs)
    ready = {
        "variants": list(variants),
        "versions": {name: version(name) for name in (package, *packages)},
        "preparation_seconds": round(time.perf_counter() - began, 1),
    }
    _answer(answers, ready)
    for line in sys.stdin:
        _answer(answers, {"seconds": variants[line.strip()].timed()})


def _answers() -> TextIO:
    """Return standard output, and send what libraries print there to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()
