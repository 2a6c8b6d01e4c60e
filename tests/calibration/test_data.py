"""Every form of rows in, the same float32 batches out; every error with its text."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.calibration.data import Preprocessing, load_rows, open_samples
from snnconvert.calibration.names import UNNAMED
from snnconvert.convert.errors import DataError, SnnConvertError, UsageError

INPUTS = {"image": (2, 3, 4)}
PAIR = {"left": (3,), "right": (2, 2)}


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((7, 2, 3, 4)).astype(np.float32)


class Tensor:
    """As little of a torch tensor as is used: attached to a graph, on another device."""

    def __init__(self, array: np.ndarray, state: str = "attached") -> None:
        self.array, self.state = array, state

    def detach(self) -> "Tensor":
        return Tensor(self.array, "detached")

    def cpu(self) -> "Tensor":
        return Tensor(self.array, "host" if self.state == "detached" else self.state)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.state != "host":
            raise TypeError("cannot be converted to numpy")
        return self.array


class Loader:
    """A data loader: batches, again and again."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Reader:
    """onnxruntime's CalibrationDataReader."""

    def __init__(self, batches: list[Any]) -> None:
        self.left = iter(batches)

    def get_next(self) -> Any:
        return next(self.left, None)


def forms(rows: np.ndarray, folder: Path) -> dict[str, Any]:
    parts = [rows[:3], rows[3:]]
    np.save(folder / "rows.npy", rows)
    archives: dict[str, dict[str, Any]] = {
        "own": {"image": rows},
        "x": {"x": rows, "y": np.arange(7)},
        "only": {"something": rows, "y": np.arange(7)},
    }
    for name, arrays in archives.items():
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "toolbox").mkdir()
    np.savez(folder / "toolbox" / "x_norm.npz", rows)
    np.savez(folder / "toolbox" / "x_test.npz", rows[::-1])
    return {
        "array": rows,
        "nested list": rows.tolist(),
        "tensor": Tensor(rows),
        "dictionary": {"image": rows},
        "npy": folder / "rows.npy",
        "npz with the input's name": str(folder / "own.npz"),
        "npz with x": folder / "x.npz",
        "npz with one array": folder / "only.npz",
        "SNN Toolbox": folder / "toolbox",
        "list of batches": parts,
        "generator": (part for part in parts),
        "generator of samples": (row for row in rows),
        "loader of tensors and labels": Loader([(Tensor(p), Tensor(p[:, 0, 0, 0])) for p in parts]),
        "loader of lists": Loader([[p, p] for p in parts]),
        "loader of dictionaries": Loader([{"image": p, "label": p} for p in parts]),
        "samples with labels": [(row, 1) for row in rows],
        "data reader": Reader([{"image": p} for p in parts]),
    }


def test_every_form_gives_the_same_rows_as_often_as_asked(rows: np.ndarray, tmp_path: Path) -> None:
    hashes = set()
    for form, data in forms(rows, tmp_path).items():
        source = open_samples(data, INPUTS, batch_size=2)
        for _ in range(2):
            batches = [batch["image"] for batch in source]
            assert all(len(batch) <= 2 and batch.dtype == np.float32 for batch in batches), form
            np.testing.assert_array_equal(np.concatenate(batches), rows, err_msg=form)
        assert len(source) == source.rows == 7
        hashes.add(source.content_hash)
    assert len(hashes) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float64, np.bool_])
def test_numbers_of_any_kind_become_float32(dtype: type) -> None:
    raw: np.ndarray = np.arange(24).reshape(1, 2, 3, 4).astype(dtype)
    (batch,) = open_samples(raw, INPUTS)
    assert batch["image"].dtype == np.float32
    np.testing.assert_array_equal(batch["image"], raw.astype(np.float32))


