"""Rows that are read when they are needed: the same as all at once, from every kind of data."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnconvert.calibration import archive, stored_rows
from snnconvert.calibration.data import load_rows, open_samples
from snnconvert.calibration.preprocessing import Preprocessing
from snnconvert.calibration.stored_rows import StoredRows, store_rows
from snnconvert.convert.errors import DataError

INPUTS = {"image": (2, 3, 4)}
X = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 2)).astype(np.uint8)
Y = np.arange(11)
HALVED = Preprocessing(scale=0.5, mean=(1.0, 2.0))


def stored(data: Any, **options: Any) -> StoredRows:
    labels = options.pop("labels", None)
    source = open_samples(data, INPUTS, preprocessing=HALVED, what="evaluation", **options)
    return store_rows(source, labels)


def batches(size: int = 4) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, len(X), size):
        yield X[first : first + size], Y[first : first + size]


def saved(folder: Path) -> dict[str, Any]:
    np.save(folder / "x.npy", X)
    np.savez(folder / "plain.npz", image=X, y=Y)
    np.savez_compressed(folder / "packed.npz", x=X, y=Y)
    np.savez(folder / "fortran.npz", x=np.asfortranarray(X), y=Y)
    return {
        "array": {"x": X, "y": Y},
        "npz": folder / "plain.npz",
        "npz, compressed": folder / "packed.npz",
        "npz, columns first": folder / "fortran.npz",
        "stream": batches(),
        "list of batches": list(batches()),
    }


@pytest.mark.parametrize("kept", [0, 1 << 20])
@pytest.mark.parametrize("mapped", [0, 1 << 20])
@pytest.mark.parametrize("limit", [None, 5])
def test_every_kind_of_data(
    tmp_path: Path, limit: int | None, mapped: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without files behind the arrays, kept as they are and read again."""
    monkeypatch.setattr(stored_rows, "KEPT_BYTES", kept)
    monkeypatch.setattr(archive, "MAPPED_BYTES", mapped)
    monkeypatch.setattr(stored_rows, "MAPPED_BYTES", mapped or 1)
    expected = load_rows(X, INPUTS, preprocessing=HALVED, limit=limit)[0]["image"]
    few = np.array([4, 0, 2])
    hashes = set()
    for kind, data in saved(tmp_path).items():
        rows = stored(data, limit=limit, batch_size=3)
        image = rows.samples["image"]
        assert len(rows) == len(image) == len(expected), kind
        for part in (slice(None), slice(2, 4), slice(3, 99), slice(0), few):
            np.testing.assert_array_equal(image[part], expected[part], err_msg=kind)
        np.testing.assert_array_equal(rows.labels[""], Y[:limit], err_msg=kind)
        assert rows.largest == {"image": np.abs(expected).max()}
        hashes.add(rows.rows_hash)
    assert len(hashes) == 1
    assert stored(X[::-1]).rows_hash not in hashes


def test_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = np.random.default_rng(1).integers(0, 256, (6, 3, 4, 3)).astype(np.uint8)
    for i, picture in enumerate(pictures):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        image.fromarray(picture).save(folder / f"{i}.png")
    rows = store_rows(open_samples(tmp_path, {"x": (3, 3, 4)}, limit=5))
    order = [0, 2, 4, 1, 3]
    expected = pictures[order].transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(rows.samples["x"][:], expected)
    np.testing.assert_array_equal(rows.samples["x"][np.array([3, 1])], expected[[3, 1]])
    assert rows.labels[""].tolist() == [0, 0, 0, 1, 1]


def test_labels_of_their_own(tmp_path: Path) -> None:
    for data in (X, batches()):
        assert stored(data, labels={"": Y + 1}, limit=3).labels[""].tolist() == [1, 2, 3]
    for data in (X, batches()):
        with pytest.raises(DataError, match="evaluation data has 10 labels for 11 rows"):
            stored(data, labels={"": Y[:10]})


def test_a_stream_is_read_once_and_not_held() -> None:
    read: list[int] = []

    def told() -> Iterator[np.ndarray]:
        for x, _ in batches(1):
            read.append(len(x))
            yield x

    source = open_samples(told(), INPUTS)
    rows = store_rows(source)
    assert (len(rows), sum(read)) == (11, 11)
    assert source._reader._kept == []  # type: ignore[attr-defined]


def test_the_first_bad_row_of_a_stream_is_named() -> None:
    x = X.astype(np.float32)
    x[9, 0, 0, 0] = np.inf
    with pytest.raises(DataError) as caught:
        stored(iter([x[:4], x[4:8], x[8:]]))
    assert caught.value.message == (
        "evaluation rows for input 'image' hold NaN or infinite values (the first is row 9)"
    )


@pytest.fixture
def every_array_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAPPED_BYTES", 0)


@pytest.mark.usefixtures("every_array_mapped")
class TestMapped:
    def test_nothing_is_read_into_memory(self, tmp_path: Path) -> None:
        saved(tmp_path)
        for kind in ("plain.npz", "packed.npz", "fortran.npz", "x.npy"):
            arrays = archive.read_arrays(tmp_path / kind)
            assert all(isinstance(array, np.memmap) for array in arrays.values()), kind

    def test_damage_is_found(self, tmp_path: Path) -> None:
        saved(tmp_path)
        for kind in ("plain.npz", "packed.npz"):
            whole = (tmp_path / kind).read_bytes()
            place = whole.index(b"\x93NUMPY") + 200 if kind == "plain.npz" else 100
            damaged = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
            (tmp_path / kind).write_bytes(damaged)
            with pytest.raises(DataError, match=r"npz cannot be read") as caught:
                stored(tmp_path / kind)
            assert kind == "packed.npz" or caught.value.why == "bad CRC-32 of image.npy"

    def test_pickles_are_never_loaded(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "rows.npz", x=np.array([{}], object))
        with pytest.raises(DataError, match="holds pickled objects, which are never loaded"):
            stored(tmp_path / "rows.npz")

    def test_what_is_no_array_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "rows.npz", "w") as made:
            made.writestr("x.npy", b"\x93NUMPY\x09\x00 an array of the future")
        with pytest.raises(DataError) as caught:
            stored(tmp_path / "rows.npz")
        assert "9.0" in caught.value.why


def test_few_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    apply = Preprocessing.apply

    def counted(self: Preprocessing, x: Any, axis: int) -> Any:
        asked.append(len(x))
        return apply(self, x, axis)

    monkeypatch.setattr(Preprocessing, "apply", counted)
    size = 4 * X.size
    for kept, times in ((size, 0), (size - 1, 6)):
        asked.clear()
        monkeypatch.setattr(stored_rows, "KEPT_BYTES", kept)
        rows = stored(X).samples["image"]
        before = sum(asked)
        np.testing.assert_array_equal(rows[2:5], rows[2:5])
        assert sum(asked) - before == times
