"""Train the Fashion-MNIST networks that ship with the package and export them as ONNX.

Run as ``python models/train_fashion.py [NAME ...]``; without a name it makes every network. Beside
this file it writes ``NAME.onnx``, ``NAME.calibration.npz`` and ``NAME.eval.npz``, and it brings the
results table of README.md up to date.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import logging
import struct
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

DEFAULT_DATASET = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
SEED = 20
THREADS = 2
OPSET = 17
SIDE = 28
CLASSES = 10
CALIBRATION_ROWS = 500
EVAL_ROWS = 1000
BLOCK_BEGIN = "<!-- results: written by train_fashion.py -->"
BLOCK_END = "<!-- end of results -->"
COLUMNS = (
    "model",
    "test accuracy (10,000 rows)",
    "eval accuracy (1,000 rows)",
    "MACs",
    "parameters",
    "training",
    "seed",
    "made with",
    "SHA-256 of the .onnx file",
)

log = logging.getLogger("train_fashion")

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class DatasetError(Exception):
    """The data set is absent or is not what its file names promise."""


@dataclass(frozen=True)
class Split:
    """Images and labels of one half of the data set.

    Parameters
    ----------
    x : (n, 1, 28, 28) uint8 array
        Raw pixels.
    y : (n,) int64 array
        Classes, 0 to 9.
    """

    x: Images
    y: Labels


@dataclass(frozen=True)
class Recipe:
    """How one network is trained: SGD with Nesterov momentum under a one-cycle schedule.

    Parameters
    ----------
    build : callable
        Returns the untrained network.
    epochs, batch_size : int
        Length of the training and rows in a step.
    learning_rate : float
        The peak of the schedule.
    weight_decay : float
        L2 penalty on the weights of convolutions and of the linear layer only.
    label_smoothing : float
        Probability mass that is spread over all classes.
    shift : int
        Largest random shift, in pixels, along each axis.
    channels_last : bool
        Keep values in memory pixel by pixel: several times faster for depthwise convolutions.
    """

    build: Callable[[], nn.Module]
    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    shift: int = 1
    channels_last: bool = False


class PixelScale(nn.Module):
    """Multiply raw pixels by 1/255, with the constant as an initialiser of the ONNX file."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(1.0 / 255.0))

    def forward(self, image: Tensor) -> Tensor:
        """Return ``image / 255``."""
        return image * self.get_buffer("scale")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, added before the last ReLU (He et al. 2015)."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(channels_in, channels, stride=stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut.add_module("conv", conv(channels_in, channels, size=1, stride=stride))
            self.shortcut.add_module("norm", nn.BatchNorm2d(channels))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(branch(x) + shortcut(x))``."""
        inner = self.relu1(self.norm1(self.conv1(x)))
        total: Tensor = self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return total


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear projection (Sandler et al. 2018)."""

    def __init__(self, channels_in: int, channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * channels_in
        self.adds = stride == 1 and channels_in == channels
        self.expand = conv_norm(channels_in, wide, size=1)
        self.relu1 = nn.ReLU6()
        self.depthwise = conv_norm(wide, wide, stride=stride, groups=wide)
        self.relu2 = nn.ReLU6()
        self.project = conv_norm(wide, channels, size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the projection, which no activation follows, with `x` added where it fits."""
        wide = self.relu1(self.expand(x))
        narrow: Tensor = self.project(self.relu2(self.depthwise(wide)))
        return narrow + x if self.adds else narrow


class Fork(nn.Module):
    """A 3x3 and a 1x1 convolution side by side, each with its ReLU, concatenated."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(conv_norm(channels_in, channels), nn.ReLU())
        self.narrow = nn.Sequential(conv_norm(channels_in, channels, size=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels of both branches."""
        return torch.cat([self.wide(x), self.narrow(x)], dim=1)


def conv(
    channels_in: int, channels: int, *, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return a convolution that keeps the size at stride 1; the batch norm after it is its bias."""
    padding = (size - 1) // 2
    return nn.Conv2d(
        channels_in, channels, size, stride=stride, padding=padding, groups=groups, bias=False
    )


def conv_norm(
    channels_in: int, channels: int, *, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution with the batch norm behind it."""
    convolution = conv(channels_in, channels, size=size, stride=stride, groups=groups)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def fashion_cnn() -> nn.Module:
    """Return three convolutions with average pooling, and one linear layer."""
    return nn.Sequential(
        OrderedDict(
            scale=PixelScale(),
            conv1=conv(1, 12),
            norm1=nn.BatchNorm2d(12),
            relu1=nn.ReLU(),
            pool1=nn.AvgPool2d(2),
            conv2=conv(12, 32),
            norm2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            conv3=conv(32, 64),
            norm3=nn.BatchNorm2d(64),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(64 * (SIDE // 4) ** 2, CLASSES),
        )
    )


def fashion_resnet() -> nn.Module:
    """Return three residual blocks between a strided convolution and global average pooling."""
    return nn.Sequential(
        OrderedDict(
            scale=PixelScale(),
            conv=conv(1, 16, stride=2),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            block1=ResidualBlock(16, 16),
            block2=ResidualBlock(16, 32, stride=2),
            block3=ResidualBlock(32, 64, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(64, CLASSES),
        )
    )


def fashion_mobilenet() -> nn.Module:
    """Return inverted residuals with ReLU6 between two convolutions, averaged at the end."""
    return nn.Sequential(
        OrderedDict(
            scale=PixelScale(),
            stem=conv_norm(1, 16, stride=2),
            relu=nn.ReLU6(),
            block1=InvertedResidual(16, 16, expansion=3, stride=1),
            block2=InvertedResidual(16, 24, expansion=4, stride=2),
            block3=InvertedResidual(24, 24, expansion=4, stride=1),
            block4=InvertedResidual(24, 40, expansion=4, stride=1),
            head=conv_norm(40, 128, size=1),
            head_relu=nn.ReLU6(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(128, CLASSES),
        )
    )


def fashion_vgg() -> nn.Module:
    """Return convolutions with max-pooling, two branches concatenated, and one linear layer."""
    return nn.Sequential(
        OrderedDict(
            scale=PixelScale(),
            conv1=conv_norm(1, 16),
            relu1=nn.ReLU(),
            conv2=conv_norm(16, 16),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            fork=Fork(16, 16),
            pool3=nn.MaxPool2d(2),
            conv4=conv_norm(32, 48),
            relu4=nn.ReLU(),
            pool4=nn.MaxPool2d(2, ceil_mode=True),
            conv5=conv_norm(48, 64),
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(64 * 4 * 4, CLASSES),
        )
    )


RECIPES: dict[str, Recipe] = {
    "fashion_cnn": Recipe(fashion_cnn, epochs=12),
    "fashion_mobilenet": Recipe(fashion_mobilenet, epochs=10, channels_last=True),
    "fashion_resnet": Recipe(fashion_resnet, epochs=12),
    "fashion_vgg": Recipe(fashion_vgg, epochs=12),
}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the unsigned bytes of one gzip-compressed idx file.

    Raises
    ------
    DatasetError
        If the file is absent, or does not hold as many bytes as its header says.
    """
    if not path.is_file():
        raise DatasetError(
            f"no Fashion-MNIST file {path}\n"
            f"  hint: apt-get install {DEBIAN_PACKAGE}, or name the folder with --dataset DIR"
        )
    with gzip.open(path) as stream:
        content = stream.read()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DatasetError(f"{path} is not an idx file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != np.prod(shape):
        raise DatasetError(
            f"{path} holds {len(content) - start:,} bytes, its header says {np.prod(shape):,}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def load_split(folder: Path, prefix: str) -> Split:
    """Return the ``train`` or the ``t10k`` half of the data set in `folder`."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return Split(images[:, np.newaxis], labels.astype(np.int64))


def shifted_and_flipped(images: Tensor, shift: int, rng: torch.Generator) -> Tensor:
    """Return every image moved by up to `shift` pixels along each axis, half of them mirrored."""
    count, _, height, width = images.shape
    top, left = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=rng)
    mirrored = torch.randint(0, 2, (count, 1), generator=rng).bool()
    rows = top + torch.arange(height)
    columns = left + torch.where(mirrored, torch.arange(width).flip(0), torch.arange(width))
    padded = nn.functional.pad(images[:, 0], (shift,) * 4)
    image = torch.arange(count)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]][:, None]


def decayed_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return optimiser groups that spare biases and batch-norm parameters the weight decay."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def train(recipe: Recipe, split: Split, seed: int) -> nn.Module:
    """Return the network of `recipe` trained on `split`, in evaluation mode.

    The result depends on nothing but the arguments, the library versions and the processor:
    one machine gives the same bits each time.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    # Nothing reads memory before it is written, so filling it costs time and changes nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    memory = torch.channels_last if recipe.channels_last else torch.contiguous_format
    network = recipe.build()
    network.to(memory_format=memory)  # type: ignore[call-overload]
    images, labels = torch.tensor(split.x), torch.tensor(split.y)
    steps = len(labels) // recipe.batch_size
    optimiser = torch.optim.SGD(
        decayed_groups(network, recipe.weight_decay),
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.2
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    for epoch in range(1, recipe.epochs + 1):
        total = 0.0
        order = torch.randperm(len(labels), generator=rng)
        for chosen in order[: steps * recipe.batch_size].reshape(steps, recipe.batch_size):
            batch = shifted_and_flipped(images[chosen], recipe.shift, rng).float()
            batch = batch.contiguous(memory_format=memory)
            loss = loss_of(network(batch), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        log.info("epoch %d of %d: loss %.4f", epoch, recipe.epochs, total / steps)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.eval()


def export_onnx(network: nn.Module, path: Path) -> None:
    """Write `network` to `path` with its batch norms as BatchNormalization nodes."""
    # torch 2.13 deprecates this exporter. Its successor (dynamo=True) needs onnxscript, and folds
    # batch norms as it optimises.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, SIDE, SIDE),),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        )
    model = onnx.load(path)
    share_equal_constants(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def share_equal_constants(model: onnx.ModelProto) -> None:
    """Let nodes read an initialiser directly where the exporter put an Identity before them.

    It stores equal tensors once. The biases of two batch norms that are added stay equal: they
    have the same gradient.
    """
    nodes = model.graph.node
    original = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Identity"}
    kept = [node for node in nodes if node.op_type != "Identity"]
    for node in kept:
        node.input[:] = [original.get(name, name) for name in node.input]
    del nodes[:]
    nodes.extend(kept)


def macs_per_image(network: nn.Module) -> int:
    """Return the multiply-accumulates of all convolutions and linear layers for one image."""
    counts: list[int] = []

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.get_parameter("weight")
        counts.append(output.numel() * weight[0].numel())

    linear = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(count) for module in linear]
    with torch.no_grad():
        network(torch.zeros(1, 1, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def accuracy(model: Path, split: Split) -> float:
    """Return the share of rows that onnxruntime classifies as labelled."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    batches = np.array_split(split.x.astype(np.float32), max(1, len(split.x) // 500))
    logits = [session.run(["logits"], {"image": batch})[0] for batch in batches]
    return float(np.mean(np.concatenate(logits).argmax(axis=1) == split.y))


def chosen_rows(split: Split, count: int, seed: int) -> Split:
    """Return `count` rows of `split`, drawn without replacement."""
    rows = np.random.default_rng(seed).permutation(len(split.y))[:count]
    return Split(split.x[rows], split.y[rows])


def with_row(readme: str, row: Sequence[str]) -> str:
    """Return the text of README.md with `row` in its results table, sorted by model.

    Raises
    ------
    ValueError
        If the text lacks the markers between which the table stands.
    """
    before, begin, rest = readme.partition(BLOCK_BEGIN)
    block, end, after = rest.partition(BLOCK_END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the lines {BLOCK_BEGIN!r} and {BLOCK_END!r}")
    rows = {line.split(" | ")[0]: line for line in block.splitlines() if line.startswith("| `")}
    rows[f"| {row[0]}"] = table_line(row)
    lines = [table_line(COLUMNS), table_line(["---"] * len(COLUMNS)), *sorted(rows.values())]
    return "\n".join([before + begin, "", *lines, "", end + after])


def table_line(cells: Iterable[str]) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def make_model(name: str, dataset: Path, folder: Path) -> None:
    """Train, export and measure one network, and write all of its files into `folder`.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    dataset : Path
        The folder of the four Fashion-MNIST files.
    folder : Path
        Where the files go; its README.md must hold the markers of the results table.
    """
    training, test = load_split(dataset, "train"), load_split(dataset, "t10k")
    started = time.process_time()
    network = train(RECIPES[name], training, SEED)
    cpu_minutes = (time.process_time() - started) / 60
    model = folder / f"{name}.onnx"
    export_onnx(network, model)

    calibration = chosen_rows(training, CALIBRATION_ROWS, SEED)
    evaluation = chosen_rows(test, EVAL_ROWS, SEED)
    np.savez_compressed(folder / f"{name}.calibration.npz", x=calibration.x)
    np.savez_compressed(folder / f"{name}.eval.npz", x=evaluation.x, y=evaluation.y)

    row = (
        f"`{name}`",
        f"{accuracy(model, test):.2%}",
        f"{accuracy(model, evaluation):.1%}",
        f"{macs_per_image(network):,}",
        f"{sum(p.numel() for p in network.parameters()):,}",
        f"{RECIPES[name].epochs} epochs, {max(1, round(cpu_minutes))} min of CPU time",
        str(SEED),
        f"torch {torch.__version__}, onnx {onnx.__version__}, "
        f"onnxruntime {onnxruntime.__version__}",
        f"`{hashlib.sha256(model.read_bytes()).hexdigest()}`",
    )
    readme = folder / "README.md"
    readme.write_text(with_row(readme.read_text("utf-8"), row), "utf-8")
    log.info("%s: %s of the test rows, %s of the eval rows", name, row[1], row[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the networks named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Train and export the shipped networks.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(RECIPES)} (default: all of them)"
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        default=DEFAULT_DATASET,
        metavar="DIR",
        help="folder of the four Fashion-MNIST .gz files (default: %(default)s, "
        f"where the Debian package {DEBIAN_PACKAGE} puts them)",
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in RECIPES:
            parser.error(f"no network {name!r}; there are {', '.join(RECIPES)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        for name in options.names or RECIPES:
            make_model(name, options.dataset, Path(__file__).parent)
    except DatasetError as error:
        log.error("error: %s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