def test_rows_are_preprocessed_after_their_layout_is_fixed(rng: np.random.Generator) -> None:
    raw = rng.integers(0, 256, (5, 3, 4, 2), np.uint8)
    preprocessing = Preprocessing(1 / 255, (0.5, 0.25), (2.0, 4.0))
    source = open_samples(raw, INPUTS, preprocessing=preprocessing)
    assert source.notes == (
        "rows for input 'image' had shape (3, 4, 2): taken as channels last and changed to "
        "(2, 3, 4)",
    )
    (batch,) = source
    expected = preprocessing.apply(raw.transpose(0, 3, 1, 2), 0)
    np.testing.assert_array_equal(batch["image"], expected)


def test_a_missing_channel_axis_is_added_and_said() -> None:
    source = open_samples(np.zeros((4, 28, 28), np.uint8), {"image": (1, 28, 28)})
    assert next(iter(source))["image"].shape == (4, 1, 28, 28)
    assert "a missing channel axis" in source.notes[0]


def test_several_inputs_by_name_and_in_order(rng: np.random.Generator) -> None:
    left, right = rng.standard_normal((5, 3)), rng.standard_normal((5, 2, 2))
    for data in (
        {"right": right, "left": left},
        [(left[:2], right[:2]), (left[2:], right[2:])],
        [(left, right, np.zeros(5))],
    ):
        named, _ = load_rows(data, PAIR)
        np.testing.assert_array_equal(named["left"], left.astype(np.float32))
        np.testing.assert_array_equal(named["right"], right.astype(np.float32))


@pytest.mark.parametrize("stream", [False, True])
def test_limit_takes_the_first_rows(rows: np.ndarray, stream: bool) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield rows[:3]
        yield rows[3:6]
        raise AssertionError("nobody needs the third batch")

    source = open_samples(batches() if stream else rows, INPUTS, limit=5)
    np.testing.assert_array_equal(np.concatenate([b["image"] for b in source]), rows[:5])
    assert len(source) == 5
    assert len(open_samples(rows, INPUTS, limit=100)) == 7


def test_a_pass_that_was_stopped_is_started_again(rows: np.ndarray) -> None:
    source = open_samples((row for row in rows), INPUTS)
    assert source.rows is None
    next(iter(source))
    np.testing.assert_array_equal(np.concatenate([b["image"] for b in source]), rows)


def test_hash_knows_rows_but_neither_order_nor_batch_size(rows: np.ndarray) -> None:
    def content_hash(x: np.ndarray, batch_size: int = 32) -> str:
        return open_samples(x, INPUTS, batch_size=batch_size).content_hash

    assert len(content_hash(rows)) == 64
    assert content_hash(rows) == content_hash(rows[::-1], 3)
    changed = rows.copy()
    changed[3, 1, 2, 0] += 1e-6
    assert content_hash(rows) != content_hash(changed)
    assert content_hash(rows) != content_hash(np.concatenate([rows, rows[:1]]))


