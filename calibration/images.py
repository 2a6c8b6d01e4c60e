"""Rows from a folder of images, read with Pillow where it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snnconvert.calibration.names import UNNAMED
from snnconvert.calibration.readers import Arrays, RawBatch
from snnconvert.convert.errors import DataError, MissingExtraError
from snnconvert.convert.linear import Shape
from snnconvert.convert.rows import RowChoice

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".webp", ".tif"})


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images in the order of their names; subfolders, where there are any, are the classes.

    Attributes
    ----------
    files : tuple of Path
    labels : (N,) int array or None
        Position of each file's subfolder among the sorted subfolders.
    name : str
        Of the network's input.
    mode : {"L", "RGB", "RGBA"}
        Pillow's, from the number of channels that the network needs.
    what : str
    """

    files: tuple[Path, ...]
    labels: npt.NDArray[np.int64] | None
    name: str
    mode: str
    what: str
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path, inputs: Mapping[str, Shape], what: str) -> ImageFolder:
        """List the folder.

        Raises
        ------
        DataError
            If there are no images, or the network's inputs are not one image.
        MissingExtraError
            Without Pillow.
        """
        _pillow()
        files = tuple(
            sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        )
        if not files:
            raise DataError(f"{what} data: no images in folder {folder}")
        if len(inputs) != 1:
            raise DataError(f"{what} data: a folder of images feeds 1 input, not {len(inputs)}")
        name, shape = next(iter(inputs.items()))
        classes = sorted({f.relative_to(folder).parts[0] for f in files if f.parent != folder})
        labels = None
        notes: tuple[str, ...] = ()
        if classes and all(f.parent != folder for f in files):
            position = {label: i for i, label in enumerate(classes)}
            labels = np.array([position[f.relative_to(folder).parts[0]] for f in files], np.int64)
            notes = (f"{folder}: labels are the {len(classes)} subfolders, sorted by name",)
        return cls(files, labels, name, _mode(shape, what), what, notes)

    @property
    def rows(self) -> int:
        """The number of files."""
        return len(self.files)

    def batches(self, size: int) -> Iterator[RawBatch]:
        """Yield uint8 batches, channels last ((n, h, w) for grey images)."""
        for begin in range(0, len(self.files), size):
            here = slice(begin, begin + size)
            labels = {name: array[here] for name, array in self.all_labels().items()}
            yield {self.name: self.part(self.name, here)}, labels

    def part(self, name: str, rows: RowChoice) -> npt.NDArray[Any]:
        """Return some images, as they are in a batch."""
        files = [self.files[i] for i in np.arange(self.rows)[rows]]
        images = [self._load(file) for file in files]
        for file, image in zip(files, images, strict=True):
            if image.shape != images[0].shape:
                raise DataError(
                    f"{self.what} data: {file} has shape {image.shape}, others have "
                    f"{images[0].shape}",
                    hint="resize all images to the network's input",
                )
        return np.stack(images)

    def all_labels(self) -> Arrays:
        """Return the classes, where there are any."""
        return {} if self.labels is None else {UNNAMED: self.labels}

    def _load(self, file: Path) -> npt.NDArray[Any]:
        image = _pillow()
        try:
            with image.open(file) as opened:
                return np.asarray(opened.convert(self.mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{self.what} data: {file} cannot be read as an image", why=str(error)
            ) from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "a folder of images needs Pillow", hint="pip install pillow"
        ) from error
    return Image


def _mode(shape: Shape, what: str) -> str:
    """Return Pillow's mode for an input of that shape."""
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if len(shape) == 2:
        return "L"
    channels = [shape[0], shape[-1]] if len(shape) == 3 else []
    for count in channels:
        if count in modes:
            return modes[count]
    raise DataError(f"{what} data: images cannot feed an input of shape {shape}")
