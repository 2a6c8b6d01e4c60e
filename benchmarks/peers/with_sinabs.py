"""sinabs: ``IAFSqueeze``, all steps of a layer in one tensor of batch and time.

Read: sinabs.readthedocs.io, "Quickstart", "Fundamentals of Sinabs" (squeeze layers: tensors of
batch times time, which ``Conv2d`` takes) and ``sinabs.layers.IAF``.
``SingleSpike`` in place of the default ``MultiSpike``: at most one spike a step, as in the network
that is compared. States are set as the note at ``StatefulLayer.reset_states`` says.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import sinabs.activation
import sinabs.layers
import torch
from neutral import STARTS_AT, Node, Task
from serve import Variant, serve
from torch import Tensor
from torch_network import Network, SpikeCounter


class Simulation:
    """A network whose tensors have batch and time in the leading axis."""

    def __init__(self, task: Task) -> None:
        self.steps, self.images = task.timesteps, torch.from_numpy(task.images)
        self.network = Network(task, lambda module: module, self._neurons).eval()

    def _neurons(self, node: Node) -> sinabs.layers.IAFSqueeze:
        neurons = sinabs.layers.IAFSqueeze(
            batch_size=len(self.images), spike_fn=sinabs.activation.SingleSpike
        )
        neurons.init_state_with_shape((len(self.images), *node.shape))
        return neurons

    @torch.inference_mode()
    def run(self) -> npt.NDArray[Any]:
        """Return the mean outputs."""
        for neurons in self.network.neurons:
            neurons.v_mem = torch.full_like(neurons.v_mem, STARTS_AT)
        frames = self.images.repeat_interleave(self.steps, dim=0)
        out: Tensor = self.network(frames)
        shaped = out.reshape(len(self.images), self.steps, -1)
        outputs: npt.NDArray[Any] = shaped.mean(dim=1).numpy()
        return outputs

    def count(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the mean outputs, and the spikes of each image."""

        def summed(out: Tensor) -> Tensor:
            return out.reshape(len(self.images), self.steps, -1).sum(dim=1)

        with SpikeCounter(self.network, summed) as counter:
            outputs = self.run()
        return outputs, counter.total.numpy()


def build(task: Task) -> dict[str, Variant]:
    """Return the squeezed form."""
    torch.set_num_threads(task.threads)
    simulation = Simulation(task)
    return {"squeezed": Variant(simulation.run, simulation.count)}


if __name__ == "__main__":
    serve(build, "sinabs", packages=("torch", "numpy"))
