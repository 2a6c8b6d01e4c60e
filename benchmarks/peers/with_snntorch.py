"""snnTorch: ``snn.Leaky`` with beta 1 and reset by subtraction, in a loop over the steps.

Read: snntorch.readthedocs.io, "Tutorial 6" (a convolutional network in a loop over ``num_steps``,
states kept in the neurons by ``init_hidden=True``) and ``snntorch.Leaky``. Its neurons
fire where ``mem > threshold`` and are reset in the next step, which for reset by subtraction is the
same law but for voltages of exactly one threshold.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import snntorch
import torch
from neutral import STARTS_AT, Task
from serve import Variant, serve
from torch import Tensor
from torch_network import Network, SpikeCounter


class Simulation:
    """A network in a loop over the steps."""

    def __init__(self, task: Task) -> None:
        self.steps, self.images = task.timesteps, torch.from_numpy(task.images)
        self.shapes = [(len(self.images), *node.shape) for node in task.layers]
        self.network = Network(
            task,
            lambda module: module,
            lambda _: snntorch.Leaky(
                beta=1.0, threshold=1.0, reset_mechanism="subtract", init_hidden=True
            ),
        ).eval()

    @torch.inference_mode()
    def run(self) -> npt.NDArray[Any]:
        """Return the mean outputs."""
        for neurons, shape in zip(self.network.neurons, self.shapes, strict=True):
            neurons.mem = torch.full(shape, STARTS_AT)
        total: Tensor | float = 0.0
        for _ in range(self.steps):
            total = total + self.network(self.images)
        outputs: npt.NDArray[Any] = (torch.as_tensor(total) / self.steps).numpy()
        return outputs

    def count(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the mean outputs, and the spikes of each image."""
        with SpikeCounter(self.network, lambda spikes: spikes) as counter:
            outputs = self.run()
        return outputs, counter.total.numpy()


def build(task: Task) -> dict[str, Variant]:
    """Return the loop."""
    torch.set_num_threads(task.threads)
    simulation = Simulation(task)
    return {"loop": Variant(simulation.run, simulation.count)}


if __name__ == "__main__":
    serve(build, "snntorch", packages=("torch", "numpy"))
