"""Accuracy against timesteps beside SpikingJelly's converter: same network, rows and T, one run.

    pip install --no-deps spikingjelly==2.0.0 torchvision==0.28.0    # beside torch==2.13.0
    pip install tqdm loguru requests
    SNNCONVERT_TEST_DATA=/path/to/data python benchmarks/accuracy_spikingjelly.py \
        [--timesteps 4,8,16,32,64] [--num-samples N] [--calibration-rows 500] [--json FILE]

The network is the classic ResNet-20 on CIFAR-10 out of its ONNX file. SpikingJelly reads torch
modules and no `F.pad`, so the weights go into an equal torch module whose channel-padding
shortcuts are strided 1x1 convolutions; its outputs are compared with onnxruntime's first. Its
recipes are those of its own ImageNet example (channel-wise 99.9 % with half a threshold, layer-wise
99.9 %, local threshold balancing), each with and without its estimate of the delayed readout.
**Its best result on the test rows counts**, for each T: a choice that nobody could make without
labels, in its favour. Ours is `convert_model` with the defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from spikingjelly.activation_based import ann2snn, functional
from torch import Tensor, nn

import snnconvert

MODEL = "resnet20_cifar10.onnx"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 100
CALIBRATION_BATCH = 50
BALANCING_PASSES = 40
"""Passes over the calibration rows: as many updates as SpikingJelly's example makes on ImageNet."""

Rows: TypeAlias = npt.NDArray[Any]


class Block(nn.Module):
    """Two convolutions and a shortcut; where the shape changes it pads channels with zeros."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        narrow, wide = first.in_channels, second.out_channels
        self.shortcut = nn.Identity() if narrow == wide else padding_shortcut(narrow, wide)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(second(relu(first(x))) + shortcut(x))``."""
        out: Tensor = self.relu2(self.second(self.relu1(self.first(x))) + self.shortcut(x))
        return out


