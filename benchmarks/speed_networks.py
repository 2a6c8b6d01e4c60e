"""The networks that the speed benchmarks run: converted once, then kept in a temporary folder.

``resnet20`` (the classic ResNet-20 on CIFAR-10) is third-party: it needs the folder that
``SNNCONVERT_TEST_DATA`` names, with ``models/resnet20_cifar10.onnx`` and ``data/cifar10_*.npz``.
``wide`` and ``wide_pool`` are made here (see ``wide_network.py``), on CIFAR-10 images where the
folder has them, else on smoothed noise. ``fashion_cnn`` and ``fashion_resnet`` are shipped.
Thresholds are those of the method "mse" for T = 32, without corrections: that takes seconds, and
speed does not hang on corrections.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from wide_network import Downsampling, smoothed_noise, wide_network

import snnconvert
from snnconvert.convert.evaluate import load_samples
from snnconvert.convert.network import Network, Population

DESIGN_TIMESTEPS = 32
CALIBRATION_ROWS = 200
FITTING_ROWS = 64
"""Images by which the wide network's layers are brought to a scale."""

FOLDER = "SNNCONVERT_TEST_DATA"
CIFAR: dict[str, Any] = {
    "scale": 1 / 255,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
SHIPPED = ("fashion_cnn", "fashion_resnet")

Rows = npt.NDArray[Any]


class MissingFilesError(Exception):
    """A network needs third-party files that are not there."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to be timed, and rows to run.

    Attributes
    ----------
    name : str
    snn : SpikingModel
    raw : (n, ...) uint8 array
    labels : (n,) int array or None
    images : str
        Where the rows come from.
    """

    name: str
    snn: snnconvert.SpikingModel
    raw: Rows
    labels: Rows | None
    images: str

    def rows(self, n: int) -> dict[str, Rows]:
        """Return `n` preprocessed rows by input name, repeated where there are not so many."""
        (name,) = self._samples
        found = self._samples[name]
        return {name: np.ascontiguousarray(found[np.arange(n) % len(found)])}

    def raw_rows(self, n: int) -> Rows:
        """Return `n` raw rows, repeated where there are not so many."""
        return self.raw[np.arange(n) % len(self.raw)]

    @cached_property
    def _samples(self) -> dict[str, Rows]:
        return dict(load_samples(self.snn, self.raw, None, None)[0])

    def network(self, *, weight_bits: int | None = None, threshold_scale: float = 1.0) -> Network:
        """Return the network with weights of so many bits and thresholds so many times as high.

        A neuron of twice the threshold sends half as many spikes that carry twice as much: the
        network computes the same with about half the spikes.
        """
        network = self.snn.network
        scaled = (_scaled(p, threshold_scale) for p in network.populations)
        return replace(network.replace_nodes(scaled), weight_bits=weight_bits)


def _scaled(p: Population, by: float) -> Population:
    return replace(
        p,
        threshold=np.asarray(p.threshold * by),
        amplitude=np.asarray(p.amplitude * by),
        scale=np.asarray(p.scale * by),
        v_init=np.asarray(p.v_init * by),
    )


def subject(name: str, *, cache: Path | None = None) -> Subject:
    """Return a network by name.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    cache : Path, optional
        Folder for converted networks; default: one in the system's temporary folder.

    Raises
    ------
    MissingFilesError
        If it is third-party and its folder is not named.
    """
    folder = Path(tempfile.gettempdir()) / "snnconvert-benchmarks" if cache is None else cache
    folder.mkdir(parents=True, exist_ok=True)
    return _MAKERS[name](name, folder)


def third_party_files() -> bool:
    """Tell whether the folder of third-party files is named."""
    return bool(os.environ.get(FOLDER))


def _folder() -> Path:
    if not third_party_files():
        raise MissingFilesError(f"{FOLDER} must name the folder with models/ and data/")
    return Path(os.environ[FOLDER])


def _cifar(kind: str) -> tuple[Rows, Rows]:
    with np.load(_folder() / "data" / f"cifar10_{kind}.npz") as stored:
        return stored["x"], stored["y"]


def _resnet20(name: str, cache: Path) -> Subject:
    model = (_folder() / "models" / "resnet20_cifar10.onnx").read_bytes()
    snn = _converted(name, model, _cifar("calibration")[0], cache, CIFAR)
    return Subject(name, snn, *_cifar("test"), images="CIFAR-10 test rows")


def _wide(downsampling: Downsampling) -> Callable[[str, Path], Subject]:
    def make(name: str, cache: Path) -> Subject:
        labels: Rows | None = None
        if third_party_files():
            calibration, (test, labels) = _cifar("calibration")[0], _cifar("test")
            images = "CIFAR-10 test rows"
        else:
            noise = smoothed_noise(CALIBRATION_ROWS + 100)
            calibration, test = noise[:CALIBRATION_ROWS], noise[CALIBRATION_ROWS:]
            images = "smoothed noise"
        mean, std = (np.reshape(CIFAR[key], (1, 3, 1, 1)) for key in ("mean", "std"))
        fitting = np.asarray((calibration[:FITTING_ROWS] / 255 - mean) / std, np.float32)
        model = wide_network(fitting, downsampling=downsampling)
        snn = _converted(name, model, calibration, cache, CIFAR)
        return Subject(name, snn, test, labels, images)

    return make


def _shipped(name: str, cache: Path) -> Subject:
    path = snnconvert.shipped_model_path(name)
    assert path is not None
    with np.load(path.with_suffix(".calibration.npz")) as stored:
        calibration = stored["x"]
    with np.load(path.with_suffix(".eval.npz")) as stored:
        test, labels = stored["x"], stored["y"]
    snn = _converted(name, path.read_bytes(), calibration, cache, {})
    return Subject(name, snn, test, labels, images="Fashion-MNIST test rows")


def _converted(
    name: str, model: bytes, calibration: Rows, cache: Path, preprocessing: dict[str, Any]
) -> snnconvert.SpikingModel:
    rows = calibration[:CALIBRATION_ROWS]
    key = hashlib.sha256(model + rows.tobytes() + snnconvert.__version__.encode()).hexdigest()[:16]
    kept = cache / f"{name}-{key}.snn"
    if not kept.exists():
        snn = snnconvert.convert_model(
            model,
            rows,
            method="mse",
            corrections="none",
            timesteps=DESIGN_TIMESTEPS,
            **preprocessing,
        )
        snn.save(kept)
    return snnconvert.load(kept)


_MAKERS: dict[str, Callable[[str, Path], Subject]] = {
    "resnet20": _resnet20,
    "wide": _wide("stride"),
    "wide_pool": _wide("pool"),
    **dict.fromkeys(SHIPPED, _shipped),
}

NAMES = tuple(_MAKERS)
