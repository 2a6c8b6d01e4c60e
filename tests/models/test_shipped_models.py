"""The shipped networks are what their names, README.md and the script beside them promise."""

from __future__ import annotations

import gzip
import hashlib
import logging
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from snnconvert.models import shipped_model_path, shipped_models

FOLDER = Path(__file__).parents[2] / "models"
MODELS = ("fashion_cnn", "fashion_mobilenet", "fashion_resnet", "fashion_vgg")


def model_path(name: str) -> Path:
    path = shipped_model_path(name)
    assert path is not None
    return path


def rows(name: str, kind: str) -> dict[str, npt.NDArray[np.generic]]:
    with np.load(model_path(name).with_suffix(f".{kind}.npz"), allow_pickle=False) as stored:
        return dict(stored)


def initializers(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def table() -> dict[str, dict[str, str]]:
    """The results table of README.md: model -> column -> cell."""
    text = (FOLDER / "README.md").read_text("utf-8")
    block = text.split("<!-- results: written by train_fashion.py -->")[1]
    block = block.split("<!-- end of results -->")[0]
    header, _, *body = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()
    ]
    return {row[0].strip("`"): dict(zip(header, row, strict=True)) for row in body}


@pytest.fixture
def script() -> Iterator[ModuleType]:
    """The training script; torch's settings for the whole process are put back after the test."""
    import torch

    from snnconvert.models import train_fashion

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        yield train_fashion
    torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled() != deterministic:
        torch.use_deterministic_algorithms(deterministic)


def write_idx(path: Path, content: npt.NDArray[np.uint8]) -> None:
    header = struct.pack(f">BBBB{content.ndim}I", 0, 0, 8, content.ndim, *content.shape)
    path.write_bytes(gzip.compress(header + content.tobytes()))


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A data set in Fashion-MNIST's format: each class is a bright row of its own."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    for prefix, count in (("train", 320), ("t10k", 50)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.random.default_rng(count).integers(0, 64, (count, 28, 28), np.uint8)
        images[np.arange(count), 2 + 2 * labels] = 255
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


def test_names_are_found_sorted() -> None:
    assert shipped_models() == MODELS


@pytest.mark.parametrize("name", MODELS)
def test_path_of_a_name(name: str) -> None:
    assert model_path(name).name == f"{name}.onnx"
    assert model_path(name).is_file()


@pytest.mark.parametrize("name", ["", "fashion", "fashion_cnn.onnx", "../models/fashion_cnn"])
def test_no_path_for_another_name(name: str) -> None:
    assert shipped_model_path(name) is None


def test_finding_a_model_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, snnconvert.models as m; m.shipped_models();"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'numba', 'nengo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODELS)
def test_file_is_valid_and_self_contained(name: str) -> None:
    model = onnx.load(model_path(name), load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [tensor.name for tensor in model.graph.initializer if tensor.external_data] == []
    assert model.opset_import[0].version >= 17
    assert len(model.opset_import) == 1


@pytest.mark.parametrize("name", MODELS)
def test_interface_is_raw_pixels_to_logits(name: str) -> None:
    session = onnxruntime.InferenceSession(model_path(name), providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("image", "tensor(float)", ["batch", 1, 28, 28])
    ]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("logits", "tensor(float)", ["batch", 10])
    ]
    model = onnx.load(model_path(name))
    first = model.graph.node[0]
    assert (first.op_type, first.input[0]) == ("Mul", "image")
    assert initializers(model)[first.input[1]] == np.float32(1 / 255)


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        (
            "fashion_cnn",
            {"Mul": 1, "Conv": 3, "BatchNormalization": 3, "Relu": 3, "AveragePool": 2}
            | {"Flatten": 1, "Gemm": 1},
        ),
        (
            "fashion_mobilenet",
            {"Mul": 1, "Conv": 14, "BatchNormalization": 14, "Clip": 10, "Constant": 20, "Add": 2}
            | {"GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1},
        ),
        (
            "fashion_resnet",
            {"Mul": 1, "Conv": 9, "BatchNormalization": 9, "Relu": 7, "Add": 3}
            | {"GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1},
        ),
        (
            "fashion_vgg",
            {"Mul": 1, "Conv": 6, "BatchNormalization": 6, "Relu": 6, "MaxPool": 3, "Concat": 1}
            | {"Flatten": 1, "Gemm": 1},
        ),
    ],
)
def test_operators(name: str, operators: dict[str, int]) -> None:
    model = onnx.load(model_path(name))
    assert Counter(node.op_type for node in model.graph.node) == operators


@pytest.mark.parametrize("name", MODELS)
def test_batch_norms_use_their_running_statistics(name: str) -> None:
    model = onnx.load(model_path(name))
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert attributes.get("training_mode", 0) == 0
            assert len(node.output) == 1


@pytest.mark.parametrize("name", MODELS)
def test_rows_have_the_promised_keys_types_and_shapes(name: str) -> None:
    described = {
        kind: {key: (array.dtype.name, array.shape) for key, array in rows(name, kind).items()}
        for kind in ("calibration", "eval")
    }
    assert described == {
        "calibration": {"x": ("uint8", (500, 1, 28, 28))},
        "eval": {"x": ("uint8", (1000, 1, 28, 28)), "y": ("int64", (1000,))},
    }


@pytest.mark.parametrize("name", MODELS)
def test_rows_cover_the_pixel_range_and_all_classes(name: str) -> None:
    for kind in ("calibration", "eval"):
        x = rows(name, kind)["x"]
        assert (x.min(), x.max()) == (0, 255)
    assert np.array_equal(np.unique(rows(name, "eval")["y"]), np.arange(10))


