"""The output folder: all of it is written, or nothing.

Files are written into a hidden folder on the same disk. A new output folder is that one renamed;
in one that exists, old files of ours make way for the new ones, and come back if anything fails.
What the command itself reads stays, unless it is written anew. A folder that holds anything we did
not write is refused unless forced; what is foreign stays.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from snnconvert.convert.errors import OutputError

MARKER = ".snnconvert.json"
"""Lists the files that we wrote into a folder."""

HIDDEN = ".snnconvert-"
"""Begins the names of our temporary folders. One that is left was killed, or is another run's."""


class OutputFolder:
    """A folder that appears complete or not at all.

    Parameters
    ----------
    path : Path
        A symbolic link is followed; missing parents are made.
    force : bool
        Write into a folder that holds foreign files; they stay, files of our names are replaced.
    inputs : collection of Path
        Files that the command reads.

    Raises
    ------
    OutputError
        On entry: if the folder holds foreign files or cannot be written. On exit: if it meanwhile
        got foreign files of our names, or the disk is full.
    """

    def __init__(self, path: Path, *, force: bool = False, inputs: Collection[Path] = ()) -> None:
        self.path = path
        self.force = force
        self.inputs = inputs
        self._folder = path
        self._temporary: Path | None = None
        self._new_parents: list[Path] = []

    def __enter__(self) -> Path:
        """Check the folder and return the temporary one to write into."""
        try:
            self._folder = self.path.resolve()
            self._check()
            self._temporary = self._prepare()
        except OutputError:
            raise
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
            self._drop_new_parents()
            raise OutputError(
                f"cannot write {self.path}", why=_reason(error), hint="choose another --output"
            ) from error
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
        except OutputError:
            raise
        except OSError as problem:
            raise OutputError(f"cannot write {self.path}", why=_reason(problem)) from problem
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._drop_new_parents()

    def _check(self) -> None:
        if self._folder.exists() and not self._folder.is_dir():
            raise OutputError(
                f"{self.path} is a file, not a folder", hint="choose another --output"
            )
        foreign = self._foreign()
        if foreign and not self.force:
            noun = "file" if len(foreign) == 1 else "files"
            raise OutputError(
                f"{self.path} holds {len(foreign)} {noun} that snnconvert did not write",
                where=", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else ""),
                hint="choose another --output, or --force to write into it all the same",
            )

    def _foreign(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        names = {entry.name for entry in self._folder.iterdir()} - self._ours()
        return sorted(name for name in names if not name.startswith(HIDDEN))

    def _ours(self) -> set[str]:
        """Return the names that an earlier run wrote."""
        try:
            names = set(json.loads((self._folder / MARKER).read_text())["files"])
        except (OSError, ValueError, KeyError, TypeError):
            names = set()
        return {entry.name for entry in self._folder.iterdir()} & (names | {MARKER})

    def _prepare(self) -> Path:
        """Make the temporary folder where renaming its files into place stays on one disk."""
        home = self._folder if self._folder.is_dir() else self._folder.parent
        self._new_parents = [p for p in (home, *home.parents) if not p.exists()]
        home.mkdir(parents=True, exist_ok=True)
        self._folder.exists()  # raises now, not after the run, where the name is too long
        temporary = home / f"{HIDDEN}{secrets.token_hex(4)}"
        temporary.mkdir()
        return temporary

    def _drop_new_parents(self) -> None:
        with suppress(OSError):  # not empty: the output is in it
            for parent in self._new_parents:
                parent.rmdir()

    def _commit(self, temporary: Path) -> None:
        new = {entry.name for entry in temporary.iterdir()} | {MARKER}
        ours = self._ours() if self._folder.exists() else set()
        kept = {name for name in ours - new if self._is_read(self._folder / name)}
        (temporary / MARKER).write_text(json.dumps({"files": sorted((new | kept) - {MARKER})}))
        if not self._folder.exists():
            temporary.rename(self._folder)
            return
        self._refuse_clashes(new - ours)
        old = (ours - kept) | {name for name in new if (self._folder / name).exists()}
        backup = temporary / f"{HIDDEN}{secrets.token_hex(4)}"
        backup.mkdir()
        moves = [(self._folder / name, backup / name) for name in sorted(old)]
        moves += [(temporary / name, self._folder / name) for name in sorted(new)]
        _rename_all(moves)

    def _is_read(self, file: Path) -> bool:
        return any(path.samefile(file) for path in self.inputs if path.exists())

    def _refuse_clashes(self, names: set[str]) -> None:
        """Refuse to replace a foreign folder, and a foreign file that was not there on entry."""
        found = [self._folder / name for name in sorted(names)]
        clashing = [p.name for p in found if p.is_dir() or (p.exists() and not self.force)]
        if clashing:
            raise OutputError(
                f"{self.path} holds {clashing[0]!r}, which snnconvert did not write",
                hint="move it away, or choose another --output",
            )


def _reason(error: Exception) -> str:
    """Return what an error says, but for the names of our temporary files."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    path = Path(str(error.filename)) if error.filename is not None else Path()
    if not any(part.startswith(HIDDEN) for part in path.parts):
        return str(error)
    home = next(p.parent for p in (path, *path.parents) if p.name.startswith(HIDDEN))
    return f"nothing can be made in {home}: {error.strerror}"


def _rename_all(moves: list[tuple[Path, Path]]) -> None:
    """Rename all, or none of them."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.rename(source)
        raise
