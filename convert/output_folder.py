"""The output folder: all of it is written, or nothing.

Files go to a temporary sibling that takes the folder's place at the end. A folder that holds
anything we did not write is refused unless forced; then only our own files are replaced.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from snnconvert.convert.errors import OutputError

MARKER = ".snnconvert.json"
"""Lists the files that we wrote into a folder."""


class OutputFolder:
    """A folder that appears complete or not at all.

    Parameters
    ----------
    path : Path
    force : bool
        Write into a folder that holds foreign files; they stay, files of our names are replaced.

    Raises
    ------
    OutputError
        On entry: if the folder holds foreign files, or nothing can be written beside it.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.force = force
        self._temporary: Path | None = None

    def __enter__(self) -> Path:
        """Check the folder and return the temporary one to write into."""
        self._check()
        parent = self.path.absolute().parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=parent)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}", why=str(error), hint="choose another --output"
            ) from error
        self._temporary = Path(made)
        self._temporary.chmod(0o755)
        return self._temporary

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Move the files into place, or drop them all after an error."""
        assert self._temporary is not None
        try:
            if kind is None:
                self._commit(self._temporary)
        except OSError as problem:
            raise OutputError(f"cannot write {self.path}", why=str(problem)) from problem
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(
                f"{self.path} is a file, not a folder", hint="choose another --output"
            )
        foreign = self._foreign()
        if foreign and not self.force:
            raise OutputError(
                f"{self.path} holds {len(foreign)} files that snnconvert did not write",
                where=", ".join(foreign[:5]),
                hint="choose another --output, or --force to write into it all the same",
            )

    def _foreign(self) -> list[str]:
        if not self.path.is_dir():
            return []
        try:
            ours = set(json.loads((self.path / MARKER).read_text())["files"]) | {MARKER}
        except (OSError, ValueError, KeyError, TypeError):
            ours = set()
        return sorted(p.name for p in self.path.iterdir() if p.name not in ours)

    def _commit(self, temporary: Path) -> None:
        files = sorted(p.name for p in temporary.iterdir())
        (temporary / MARKER).write_text(json.dumps({"files": files}))
        if self._foreign():
            for file in temporary.iterdir():
                file.replace(self.path / file.name)
            return
        if self.path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.old.", dir=temporary.parent))
            self.path.replace(old / self.path.name)
            temporary.replace(self.path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.replace(self.path)