class TestLabels:
    def test_come_with_the_rows(self, rows: np.ndarray, tmp_path: Path) -> None:
        labels = np.arange(7) % 3
        np.savez(tmp_path / "e.npz", x=rows, y=labels)
        np.savez(tmp_path / "other.npz", image=rows, y_test=labels)
        for data in (
            tmp_path / "e.npz",
            tmp_path / "other.npz",
            {"image": rows, "labels": labels[:, None]},
            [(rows[:4], Tensor(labels[:4])), (rows[4:], labels[4:])],
            [(row, label) for row, label in zip(rows, labels, strict=True)],
        ):
            named, found = load_rows(data, INPUTS)
            np.testing.assert_array_equal(found[UNNAMED].ravel(), labels)
            np.testing.assert_array_equal(named["image"], rows)
            again = open_samples(data, INPUTS).labels
            np.testing.assert_array_equal(again[UNNAMED].ravel(), labels)
        assert load_rows(rows, INPUTS)[1] == {}
        assert open_samples(rows, INPUTS).labels == {}

    def test_of_several_outputs_are_told_by_name(self, rows: np.ndarray, tmp_path: Path) -> None:
        kind, age = np.arange(7) % 3, np.linspace(0, 1, 7)
        np.savez(tmp_path / "e.npz", image=rows, kind=kind, age=age)
        np.savez(tmp_path / "x.npz", x=rows, kind=kind, age=age)
        parts = [slice(0, 4), slice(4, 7)]
        for data in (
            tmp_path / "e.npz",
            tmp_path / "x.npz",
            {"x": rows, "kind": kind, "age": age},
            [(rows[p], {"kind": kind[p], "age": age[p]}) for p in parts],
            [(rows[p], kind[p], age[p]) for p in parts],
            [{"image": rows[p], "age": Tensor(age[p]), "kind": kind[p]} for p in parts],
        ):
            named, found = load_rows(data, INPUTS, outputs=("kind", "age"))
            np.testing.assert_array_equal(named["image"], rows)
            np.testing.assert_array_equal(found["kind"], kind)
            np.testing.assert_array_equal(found["age"], age)

    def test_that_come_with_some_batches_only_are_refused(self, rows: np.ndarray) -> None:
        data = [(rows[:4], np.arange(4)), (rows[4:],)]
        with pytest.raises(DataError, match="evaluation labels came with 1 of 2 batches"):
            load_rows(data, INPUTS)
        maps = [(rows[:4], np.zeros((4, 2))), (rows[4:], np.zeros((3, 3)))]
        with pytest.raises(DataError, match="have different shapes in different batches"):
            load_rows(maps, INPUTS)

    def test_of_a_toolbox_folder(self, rows: np.ndarray, tmp_path: Path) -> None:
        np.savez(tmp_path / "x_norm.npz", rows[:2])
        np.savez(tmp_path / "x_test.npz", rows)
        np.savez(tmp_path / "y_test.npz", np.eye(7))
        named, labels = load_rows(tmp_path, INPUTS)
        np.testing.assert_array_equal(labels[UNNAMED], np.eye(7))
        np.testing.assert_array_equal(named["image"], rows)

    def test_follow_a_stream_that_shuffles(self, rows: np.ndarray) -> None:
        class Shuffled:
            def __init__(self) -> None:
                self.rng = np.random.default_rng(0)

            def __iter__(self) -> Iterator[Any]:
                order = self.rng.permutation(7)
                yield rows[order], order

        named, labels = load_rows(Shuffled(), INPUTS)
        np.testing.assert_array_equal(named["image"], rows[labels[UNNAMED]])

    def test_do_not_matter_for_calibration(self, rows: np.ndarray) -> None:
        source = open_samples({"x": rows, "y": np.full(7, -1)}, INPUTS)
        assert len(list(source)) == 1

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (range(6), "evaluation data has 6 labels for 7 rows"),
            (range(8), "evaluation data has 8 labels for 7 rows"),
            (3, "evaluation data has 1 labels for 7 rows"),
        ],
    )
    def test_that_cannot_be_used(self, rows: np.ndarray, labels: Any, message: str) -> None:
        with pytest.raises(DataError) as caught:
            load_rows({"x": rows, "y": np.asarray(labels)}, INPUTS)
        assert caught.value.message == message

    @pytest.mark.parametrize("limit", [None, 2])
    def test_are_counted_over_all_rows(self, limit: int | None) -> None:
        data = {"image": np.zeros((200, 2, 3, 4)), "kind": np.zeros(50)}
        with pytest.raises(DataError) as caught:
            load_rows(data, INPUTS, limit=limit, outputs=["kind"])
        assert str(caught.value) == "evaluation data has 50 labels for 200 rows; output 'kind'"


