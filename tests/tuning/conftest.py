"""A tiny classifier with rows that it was fitted to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper
from onnx_models import make_model

HIDDEN, CLASSES, FEATURES = 12, 3, 4


@dataclass(frozen=True, eq=False)
class Material:
    """Files of a trained network: two layers, the last fitted by least squares to noisy labels."""

    folder: Path
    train: dict[str, npt.NDArray[Any]]
    test: dict[str, npt.NDArray[Any]]

    @property
    def model(self) -> Path:
        return self.folder / "tiny.onnx"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(4)
    y = rng.integers(0, CLASSES, 260)
    centres = 60 * rng.random((CLASSES, FEATURES)) + 60
    x = np.clip(centres[y] + 16 * rng.standard_normal((260, FEATURES)), 0, 255).astype(np.uint8)
    w1 = rng.standard_normal((FEATURES, HIDDEN)).astype(np.float32)
    b1 = -(x / 255).mean(axis=0) @ w1
    hidden = np.maximum(x / 255 @ w1 + b1, 0)
    features = np.column_stack([hidden, np.ones(len(x))])
    fitted = np.linalg.lstsq(features[:200], np.eye(CLASSES)[y[:200]], rcond=None)[0]
    constants = {"w1": w1, "b1": b1, "w2": fitted[:-1], "b2": fitted[-1]}
    nodes = (
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="fc1"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="fc2"),
    )
    model = make_model(
        nodes,
        {"x": ("N", FEATURES)},
        constants={name: array.astype(np.float32) for name, array in constants.items()},
    )
    onnx.save(model, str(folder / "tiny.onnx"))
    train: dict[str, npt.NDArray[Any]] = {"x": x[:200], "y": y[:200]}
    test: dict[str, npt.NDArray[Any]] = {"x": x[200:], "y": y[200:]}
    np.savez(folder / "train.npz", x=train["x"], y=train["y"])
    np.savez(folder / "test.npz", x=test["x"], y=test["y"])
    np.savez(folder / "rows.npz", x=train["x"])
    np.savez(folder / "few.npz", x=train["x"][:8], y=train["y"][:8])
    np.savez(folder / "mixed.npz", x=np.r_[test["x"], train["x"][:5]], y=np.r_[test["y"], y[:5]])
    return Material(folder, train, test)
