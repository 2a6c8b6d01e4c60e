"""Accuracy of deep networks of the classic ResNet family, trained here on Fashion-MNIST.

    python benchmarks/accuracy_depth.py [--depths 44 ...] [--timesteps 8,32] \
        [--schedules none,full] [--epochs 2] [--dataset DIR] [--networks DIR]

What corrections bring on one network must hold on others that nobody looked at. A depth is 6 n + 2:
three stages of n residual blocks with 8, 16 and 32 channels, after He et al. 2015. Networks are
trained for a few minutes, without a care for the last point, and kept in the folder of
`--networks` for the next time. Calibration rows are 500 of the training rows, all 10,000 test rows
are evaluated (`--num-samples`: the first). The data set is that of ``models/train_fashion.py``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

import snnconvert
from snnconvert.models.train_fashion import (
    CALIBRATION_ROWS,
    CLASSES,
    DEFAULT_DATASET,
    SEED,
    DatasetError,
    PixelScale,
    Recipe,
    ResidualBlock,
    Split,
    chosen_rows,
    conv,
    export_onnx,
    load_split,
    train,
)

CHANNELS = (8, 16, 32)
EPOCHS = 2


def depth_of(text: str) -> int:
    """Return a depth of the family, for argparse."""
    if not text.isdigit() or int(text) < 8 or int(text) % 6 != 2:
        raise argparse.ArgumentTypeError(f"a depth is 6 n + 2 (8, 14, 20, 26, ...), not {text}")
    return int(text)


def resnet(depth: int) -> nn.Sequential:
    """Return an untrained ResNet of 6 n + 2 layers."""
    layers: list[nn.Module] = [PixelScale(), conv(1, CHANNELS[0]), nn.BatchNorm2d(CHANNELS[0])]
    layers.append(nn.ReLU())
    before = CHANNELS[0]
    for channels in CHANNELS:
        for _ in range(depth // 6):
            layers.append(ResidualBlock(before, channels, stride=1 + (channels != before)))
            before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


def trained(depth: int, epochs: int, split: Split, folder: Path) -> Path:
    """Return the file of a trained network; train it where there is none."""
    path = folder / f"resnet{depth}_fashion_{epochs}.onnx"
    if not path.exists():
        print(f"training ResNet-{depth} for {epochs} epochs", file=sys.stderr, flush=True)
        recipe = Recipe(lambda: resnet(depth), epochs=epochs, learning_rate=0.2)
        network = train(recipe, split, SEED)
        torch.use_deterministic_algorithms(False)
        export_onnx(network, path)
    return path


def measure(path: Path, calibration: Split, test: Split, timesteps: int, schedule: str) -> None:
    """Convert a network, run the test rows, print a line."""
    snn = snnconvert.convert_model(path, calibration.x, timesteps=timesteps, schedule=schedule)
    result = snn.evaluate(test.x, test.y)
    assert result.accuracy is not None and result.ann_accuracy is not None
    low, high = result.final.ci95 or (0.0, 1.0)
    accepted = ", ".join(snn.calibration["corrections"]["accepted"]) or "none"
    print(
        f"{path.stem:<20} {schedule:<5} T={timesteps:<4} rows={len(test.y)}  "
        f"ANN {100 * result.ann_accuracy:.2f}  SNN {100 * result.accuracy:.2f} "
        f"[{100 * low:.2f}, {100 * high:.2f}]  corrections: {accepted}",
        flush=True,
    )


def main() -> int:
    """Train what is missing, and print a line for every depth, schedule and T."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depths", type=depth_of, nargs="+", default=[44], help="6 n + 2")
    parser.add_argument("--timesteps", default="8,32", help="T, comma-separated")
    parser.add_argument("--schedules", default="none,full", help="comma-separated")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--num-samples", type=int, help="only the first test rows")
    parser.add_argument("--dataset", type=Path, default=DEFAULT_DATASET, metavar="DIR")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="where networks are kept")
    options = parser.parse_args()
    try:
        training, test = (load_split(options.dataset, half) for half in ("train", "t10k"))
    except DatasetError as error:
        parser.error(str(error))
    test = Split(test.x[: options.num_samples], test.y[: options.num_samples])
    calibration = chosen_rows(training, CALIBRATION_ROWS, SEED)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.networks or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for depth in options.depths:
            path = trained(depth, options.epochs, training, folder)
            for schedule in options.schedules.split(","):
                for timesteps in map(int, options.timesteps.split(",")):
                    measure(path, calibration, test, timesteps, schedule)
    return 0


if __name__ == "__main__":
    sys.exit(main())
