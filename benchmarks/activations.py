"""Accuracy of small networks with each kind of activation, against their ANN on the same rows.

    python benchmarks/activations.py [NAME ...] [--timesteps 16 64] [--error 0.01 ...]

Trains a small convolutional network on 400 rows of the Fashion-MNIST sample that the package ships,
seeded, for each activation of torch; converts it and prints a line for each T and error budget:
the ANN's accuracy on 600 other rows, the spiking network's, their agreement, the populations, and
the largest relative error of a fitted activation. Takes a minute for each activation.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import snnconvert
from snnconvert.models import shipped_model_path

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "hardtanh": nn.Hardtanh,
    "hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "mish": nn.Mish,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
}
TRAINED, TESTED = 400, 600


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the labelled rows, in [0, 1]."""
    beside = shipped_model_path("fashion_cnn")
    assert beside is not None
    with np.load(beside.with_name(f"{beside.stem}.eval.npz")) as stored:
        return torch.tensor(stored["x"]).float() / 255, torch.tensor(stored["y"]).long()


def trained(activation: Callable[[], nn.Module], x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """Return a network of two convolutions and two dense layers."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1), activation(), nn.Conv2d(8, 16, 3, 2, 1), activation()),
        *(nn.Flatten(), nn.Linear(16 * 49, 32), activation(), nn.Linear(32, 10)),
    )
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(30):
        for batch in torch.split(torch.randperm(len(x)), 50):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return network.eval()


def exported(network: nn.Module, x: torch.Tensor) -> bytes:
    """Return the ONNX file."""
    file = io.BytesIO()
    axes = {"x": {0: "N"}}
    torch.onnx.export(
        network,
        (x[:1],),
        file,  # type: ignore[arg-type]
        dynamo=False,
        input_names=["x"],
        dynamic_axes=axes,
    )
    return file.getvalue()


def measure(model: bytes, name: str, x: Any, y: Any, timesteps: int, error: float) -> None:
    """Print one line."""
    snn = snnconvert.convert_model(
        model, x[:TRAINED].numpy(), timesteps=timesteps, curve_error=error
    )
    result = snn.evaluate(x[TRAINED:].numpy(), y[TRAINED:].numpy())
    agreement = result.final.agreement
    assert result.accuracy is not None and result.ann_accuracy is not None and agreement is not None
    ramps = [len(fit.slopes) for fit in snn.curves.values()]
    print(
        f"{name:<11} T={timesteps:<3} error {error:<6} ANN {100 * result.ann_accuracy:6.2f}  "
        f"SNN {100 * result.accuracy:6.2f}  agreement {100 * agreement:6.2f}  "
        f"populations {len(snn.network.populations):>3}  ramps {ramps}",
        flush=True,
    )


def main() -> int:
    """Measure the activations named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*ACTIVATIONS, []], help="default: all")
    parser.add_argument("--timesteps", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--error", type=float, nargs="+", default=[0.01])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x, y = rows()
    x, y = x[: TRAINED + TESTED], y[: TRAINED + TESTED]
    for name in arguments.names or ACTIVATIONS:
        model = exported(trained(ACTIVATIONS[name], x[:TRAINED], y[:TRAINED]), x)
        for error in arguments.error:
            for timesteps in arguments.timesteps:
                measure(model, name, x, y, timesteps, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
