"""Accuracy against timesteps beside SpikingJelly's converter: same network, rows and T, one run.

    pip install --no-deps spikingjelly==2.0.0 torchvision==0.28.0    # beside torch==2.13.0
    pip install tqdm loguru requests
    SNNCONVERT_TEST_DATA=/path/to/data python benchmarks/accuracy_spikingjelly.py \
        [--timesteps 4,8,16,32,64] [--num-samples N] [--calibration-rows 500] [--json FILE] \
        [--depth 44 [--networks DIR]]

The network is the classic ResNet-20 on CIFAR-10 out of its ONNX file; with `--depth` one of
``accuracy_depth.py``, on Fashion-MNIST. SpikingJelly reads torch modules and no `F.pad`, so the
weights go into an equal torch module whose channel-padding shortcuts are strided 1x1 convolutions;
its outputs are compared with onnxruntime's first. Its recipes are those of its own ImageNet example
(channel-wise 99.9 % with half a threshold, layer-wise 99.9 %, local threshold balancing), each with
and without its estimate of the delayed readout. **Its best result on the test rows counts**, for
each T: a choice that nobody could make without labels, in its favour. Ours is `convert_model` with
the defaults. Behind the accuracies is the share of rows in which a network answers as the ANN does,
of SpikingJelly's networks the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from accuracy_depth import EPOCHS, depth_of, resnet, trained
from onnx import numpy_helper
from spikingjelly.activation_based import ann2snn, functional
from torch import Tensor, nn

import snnconvert
from snnconvert.models.train_fashion import (
    DEFAULT_DATASET,
    SEED,
    DatasetError,
    chosen_rows,
    load_split,
)

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


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and its rows.

    Attributes
    ----------
    path : Path
        Its ONNX file.
    network : nn.Module
        The same in torch, of preprocessed rows.
    calibration, x, y : arrays
        Raw rows and labels.
    mean, std : tuple of float
    inside : bool
        Whether the file preprocesses the rows itself.
    """

    path: Path
    network: nn.Module
    calibration: Rows
    x: Rows
    y: Rows
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    inside: bool = False

    def preprocessed(self, x: Rows) -> Tensor:
        """Return raw uint8 rows as the torch module wants them."""
        mean, std = (np.asarray(v, np.float32).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        return torch.tensor((x.astype(np.float32) / 255 - mean) / std)

    @property
    def options(self) -> dict[str, Any]:
        """What `convert_model` is told of the preprocessing."""
        return {} if self.inside else {"scale": 1 / 255, "mean": self.mean, "std": self.std}

    def verify(self) -> None:
        """Stop unless the torch module computes what the file does."""
        session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        x = self.preprocessed(self.x[:8])
        given = self.x[:8].astype(np.float32) if self.inside else x.numpy()
        (expected,) = session.run(None, {session.get_inputs()[0].name: given})
        with torch.no_grad():
            difference = float(np.abs(self.network(x).numpy() - expected).max())
        if difference > 1e-3:
            sys.exit(f"the torch module differs from onnxruntime by {difference:.2g}")


def third_party(folder: Path, rows: int) -> Subject:
    """Return the ResNet-20 on CIFAR-10."""
    path = folder / "models" / MODEL
    with np.load(folder / "data" / "cifar10_calibration.npz") as stored:
        calibration = stored["x"][:rows]
    with np.load(folder / "data" / "cifar10_test.npz") as stored:
        x, y = stored["x"], stored["y"]
    return Subject(path, ResNet(path).eval(), calibration, x, y, MEAN, STD)


@torch.no_grad()
def with_weights(network: nn.Sequential, model: onnx.ModelProto) -> nn.Sequential:
    """Return a network with the weights of its file, node by node: equal ones share a name."""
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in ("Conv", "BatchNormalization", "Gemm")]
    kinds = nn.Conv2d | nn.BatchNorm2d | nn.Linear
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    for node, layer in zip(nodes, layers, strict=True):
        own: list[Tensor] = [layer.weight, *([] if layer.bias is None else [layer.bias])]
        if isinstance(layer, nn.BatchNorm2d):
            own += [t for t in (layer.running_mean, layer.running_var) if t is not None]
        for tensor, name in zip(own, node.input[1:], strict=True):
            tensor.copy_(torch.tensor(stored[name]))
    return network


def trained_here(depth: int, networks: Path, dataset: Path, rows: int) -> Subject:
    """Return a network of ``accuracy_depth.py`` on Fashion-MNIST."""
    training, test = (load_split(dataset, half) for half in ("train", "t10k"))
    path = trained(depth, EPOCHS, training, networks)
    network = with_weights(resnet(depth), onnx.load(path))
    calibration = chosen_rows(training, rows, SEED)
    scaled = network.eval()[1:]  # its first layer divides by 255
    return Subject(path, scaled, calibration.x, test.x, test.y, inside=True)


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