class TestImages:
    def test_subfolders_are_classes(self, rng: np.random.Generator, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        pixels = rng.integers(0, 256, (4, 5, 6, 3), np.uint8)
        for i, name in enumerate(("b/1.png", "a/2.png", "b/0.png", "a/1.png")):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            image.fromarray(pixels[i]).save(tmp_path / name)
        source = open_samples(tmp_path, {"image": (3, 5, 6)}, batch_size=3)
        expected = pixels[[3, 1, 2, 0]].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(np.concatenate([b["image"] for b in source]), expected)
        np.testing.assert_array_equal(source.labels[UNNAMED], [0, 0, 1, 1])
        assert source.rows == 4
        assert source.notes[0].endswith("labels are the 2 subfolders, sorted by name")

    def test_grey_images_and_no_labels(self, rng: np.random.Generator, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        pixels = rng.integers(0, 256, (2, 5, 6), np.uint8)
        for i in range(2):
            image.fromarray(pixels[i]).save(tmp_path / f"{i}.png")
        named, labels = load_rows(tmp_path, {"image": (1, 5, 6)})
        np.testing.assert_array_equal(named["image"][:, 0], pixels)
        assert labels == {}

    def test_errors(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        with pytest.raises(DataError, match="no images in folder"):
            open_samples(tmp_path, INPUTS)
        (tmp_path / "0.png").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"0\.png cannot be read as an image"):
            list(open_samples(tmp_path, {"image": (3, 5, 6)}))
        image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "0.png")
        image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "1.png")
        with pytest.raises(DataError, match=r"1\.png has shape \(5, 7, 3\), others have \(5, 6, 3"):
            list(open_samples(tmp_path, {"image": (3, 5, 6)}))
        with pytest.raises(DataError, match="a folder of images feeds 1 input, not 2"):
            open_samples(tmp_path, PAIR)
        with pytest.raises(DataError, match=r"cannot feed an input of shape \(2, 3, 5\)"):
            open_samples(tmp_path, {"image": (2, 3, 5)})


def read(data: Any, inputs: Mapping[str, tuple[int, ...]] = INPUTS, **options: Any) -> None:
    for _ in open_samples(data, inputs, **options):
        pass


