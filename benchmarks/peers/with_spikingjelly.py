"""SpikingJelly: single-step in a loop, as ``ann2snn``'s networks run, and multi-step.

Read: spikingjelly.readthedocs.io, "Basic Concept" (single-step and multi-step mode,
``functional.reset_net``), "Container" (``SeqToANNContainer``: all steps of a layer without state at
once, "faster") and "ANN2SNN"; the docstring of ``neuron.HalfThresholdIFNode``. The backend is
torch: cupy and triton need a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from neutral import Task
from serve import Variant, serve
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor
from torch_network import Network, SpikeCounter


class Simulation:
    """A network in one of SpikingJelly's two step modes."""

    def __init__(self, task: Task, step_mode: str) -> None:
        self.steps, self.images = task.timesteps, torch.from_numpy(task.images)
        self.multi = step_mode == "m"
        self.network = Network(
            task,
            layer.SeqToANNContainer if self.multi else lambda module: module,
            lambda _: neuron.HalfThresholdIFNode(step_mode=step_mode),
        ).eval()

    @torch.inference_mode()
    def run(self) -> npt.NDArray[Any]:
        """Return the mean outputs."""
        functional.reset_net(self.network)
        if self.multi:
            frames = self.images.unsqueeze(0).expand(self.steps, *self.images.shape)
            means: npt.NDArray[Any] = self.network(frames).mean(dim=0).numpy()
            return means
        total: Tensor | float = 0.0
        for _ in range(self.steps):
            total = total + self.network(self.images)
        outputs: npt.NDArray[Any] = (torch.as_tensor(total) / self.steps).numpy()
        return outputs

    def count(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the mean outputs, and the spikes of each image."""
        with SpikeCounter(self.network, lambda out: out.sum(0) if self.multi else out) as counter:
            outputs = self.run()
        return outputs, counter.total.numpy()


def build(task: Task) -> dict[str, Variant]:
    """Return both step modes."""
    torch.set_num_threads(task.threads)
    modes = {"single-step": Simulation(task, "s"), "multi-step": Simulation(task, "m")}
    return {name: Variant(simulation.run, simulation.count) for name, simulation in modes.items()}


if __name__ == "__main__":
    serve(build, "spikingjelly", packages=("torch", "numpy"))