@dataclass(frozen=True)
class Shares:
    """How often a network is right, and how often it answers as the ANN does, in percent."""

    accuracy: float
    agreement: float

    @classmethod
    def of(cls, answers: Rows, labels: Rows, ann: Rows) -> Shares:
        """Compare answers, row by row."""
        return cls(100 * float((answers == labels).mean()), 100 * float((answers == ann).mean()))


def spikingjelly(subject: Subject, ann: Rows, timesteps: list[int]) -> dict[int, dict[str, Shares]]:
    """Return what every recipe and readout reach, by T: one run of the longest T serves all.

    The recipes do not depend on T.
    """
    batches = list(torch.split(subject.preprocessed(subject.calibration), CALIBRATION_BATCH))
    x = subject.preprocessed(subject.x)
    found: dict[int, dict[str, Shares]] = {t: {} for t in timesteps}
    for name, recipe in recipes(batches):
        network = ann2snn.Converter(recipe).convert(deepcopy(subject.network))
        summed = spiking_logits(network, x, max(timesteps))
        for t in timesteps:
            delay = int(ann2snn.estimate_delay_start(network, batches, "cpu", t))
            for start in {0, delay}:
                logits = summed[t - 1] - (summed[start - 1] if start else 0)
                answers = logits.argmax(dim=1).numpy()
                found[t][f"{name}, readout from {start}"] = Shares.of(answers, subject.y, ann)
        print(f"  SpikingJelly, {name}: done", file=sys.stderr, flush=True)
    return found


def ours(subject: Subject, timesteps: int) -> Shares:
    """Return what our network reaches."""
    snn = snnconvert.convert_model(
        subject.path, subject.calibration, timesteps=timesteps, **subject.options
    )
    last = snn.evaluate(subject.x, subject.y).final
    assert last.accuracy is not None and last.agreement is not None
    return Shares(100 * last.accuracy, 100 * last.agreement)


@torch.no_grad()
def answers_of_ann(subject: Subject) -> Rows:
    """Return the classes that the ANN says."""
    parts = torch.split(subject.preprocessed(subject.x), BATCH)
    return torch.cat([subject.network(part).argmax(dim=1) for part in parts]).numpy()


def table(subject: Subject, timesteps: list[int]) -> list[dict[str, Any]]:
    """Print a line for each T; return the numbers."""
    ann = answers_of_ann(subject)
    right = Shares.of(ann, subject.y, ann).accuracy
    theirs = spikingjelly(subject, ann, timesteps)
    print(
        f"{subject.path.stem}: {len(subject.y)} rows, {len(subject.calibration)} calibration rows, "
        f"ANN {right:.2f}"
    )
    results = []
    for t in timesteps:
        own = ours(subject, t)
        recipe, best = max(theirs[t].items(), key=lambda item: item[1].accuracy)
        agreement = max(shares.agreement for shares in theirs[t].values())
        print(
            f"T={t:<3} snnconvert {own.accuracy:.2f} (as the ANN {own.agreement:.2f})  "
            f"SpikingJelly {best.accuracy:.2f} (as the ANN {agreement:.2f}; {recipe})",
            flush=True,
        )
        found = {name: asdict(shares) for name, shares in theirs[t].items()}
        results.append({"timesteps": t, "ann": right, "ours": asdict(own), "spikingjelly": found})
    return results


def main() -> int:
    """Print the table; return 1 where SpikingJelly is ahead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timesteps", default="4,8,16,32,64", help="T, comma-separated")
    parser.add_argument("--num-samples", type=int, help="only the first test rows")
    parser.add_argument("--calibration-rows", type=int, default=500)
    parser.add_argument("--depth", type=depth_of, help="6 n + 2: a ResNet on Fashion-MNIST")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="where it is kept")
    parser.add_argument("--dataset", type=Path, default=DEFAULT_DATASET, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = os.environ.get("SNNCONVERT_TEST_DATA")
    with tempfile.TemporaryDirectory() as temporary:
        networks = options.networks or Path(temporary)
        networks.mkdir(parents=True, exist_ok=True)
        try:
            if options.depth is not None:
                rows = options.calibration_rows
                subject = trained_here(options.depth, networks, options.dataset, rows)
            elif folder:
                subject = third_party(Path(folder), options.calibration_rows)
            else:
                parser.error("set SNNCONVERT_TEST_DATA, or choose a --depth")
        except DatasetError as error:
            parser.error(str(error))
        few = slice(options.num_samples)
        subject = replace(subject, x=subject.x[few], y=subject.y[few])
        subject.verify()
        results = table(subject, [int(t) for t in options.timesteps.split(",")])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    ahead = (
        r["ours"]["accuracy"] > max(s["accuracy"] for s in r["spikingjelly"].values())
        for r in results
    )
    return int(not all(ahead))


if __name__ == "__main__":
    sys.exit(main())
