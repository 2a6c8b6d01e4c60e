"""Brian2: a ``NeuronGroup`` a layer, ``Synapses`` a connection, runtime Cython, one image.

Read: brian2.readthedocs.io, "Computational methods and efficiency" (runtime code generation; Cython
is what it picks by itself), "Synapses" (``connect(i=..., j=...)``), "Running a simulation" (the
schedule) and the preference ``core.default_float_dtype``. One image is what Brian2 holds: it has no
batches. By default a spike arrives one step later in the next layer; here every layer has slots of
its own in the schedule, so that it arrives in the same step, as in the network that is compared.
Each ``run`` prepares its code anew, which takes longer than the steps: the time is what Brian2
itself reports of the steps (``run(report=...)``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, defaultclock, ms, prefs, second
from neutral import STARTS_AT, Node, Task
from serve import Variant, serve

EQUATIONS = """
dv/dt = drive/ms : 1
drive : 1 (constant)
"""


class Simulation:
    """A Brian2 network of one image."""

    def __init__(self, task: Task, folder: Path) -> None:
        if len(task.images) != 1:
            sys.exit("Brian2 runs one image at a time: --batch 1")
        self.steps = task.timesteps
        self.groups: dict[str, NeuronGroup] = {}
        self.drives: dict[str, npt.NDArray[Any]] = {}
        self.output = task.nodes[-1].name
        parts: list[Any] = []
        for k, node in enumerate(task.nodes[1:]):
            group = _neurons(node, k)
            self.groups[node.name] = group
            self.drives[node.name] = np.broadcast_to(node.bias, node.shape).reshape(-1).copy()
            parts.append(group)
            for i, connection in enumerate(node.incoming):
                with np.load(folder / f"matrix-{node.name.replace('/', '|')}-{i}.npz") as stored:
                    matrix = (stored["source"], stored["target"], stored["weight"])
                if connection.source in self.groups:
                    parts.append(_synapses(self.groups[connection.source], group, matrix))
                else:
                    self.drives[node.name] += _product(matrix, task.images[0], group.N)
        layers = [self.groups[node.name] for node in task.layers]
        self.monitors = [SpikeMonitor(group, record=False) for group in layers]
        self.network = Network(parts, self.monitors)
        slots = [f"{what}{k}" for k in range(len(task.nodes) - 1) for what in _SLOTS]
        self.network.schedule = ["start", "groups", *slots, "end"]
        for monitor in self.monitors:
            monitor.when = "end"

    def _start(self, *, counting: bool) -> None:
        for name, group in self.groups.items():
            group.v = 0.0 if name == self.output else STARTS_AT
            group.drive = self.drives[name]
        for monitor in self.monitors:
            monitor.active = counting

    def run(self) -> npt.NDArray[Any]:
        """Return the mean output."""
        self.seconds()
        outputs: npt.NDArray[Any] = np.array(self.groups[self.output].v)[None] / self.steps
        return outputs

    def seconds(self, *, counting: bool = False) -> float:
        """Simulate and return the time of the steps."""
        self._start(counting=counting)
        elapsed: list[float] = []
        self.network.run(
            self.steps * ms,
            report=lambda passed, *_: elapsed.append(float(passed)),
            report_period=3600 * second,
            namespace={},
        )
        return elapsed[-1]

    def count(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the mean output, and the spikes of the image."""
        before = sum(monitor.num_spikes for monitor in self.monitors)
        self.seconds(counting=True)
        outputs: npt.NDArray[Any] = np.array(self.groups[self.output].v)[None] / self.steps
        spikes = sum(monitor.num_spikes for monitor in self.monitors) - before
        return outputs, np.array([spikes])


_SLOTS = ("thresholds_", "synapses_", "resets_")


def _neurons(node: Node, k: int) -> NeuronGroup:
    size = int(np.prod(node.shape))
    if node.kind == "output":
        return NeuronGroup(size, EQUATIONS, method="euler", name=f"layer{k}")
    group = NeuronGroup(
        size, EQUATIONS, threshold="v >= 1", reset="v -= 1", method="euler", name=f"layer{k}"
    )
    group.thresholder["spike"].when = f"thresholds_{k}"
    group.resetter["spike"].when = f"resets_{k}"
    return group


def _synapses(source: NeuronGroup, target: NeuronGroup, matrix: Any) -> Synapses:
    synapses = Synapses(source, target, "w : 1", on_pre="v_post += w")
    synapses.connect(i=matrix[0], j=matrix[1])
    synapses.w = matrix[2]
    synapses.pre.when = f"synapses_{source.name.removeprefix('layer')}"
    return synapses


def _product(matrix: Any, image: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    source, target, weight = matrix
    return np.bincount(target, weight * image.reshape(-1)[source].astype(np.float64), size)


def build(task: Task) -> dict[str, Variant]:
    """Return the runtime simulation."""
    prefs.codegen.target = "cython"
    prefs.core.default_float_dtype = np.float32
    defaultclock.dt = 1 * ms
    simulation = Simulation(task, Path(sys.argv[1]))
    return {"cython": Variant(simulation.run, simulation.count, simulation.seconds)}


if __name__ == "__main__":
    serve(build, "brian2", packages=("numpy", "Cython"))
