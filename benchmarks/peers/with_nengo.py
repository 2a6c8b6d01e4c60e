"""Nengo: the reference simulator ``nengo.Simulator`` with its defaults, one image after the other.

Read: the docstrings of ``nengo.Simulator`` and its methods ``run_steps`` and ``reset``; operator
merging (``optimize=True``) is on by default. The ``nengo.Network`` is the one that the target
``nengo`` of snnconvert emits, with a single probe, of the output. The interpreter is one that has
snnconvert with its extra ``nengo``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nengo
import numpy as np
import numpy.typing as npt
from neutral import Task
from serve import Variant, serve

import snnconvert
from snnconvert.backends.nengo.emitted import NengoEmitted


class Simulation:
    """A built simulator of the emitted network."""

    def __init__(self, task: Task, model: snnconvert.SpikingModel) -> None:
        self.task = task
        self.model = model
        emitted = snnconvert.get_backend("nengo").emit(model, probes=False)
        assert isinstance(emitted, NengoEmitted)
        self.emitted = emitted
        with self.emitted.network:
            self.probe = nengo.Probe(self.emitted.output)
        self.simulator = nengo.Simulator(self.emitted.network, progress_bar=False)

    def run(self) -> npt.NDArray[Any]:
        """Return the outputs after the last step."""
        found = []
        for image in self.task.images:
            self.emitted.present(image)
            self.simulator.reset()
            self.simulator.run_steps(self.task.timesteps)
            found.append(self.simulator.data[self.probe][-1])
        return np.array(found)

    def count(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the outputs, and the spikes of each image by a network with probes everywhere."""
        probed = snnconvert.get_backend("nengo").emit(self.model)
        counts = probed.run(self.task.images, self.task.timesteps).spike_counts.values()
        spikes = [c.reshape(len(c), -1).sum(axis=1) for c in counts]
        return self.run(), np.asarray(np.sum(spikes, axis=0))


def build(task: Task) -> dict[str, Variant]:
    """Return the reference simulator."""
    model = snnconvert.load(Path(sys.argv[1]) / "network.snn")
    simulation = Simulation(task, model)
    return {"reference": Variant(simulation.run, simulation.count)}


if __name__ == "__main__":
    serve(build, "nengo")
