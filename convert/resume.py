"""The resume file: what an interrupted evaluation had gathered, and what it was the evaluation of.

One zip file beside the output, nothing compressed: ``state.json`` and the arrays it refers to, no
pickle. It is replaced as a whole, so that it is never half-written, and removed when the
evaluation is done. It says which network, rows and options it belongs to; another evaluation does
not take it up. A conversion that calibrates weights keeps its layers in such a file too.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from snnconvert.calibration.stored_rows import StoredRows
from snnconvert.convert.errors import OutputError, ResumeError
from snnconvert.convert.fingerprint import fingerprint
from snnconvert.convert.spiking_model import SpikingModel
from snnconvert.reports.checkpoint import Checkpoint, Nowhere, State

FORMAT = "snnconvert-resume/2"
STATE = "state.json"
ARRAY = "array"

WRITING_SHARE = 0.05
"""Share of the time that writing may take: a state that is left out is written on interruptions."""


class ResumeFile:
    """Keeps the states of an evaluation's stages in a file.

    Parameters
    ----------
    path : path
        Where an earlier run's states are found, if there are any, and new ones are written.
    identity : dict of str
        Fingerprints by what they are of ("network", "rows", ...).
    work : str
        What is done: "evaluation", "conversion".

    Attributes
    ----------
    earlier_seconds : float
        Spent on the evaluation by earlier runs.

    Raises
    ------
    ResumeError
        If there is a file that is damaged, or of another evaluation.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        identity: Mapping[str, str],
        *,
        work: str = "evaluation",
    ) -> None:
        self.path = Path(path)
        self._work = work
        self._identity = dict(identity)
        self._stages: dict[str, State] = {}
        self.earlier_seconds = 0.0
        self._began = time.perf_counter()
        self._written = 0.0
        self._pending = False
        if self.path.exists():
            self._read()

    def stage(self, name: str) -> Stage:
        """Return the checkpoint of one stage."""
        return Stage(self, name)

    def state_of(self, name: str) -> State | None:
        """Return what was kept last of a stage."""
        return self._stages.get(name)

    def keep(self, name: str, state: State) -> None:
        """Keep a stage's state in the place of the one before, and write all of them.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        self._stages[name] = state
        self._pending = True
        if self._written <= WRITING_SHARE * (time.perf_counter() - self._began):
            self.write()

    def write(self) -> None:
        """Write what was kept since the file was written last."""
        if not self._pending:
            return
        began = time.perf_counter()
        seconds = self.earlier_seconds + began - self._began
        record = {"format": FORMAT, "identity": self._identity, "seconds": seconds}
        try:
            _write(self.path, record | {"stages": self._stages})
        except OSError as error:
            raise OutputError(
                f"partial results cannot be written to {self.path}",
                why=error.strerror or str(error),
            ) from error
        self._pending = False
        self._written += time.perf_counter() - began

    def remove(self) -> None:
        """Remove the file: the evaluation is done."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        identity, self._stages, self.earlier_seconds = _read(self.path)
        other = [name for name, known in self._identity.items() if identity.get(name) != known]
        if other:
            raise ResumeError(
                f"{self.path} belongs to another {self._work}",
                why=f"different: {', '.join(other)}",
                hint="repeat the interrupted command with --resume and nothing else changed, or "
                "remove the file to start anew",
            )

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Write what is pending if anything interrupts; remove the file when all is done."""
        try:
            yield
        except BaseException:
            self.write()
            raise
        self.remove()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write what is pending at the end, whatever happens."""
        try:
            yield
        finally:
            self.write()


class NothingKept:
    """In the place of a resume file where none is wanted."""

    earlier_seconds = 0.0

    def stage(self, _: str) -> Checkpoint:
        """Return a checkpoint that keeps nothing."""
        return Nowhere()

    def guarding(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def writing(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


class Stage:
    """One stage's part of a resume file."""

    def __init__(self, file: ResumeFile, name: str) -> None:
        self._file, self._name = file, name

    @property
    def state(self) -> State | None:
        """What was kept last; None where there is nothing."""
        return self._file.state_of(self._name)

    def keep(self, state: State) -> None:
        """Keep a state in the place of the one before."""
        self._file.keep(self._name, state)


def identity_of(snn: SpikingModel, rows: StoredRows, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprints of an evaluation: the same ones give the same report."""
    from snnconvert import __version__

    parts = {
        "version of snnconvert": __version__,
        "network": snn.network,
        "ANN": (snn.model_bytes, snn.preprocessing, snn.anytime),
        "rows": rows.rows_hash,
        "labels": rows.labels,
        **options,
    }
    return {name: fingerprint(part) for name, part in parts.items()}


def is_resume_file(path: Path) -> bool:
    """Tell whether a file is one of ours, whole or not."""
    try:
        with path.open("rb") as file:
            return STATE.encode() in file.read(64) or file.seek(0, os.SEEK_END) == 0
    except OSError:
        return False


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write beside the file and move into its place."""
    arrays: list[np.ndarray[Any, Any]] = []
    text = json.dumps(_encoded(content, arrays))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(STATE, text)
            for number, array in enumerate(arrays):
                with archive.open(f"{number}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, str], dict[str, State], float]:
    """Return identity, stages and seconds."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(e.compress_type != zipfile.ZIP_STORED for e in archive.infolist()):
                raise ValueError("it holds compressed entries")
            record = json.loads(archive.read(STATE))
            content = _decoded(record, lambda number: _array(archive, number))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}, not {FORMAT!r}")
            found = (dict(content["identity"]), dict(content["stages"]), float(content["seconds"]))
    except Exception as error:  # zlib, zipfile, json and numpy have a dozen ways to say it
        ours = is_resume_file(path)
        raise ResumeError(
            f"{path} is a damaged resume file" if ours else f"{path} is no resume file",
            why=f"{type(error).__name__}: {error}",
            hint="remove it to start anew" if ours else "give another name to resume from",
        ) from error
    return found


def _array(archive: zipfile.ZipFile, number: int) -> np.ndarray[Any, Any]:
    stored = io.BytesIO(archive.read(f"{int(number)}.npy"))
    return np.asarray(np.lib.format.read_array(stored, allow_pickle=False))


def _encoded(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {ARRAY: len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {"dict": [[name, _encoded(entry, arrays)] for name, entry in value.items()]}
    if isinstance(value, list | tuple):
        return [_encoded(entry, arrays) for entry in value]
    return value


def _decoded(value: Any, read: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(entry, read) for entry in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return read(value[ARRAY])
    return {name: _decoded(entry, read) for name, entry in value["dict"]}