class TestFilesThatCannotBeUsed:
    def test_missing(self) -> None:
        with pytest.raises(DataError) as caught:
            read("nowhere/rows.npz")
        assert caught.value.message == "calibration data: no such file: nowhere/rows.npz"
        assert caught.value.exit_code == 2

    def test_unknown_kind(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("1,2")
        with pytest.raises(DataError, match=r"rows\.csv is neither a \.npz nor a \.npy file"):
            read(tmp_path / "rows.csv")

    @pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04truncated"])
    @pytest.mark.parametrize("name", ["rows.npz", "rows.npy"])
    def test_unreadable(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(tmp_path / name)
        assert caught.value.message == f"calibration data: {tmp_path / name} cannot be read"

    def test_truncated(self, rows: np.ndarray, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "rows.npz", x=rows)
        whole = (tmp_path / "rows.npz").read_bytes()
        middle = len(whole) // 2
        broken = whole[:middle] + bytes(16) + whole[middle + 16 :]
        for content in (whole[:middle], broken):
            (tmp_path / "rows.npz").write_bytes(content)
            with pytest.raises(DataError, match=r"rows\.npz cannot be read"):
                read(tmp_path / "rows.npz")

    def test_pickles_are_never_loaded(self, tmp_path: Path) -> None:
        trap = np.array([Trap()], object)
        np.savez(tmp_path / "rows.npz", x=trap)
        np.save(tmp_path / "rows.npy", trap)
        for name in ("rows.npz", "rows.npy"):
            with pytest.raises(DataError) as caught:
                read(tmp_path / name)
            assert caught.value.message == (
                f"calibration data: {tmp_path / name} holds pickled objects, which are never loaded"
            )
            assert caught.value.why == "unpickling runs code from the file"
        for name in ("raw.npz", "raw.npy"):
            (tmp_path / name).write_bytes(pickle.dumps(Trap()))
            with pytest.raises(DataError, match="cannot be read"):
                read(tmp_path / name)

    def test_toolbox_folder_with_several_arrays_a_file(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "x_norm.npz", np.zeros(1), np.zeros(1))
        with pytest.raises(DataError, match=r"x_norm\.npz holds 2 arrays, expected 1"):
            read(tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 2, 3, 4)), "calibration data is empty: 0 rows"),
        ([], "calibration data is empty: 0 rows"),
        (iter(()), "calibration data is empty: 0 rows"),
        (Reader([]), "calibration data is empty: 0 rows"),
        ({}, "calibration data holds no arrays"),
        (
            np.zeros((5, 2, 3, 5)),
            "calibration rows have shape (2, 3, 5), input 'image' needs (2, 3, 4)",
        ),
        (np.zeros(()), "calibration data for input 'image' is a single number"),
        (np.zeros(5), "calibration rows have shape (), input 'image' needs (2, 3, 4)"),
        (
            {"imgae": np.zeros((5, 2, 3, 4)), "other": np.zeros(5)},
            "calibration data has no array for input 'image' (it has: imgae, other)",
        ),
        (
            np.full((5, 2, 3, 4), "a"),
            "calibration rows for input 'image' have dtype <U1, which is no number",
        ),
        (
            np.zeros((5, 2, 3, 4), complex),
            "calibration rows for input 'image' have dtype complex128, which is no number",
        ),
        (
            np.zeros((5, 2, 3, 4), object),
            "calibration rows for input 'image' have dtype object, which is no number",
        ),
        (
            np.full((5, 2, 3, 4), 1e300),
            "calibration rows for input 'image' hold NaN or infinite values "
            "(5 of 5 rows; the first is row 0)",
        ),
        (3, "calibration data of type int is not understood"),
        (
            [(np.zeros((5, 2, 3, 4)), 1, 2)],
            "a batch of calibration data holds 3 entries, the network has 1 input",
        ),
        ([[1, 2], [3]], "rows of different shapes cannot form one array"),
        (
            [(np.zeros((5, 2, 3, 4)), np.zeros(4))],
            "calibration data has 4 labels for 5 rows",
        ),
    ],
)
def test_data_that_cannot_be_used(data: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(data)
    assert caught.value.message == message


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        read({"imgae": np.zeros((5, 2, 3, 4)), "other": np.zeros(5)})
    assert caught.value.hint.endswith("did you mean 'imgae'?")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_row(rows: np.ndarray, bad: float) -> None:
    rows[5, 0, 0, 0] = bad
    for data in (rows, [rows[:4], rows[4:]]):
        with pytest.raises(DataError, match="the first is row 5"):
            read(data, batch_size=2)


def test_in_memory_errors_are_raised_on_opening(rows: np.ndarray) -> None:
    rows[5, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        open_samples(rows, INPUTS)


def test_inputs_with_different_numbers_of_rows() -> None:
    arrays = {"left": np.zeros((5, 3)), "right": np.zeros((4, 2, 2))}
    with pytest.raises(DataError) as caught:
        read(arrays, PAIR)
    assert caught.value.message == (
        "the inputs of calibration data have different numbers of rows: left 5, right 4"
    )
    with pytest.raises(DataError, match=r"different numbers of rows: \[4, 5\]"):
        read([arrays], PAIR)
    with pytest.raises(DataError, match="no array for input 'right'"):
        read({"left": np.zeros((5, 3)), "y": np.zeros(5)}, PAIR)


def test_arrays_that_nobody_needs_are_left_out_and_said(rows: np.ndarray) -> None:
    source = open_samples({"x": rows, "y": np.zeros(7), "sample_id": np.arange(7)}, INPUTS)
    assert source.notes == (
        "calibration data, the dictionary: arrays that no input needs were left out: sample_id",
    )
    named = {"image": rows, "kind": np.zeros(7)}
    assert open_samples(named, INPUTS, outputs=["kind"]).notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"preprocessing": Preprocessing(mean=(1, 2, 3))}, "mean has 3 entries, input 'image'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(np.zeros((5, 2, 3, 4)), **options)
    assert caught.value.message.startswith(message)
    assert isinstance(caught.value, SnnConvertError)
