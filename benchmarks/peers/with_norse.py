"""Norse: integrate-and-fire cells, in a loop over the steps and lifted over time.

Read: norse.github.io, "Working with Norse" (cells without time, layers with time, states handed
on), and the docstrings of ``IAFCell``, ``SNNCell``, ``SNN`` and ``Lift``. ``IAFCell`` resets to a
value; the step here is its step with Norse's own ``reset_subtract``, in the ``SNNCell`` (one step)
and ``SNN`` (all steps) that Norse's neurons are made of. Like all of them it fires where
``v > threshold``.
"""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import numpy.typing as npt
import torch
from neutral import STARTS_AT, Task
from norse.torch.functional.iaf import IAFFeedForwardState, IAFParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.functional.threshold import threshold
from norse.torch.module.snn import SNN, SNNCell
from serve import Variant, serve
from torch import Tensor, nn
from torch_network import Network, SpikeCounter


def step(
    current: Tensor, state: IAFFeedForwardState, p: IAFParameters, dt: float = 0.001
) -> tuple[Tensor, IAFFeedForwardState]:
    """Do one step of an integrate-and-fire neuron with reset by subtraction."""
    v = state.v + current
    z = threshold(v - p.v_th, p.method, p.alpha)
    return z, IAFFeedForwardState(v=reset_subtract(z, v, p.v_reset, p.v_th))


class Neurons(nn.Module):
    """Norse's cell, or its lifted form, that keeps its state between steps."""

    def __init__(self, *, lifted: bool) -> None:
        super().__init__()
        self.cell = (SNN if lifted else SNNCell)(step, self._start, IAFParameters())
        self.lifted = lifted
        self.state: IAFFeedForwardState | None = None

    def _start(self, current: Tensor) -> IAFFeedForwardState:
        shape = current.shape[1:] if self.lifted else current.shape
        return IAFFeedForwardState(v=torch.full(shape, STARTS_AT))

    def forward(self, current: Tensor) -> Tensor:
        spikes: Tensor
        spikes, self.state = self.cell(current, self.state)
        return spikes


class Simulation:
    """A network of cells in a loop, or of lifted layers."""

    def __init__(self, task: Task, *, lifted: bool) -> None:
        self.steps, self.images, self.lifted = (
            task.timesteps,
            torch.from_numpy(task.images),
            lifted,
        )
        layer = norse.Lift if lifted else lambda module: module
        self.network = Network(task, layer, lambda _: Neurons(lifted=lifted)).eval()

    @torch.inference_mode()
    def run(self) -> npt.NDArray[Any]:
        """Return the mean outputs."""
        for neurons in self.network.neurons:
            neurons.state = None
        if self.lifted:
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
        with SpikeCounter(self.network, lambda out: out.sum(0) if self.lifted else out) as counter:
            outputs = self.run()
        return outputs, counter.total.numpy()


def build(task: Task) -> dict[str, Variant]:
    """Return both forms."""
    torch.set_num_threads(task.threads)
    forms = {"cells": Simulation(task, lifted=False), "lifted": Simulation(task, lifted=True)}
    return {name: Variant(simulation.run, simulation.count) for name, simulation in forms.items()}


if __name__ == "__main__":
    serve(build, "norse", packages=("torch", "numpy"))