def padding_shortcut(narrow: int, wide: int) -> nn.Conv2d:
    """Return every second pixel with channels of zeros on both sides, as a convolution."""
    convolution = nn.Conv2d(narrow, wide, 1, stride=2, bias=False)
    weight = torch.zeros(wide, narrow, 1, 1)
    for channel in range(narrow):
        weight[(wide - narrow) // 2 + channel, channel] = 1.0
    convolution.weight.data = weight
    return convolution


class ResNet(nn.Module):
    """The classic CIFAR ResNet with the weights of its ONNX file, batch norms folded."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        model = onnx.load(path)
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        convolutions = [
            convolution(node, stored) for node in model.graph.node if node.op_type == "Conv"
        ]
        self.stem, self.relu = convolutions[0], nn.ReLU()
        pairs = zip(convolutions[1::2], convolutions[2::2], strict=True)
        self.blocks = nn.Sequential(*(Block(first, second) for first, second in pairs))
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        (gemm,) = [node for node in model.graph.node if node.op_type == "Gemm"]
        weight, bias = (torch.tensor(stored[name]) for name in gemm.input[1:3])
        self.linear = nn.Linear(weight.shape[1], weight.shape[0])
        self.linear.weight.data, self.linear.bias.data = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.linear(self.flatten(self.pool(self.blocks(self.relu(self.stem(x))))))
        return logits


def convolution(node: onnx.NodeProto, stored: dict[str, Rows]) -> nn.Conv2d:
    """Return a 3x3 convolution with the weights of an ONNX node."""
    weight, bias = (torch.tensor(stored[name]) for name in node.input[1:3])
    (stride,) = {s for a in node.attribute if a.name == "strides" for s in a.ints}
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=stride, padding=1)
    layer.weight.data, layer.bias = weight, nn.Parameter(bias)
    return layer


def preprocessed(x: Rows) -> Tensor:
    """Return raw uint8 rows as the network wants them."""
    mean, std = (np.asarray(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    return torch.tensor((x.astype(np.float32) / 255 - mean) / std)


def verify(network: nn.Module, path: Path, x: Tensor) -> None:
    """Stop unless the torch module computes what the file does."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        difference = float(np.abs(network(x).numpy() - expected).max())
    if difference > 1e-3:
        sys.exit(f"the torch module differs from onnxruntime by {difference:.2g}")


def recipes(batches: list[Tensor]) -> Iterator[tuple[str, Any]]:
    """Yield SpikingJelly's recipes by name."""
    robust = {"channel_wise": True, "half_threshold": True}
    yield "channel-wise 99.9%", ann2snn.RateCodingRecipe(batches, mode="99.9%", **robust)
    yield "layer-wise 99.9%", ann2snn.RateCodingRecipe(batches, mode="99.9%")
    yield "balancing", ann2snn.LocalThresholdBalancingRecipe(batches * BALANCING_PASSES)


@torch.no_grad()
def spiking_logits(network: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    """Return the summed outputs up to each step, (T, N, classes)."""
    found = []
    for batch in torch.split(x, BATCH):
        functional.reset_net(network)
        steps = torch.stack([network(batch) for _ in range(timesteps)])
        found.append(steps.cumsum(dim=0))
    return torch.cat(found, dim=1)


def best_of_spikingjelly(
    path: Path, calibration: list[Tensor], x: Tensor, y: Rows, timesteps: list[int]
) -> dict[int, dict[str, float]]:
    """Return the accuracy of every recipe and readout, by T: one run of the longest T serves all.

    The recipes do not depend on T.
    """
    found: dict[int, dict[str, float]] = {t: {} for t in timesteps}
    for name, recipe in recipes(calibration):
        network = ann2snn.Converter(recipe).convert(ResNet(path).eval())
        summed = spiking_logits(network, x, max(timesteps))
        for t in timesteps:
            delay = int(ann2snn.estimate_delay_start(network, calibration, "cpu", t))
            for start in {0, delay}:
                logits = summed[t - 1] - (summed[start - 1] if start else 0)
                share = float((logits.argmax(dim=1).numpy() == y).mean())
                found[t][f"{name}, readout from {start}"] = 100 * share
        print(f"  SpikingJelly, {name}: done", file=sys.stderr, flush=True)
    return found


def ours(path: Path, calibration: Rows, x: Rows, y: Rows, timesteps: int) -> tuple[float, float]:
    """Return the accuracy of our network and of the ANN, in percent."""
    snn = snnconvert.convert_model(
        path, calibration, timesteps=timesteps, scale=1 / 255, mean=MEAN, std=STD
    )
    result = snn.evaluate(x, y)
    assert result.accuracy is not None and result.ann_accuracy is not None
    return 100 * result.accuracy, 100 * result.ann_accuracy


def main() -> int:
    """Print the table; return 1 where SpikingJelly is ahead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timesteps", default="4,8,16,32,64", help="T, comma-separated")
    parser.add_argument("--num-samples", type=int, help="only the first test rows")
    parser.add_argument("--calibration-rows", type=int, default=500)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    folder = Path(
        os.environ.get("SNNCONVERT_TEST_DATA") or parser.error("set SNNCONVERT_TEST_DATA")
    )
    timesteps = [int(t) for t in options.timesteps.split(",")]
    path = folder / "models" / MODEL
    with np.load(folder / "data" / "cifar10_calibration.npz") as stored:
        calibration = stored["x"][: options.calibration_rows]
    with np.load(folder / "data" / "cifar10_test.npz") as stored:
        x, y = stored["x"][: options.num_samples], stored["y"][: options.num_samples]
    warnings.simplefilter("ignore")
    verify(ResNet(path).eval(), path, preprocessed(x[:8]))
    batches = list(torch.split(preprocessed(calibration), CALIBRATION_BATCH))
    theirs = best_of_spikingjelly(path, batches, preprocessed(x), y, timesteps)
    results: list[dict[str, Any]] = []
    print(f"ResNet-20, CIFAR-10, {len(y)} rows, {len(calibration)} calibration rows")
    for t in timesteps:
        spiking, ann = ours(path, calibration, x, y, t)
        recipe, accuracy = max(theirs[t].items(), key=lambda item: item[1])
        results.append({"timesteps": t, "ann": ann, "ours": spiking, "spikingjelly": theirs[t]})
        print(
            f"T={t:<3} ANN {ann:.2f}  snnconvert {spiking:.2f}  "
            f"SpikingJelly {accuracy:.2f} ({recipe})",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    return int(any(r["ours"] <= max(r["spikingjelly"].values()) for r in results))


if __name__ == "__main__":
    sys.exit(main())
