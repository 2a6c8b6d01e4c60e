"""Arrays of .npy and .npz files, large ones without reading them into memory.

A .npy file is mapped. So is a large array that lies in a .npz file as it is; one that is compressed
is unpacked to a temporary file, which is mapped and has no name: it is gone with the process.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

SIZE_LIMIT = 16 << 30
"""Bytes that an archive may unpack to."""

MAPPED_BYTES = 32 << 20
"""Arrays of an archive that are smaller are read."""

LOCAL_HEADER = 30
"""Bytes in front of an entry's name and extra field, the lengths of which are the last four."""

READ_BYTES = 1 << 20


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a .npz file by name, or that of a .npy file as ``x``.

    Raises
    ------
    OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, ...
        For damaged, encrypted and hostile files, and such as hold pickled objects.
    """
    if path.suffix == ".npy":
        return {"x": np.lib.format.open_memmap(path, mode="r")}
    # Opened here: NumPy leaves a file that is no zip archive open.
    with path.open("rb") as file, zipfile.ZipFile(file) as entries, np.load(file) as archive:
        size = sum(entry.file_size for entry in entries.infolist())
        if size > SIZE_LIMIT:
            raise ValueError(f"it unpacks to {size:,} bytes, more than {SIZE_LIMIT:,}")
        found = {}
        for entry in entries.infolist():
            name = entry.filename.removesuffix(".npy")
            large = entry.file_size >= MAPPED_BYTES and name != entry.filename
            found[name] = _mapped(path, entries, entry) if large else np.asarray(archive[name])
        return found


def _mapped(path: Path, entries: zipfile.ZipFile, entry: zipfile.ZipInfo) -> npt.NDArray[Any]:
    encrypted = bool(entry.flag_bits & 1)
    if entry.compress_type == zipfile.ZIP_STORED and not encrypted:
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            header = file.read(LOCAL_HEADER)
            start = entry.header_offset + LOCAL_HEADER
            start += int.from_bytes(header[26:28], "little")
            start += int.from_bytes(header[28:30], "little")
            _check(file, start, entry)
            return _map(file, start)
    with tempfile.TemporaryFile(prefix="snnconvert-") as unpacked:
        with entries.open(entry) as packed:  # compares the checksum as it reads
            shutil.copyfileobj(packed, unpacked, READ_BYTES)
        return _map(unpacked, 0)


def _check(file: IO[bytes], start: int, entry: zipfile.ZipInfo) -> None:
    """Compare an entry's checksum, as reading it would."""
    file.seek(start)
    found, left = 0, entry.file_size
    while left:
        part = file.read(min(left, READ_BYTES))
        if not part:
            raise zipfile.BadZipFile(f"{entry.filename} is cut off")
        found, left = zlib.crc32(part, found), left - len(part)
    if found != entry.CRC:
        raise zipfile.BadZipFile(f"bad CRC-32 of {entry.filename}")


def _map(file: Any, start: int) -> npt.NDArray[Any]:
    """Return the array that begins at a position of a file."""
    file.seek(start)
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array in format {version[0]}.{version[1]}, which is not known")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they hold Python objects")
    mapped: npt.NDArray[Any] = np.memmap(
        file, dtype, "r", file.tell(), shape, "F" if fortran else "C"
    )
    return mapped