@pytest.mark.parametrize("name", MODELS)
def test_no_row_is_in_both_files_or_twice_in_one(name: str) -> None:
    digests = [
        hashlib.sha256(image.tobytes()).digest()
        for kind in ("calibration", "eval")
        for image in rows(name, kind)["x"]
    ]
    assert len(set(digests)) == 500 + 1000


@pytest.mark.parametrize("name", MODELS)
def test_eval_accuracy_is_the_one_in_the_readme(name: str) -> None:
    stored = rows(name, "eval")
    session = onnxruntime.InferenceSession(model_path(name), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": stored["x"].astype(np.float32)})
    accuracy = float(np.mean(logits.argmax(axis=1) == stored["y"]))
    assert f"{accuracy:.1%}" == table()[name]["eval accuracy (1,000 rows)"]
    assert accuracy >= 0.90


@pytest.mark.parametrize("name", MODELS)
def test_readme_was_written_for_this_file(name: str) -> None:
    digest = hashlib.sha256(model_path(name).read_bytes()).hexdigest()
    assert table()[name]["SHA-256 of the .onnx file"] == f"`{digest}`"
    assert float(table()[name]["test accuracy (10,000 rows)"].rstrip("%")) >= 91.0


def test_readme_lists_every_model() -> None:
    assert tuple(table()) == shipped_models()


@pytest.mark.parametrize("name", MODELS)
def test_macs_and_parameters_are_those_in_the_readme(name: str) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(model_path(name)))
    constants = initializers(model)
    shapes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    macs = parameters = 0
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            weight = constants[node.input[1]]
            macs += int(np.prod(shapes[node.output[0]])) * weight.size // weight.shape[0]
        if node.op_type in {"Conv", "Gemm", "BatchNormalization"}:
            parameters += sum(constants[entry].size for entry in node.input[1:3])
    row = table()[name]
    assert (row["MACs"], row["parameters"]) == (f"{macs:,}", f"{parameters:,}")


@pytest.mark.parametrize("name", MODELS)
def test_relu_neurons_are_those_in_the_readme(name: str) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(model_path(name)))
    relus = {node.output[0] for node in model.graph.node if node.op_type in {"Relu", "Clip"}}
    neurons = sum(
        int(np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]))
        for value in model.graph.value_info
        if value.name in relus
    )
    lines = (FOLDER / "README.md").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{name}`") and "3x3" in line]
    assert line.split("|")[3].strip() == f"{neurons:,}"


def test_models_stay_small() -> None:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4_000_000


def test_script_makes_every_shipped_model(script: ModuleType) -> None:
    assert tuple(sorted(script.RECIPES)) == shipped_models()


def test_script_says_how_to_get_the_data_set(
    script: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert script.main(["fashion_cnn", "--dataset", str(tmp_path)]) == 2
    assert caplog.messages == [
        f"error: no Fashion-MNIST file {tmp_path / 'train-images-idx3-ubyte.gz'}\n"
        "  hint: apt-get install dataset-fashion-mnist, or name the folder with --dataset DIR"
    ]


def test_script_refuses_an_unknown_name(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(["fashion_cn"])
    known = "fashion_cnn, fashion_mobilenet, fashion_resnet, fashion_vgg"
    assert f"no network 'fashion_cn'; there are {known}" in capsys.readouterr().err


def test_script_refuses_a_file_that_is_not_idx(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"<html>"))
    with pytest.raises(script.DatasetError, match=r"is not an idx file of unsigned bytes$"):
        script.read_idx(path)


def test_script_refuses_a_truncated_file(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 2000) + bytes(7)))
    with pytest.raises(script.DatasetError, match=r"holds 7 bytes, its header says 2,000$"):
        script.read_idx(path)


def test_shift_and_flip_move_whole_images(script: ModuleType) -> None:
    import torch

    image = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    image[:, 0, 10, 5] = 9
    moved = script.shifted_and_flipped(image, 1, torch.Generator().manual_seed(0))
    assert moved.shape == image.shape
    _, _, row, column = torch.nonzero(moved, as_tuple=True)
    assert set(row.tolist()) == {9, 10, 11}
    assert set(column.tolist()) == {4, 5, 6, 21, 22, 23}
    assert int(moved.sum()) == 64 * 9


def test_table_row_replaces_only_its_own(script: ModuleType) -> None:
    text = f"before\n{script.BLOCK_BEGIN}\n{script.BLOCK_END}\nafter\n"
    cells = [str(column) for column in range(1, len(script.COLUMNS))]
    for name in ("`b`", "`a`", "`b`"):
        text = script.with_row(text, [name, *cells])
    assert [line.split(" | ")[0] for line in text.splitlines() if line] == [
        "before",
        script.BLOCK_BEGIN,
        "| model",
        "| ---",
        "| `a`",
        "| `b`",
        script.BLOCK_END,
        "after",
    ]
    assert script.with_row(text, ["`a`", *cells]) == text


def test_table_needs_its_markers(script: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"^README.md lacks the lines '<!-- results"):
        script.with_row("no table\n", ["`a`"])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_script_writes_the_same_bytes_twice(
    name: str,
    script: ModuleType,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    recipe = replace(script.RECIPES[name], epochs=1, batch_size=32)
    monkeypatch.setitem(script.RECIPES, name, recipe)
    monkeypatch.setattr(script, "THREADS", 1)  # tests run side by side; a second thread would wait
    made = []
    for attempt in ("first", "second"):
        folder = tmp_path / attempt
        folder.mkdir()
        (folder / "README.md").write_text(f"{script.BLOCK_BEGIN}\n{script.BLOCK_END}\n")
        script.make_model(name, tiny_dataset, folder)
        made.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert made[0] == made[1]
    assert set(made[0]) == {
        "README.md",
        *(f"{name}{suffix}" for suffix in (".onnx", ".calibration.npz", ".eval.npz")),
    }
